"""Causal attention, clause by clause. The why: docs/attention/causal.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, scaled_dot_product_attention

from katas.attention.causal import CausalAttention
from tests import laws, probes
from tests.support import clause, close, filled, numbers, parameters, refuses

PROJECTIONS = ("W_query", "W_key", "W_value")
WEIGHTS = tuple(f"{name}.weight" for name in PROJECTIONS)
DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@st.composite
def cases(draw):
    """Hypothesis draws the sizes and the seed, which shrink; the seed deals the numbers."""
    batch, tokens, d_in, d_out = (draw(st.integers(1, 4), label=axis) for axis in ("batch", "tokens", "d_in", "d_out"))
    context_length, qkv_bias = draw(st.integers(tokens, 6), label="context_length"), draw(st.booleans(), label="bias")
    attention = deal(CausalAttention(d_in, d_out, context_length, 0.0, qkv_bias))
    return attention, 2 * numbers(batch, tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def deal(attention):
    """The module with fixed numbers in its projections; a mask that is a parameter, wrongly, keeps its own."""
    known = parameters(attention, *WEIGHTS)
    return filled(attention, {n: numbers(*known[n].shape, seed=n) for n in known if n.startswith(PROJECTIONS)})


def of_torch(attention, x):
    """What PyTorch's own causal attention makes of the same weights."""
    known = parameters(attention, *WEIGHTS)
    projected = [linear(x, known[f"{name}.weight"], known.get(f"{name}.bias")) for name in PROJECTIONS]
    return scaled_dot_product_attention(*projected, is_causal=True)


def with_weights(attention, query, key, value):
    """The module with its three weights set, each (d_out, d_in) or what can be broadcast to that."""
    return filled(attention, dict(zip(WEIGHTS, (query, key, value), strict=True)))


def equal_scores(kata_class):
    """A module and three tokens with scores of 0 and the values 2, 4, 6."""
    return with_weights(kata_class(1, 1, 6, 0.0), 0.0, 1.0, 1.0), torch.tensor([[[2.0], [4.0], [6.0]]])


def two_tokens(kata_class, visible, hidden, dtype=torch.float32):
    """A module of one feature and two tokens, of the values 2 and 60.

    The score of the first token with itself is `visible`, and with the second, which is hidden from it, `hidden`.
    """
    side = 2.0 ** (math.frexp(max(abs(visible), abs(hidden)))[1] // 2)
    attention = with_weights(kata_class(3, 1, 3, 0.0).to(dtype), [[side, 0, 0]], [[0, 1.0, 0]], [[0, 0, 1.0]])
    return attention, torch.tensor([[[1, visible / side, 2], [1, hidden / side, 60]]], dtype=dtype)


def attention_weights(kata_class, dropout, tokens=32):
    """A function that calls a module in training mode, and gives the attention weights (batch, tokens, tokens).

    Each token is one-hot and all scores are 0. One more column has the sum of each row.
    """
    values = torch.cat([torch.eye(tokens), torch.ones(1, tokens)])
    attention = with_weights(kata_class(tokens, tokens + 1, tokens, dropout), 0.0, 0.0, values)
    return lambda: attention(torch.eye(tokens).expand(8, -1, -1))


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    x = numbers(2, 6, 5)

    def made(dropout=0.0, bias=False):
        return deal(kata.CausalAttention(5, 3, 7, dropout, bias))

    def average():
        attention, tokens = equal_scores(kata.CausalAttention)
        return attention(tokens)

    def biases():
        """Those that there are by default, without qkv_bias and with it."""
        made = [kata.CausalAttention(5, 3, 7, 0.0, *asked) for asked in ((), (False,), (True,))]
        return [[name for name, _ in each.named_parameters() if "bias" in name] for each in made]

    def dropped():
        """What dropout does to the weights of the last of 32 tokens, which are 1/32 without."""
        *seen, total = attention_weights(kata.CausalAttention, 0.25)()[:, -1].unbind(-1)
        seen = torch.stack(seen, dim=-1)
        if seen.shape[-1] != 32:
            return "other features"
        if not (seen == 0).any():
            return "no weight is 0" if not torch.allclose(made(0.25)(x), made()(x)) else "nothing"
        if not torch.allclose(seen.sum(-1), total, atol=1e-5):
            return "other sums"
        return "more than a third are 0" if (seen == 0).float().mean() > 0.37 else "some are 0"

    def the_others():
        seen = attention_weights(kata.CausalAttention, 0.25)()[:, -1, :-1]
        return seen[seen != 0].amin() if (seen == 0).any() else "no weight is 0"

    def in_eval():
        return torch.allclose(made(0.25).eval()(x.clone()), made()(x.clone()), equal_nan=True)

    def leaks(visible, hidden, dtype=torch.float32):
        """Whether the first of two tokens, of the value 2, sees anything of the second, of the value 60."""
        attention, tokens = two_tokens(kata.CausalAttention, visible, hidden, dtype)
        return probes.exceeds(lambda: attention(tokens)[0, 0], 2)

    def finite(score):
        attention, tokens = two_tokens(kata.CausalAttention, score, score)
        return bool(attention(tokens).isfinite().all())

    def too_long():
        return made()(numbers(2, 8, 5))

    lowest = torch.finfo(torch.float16).min
    return {
        "numbers": lambda: made(bias=True)(x),
        "last token": lambda: made()(x)[:, -1],
        "first token": lambda: made()(x)[:, 0],
        "equal scores": average,
        "biases": biases,
        "parameters": lambda: len(list(made().parameters())),
        "lengths": lambda: probes.lengths(made(), 1, 6, 7, features=5),
        "what learns": lambda: probes.learns((module := made())(x), module.parameters()),
        "gradient": lambda: probes.input_gradient(made(), x),
        "dropped": dropped,
        "not dropped": the_others,
        "in eval": in_eval,
        "device": lambda: probes.moved(made(), x),
        "saved": lambda: probes.saves_more(made()),
        "too long": lambda: probes.refusal(too_long),
        "message": lambda: probes.names_all(too_long, 8, 7),
        "finite": lambda: [finite(score) for score in (50.0, 400.0, -40_000.0)],
        "low": lambda: [leaks(-4e4, -8e4), leaks(-(2.0**40), -(2.0**41)), leaks(lowest, lowest, torch.float16)],
        "high": lambda: leaks(0.0, 4e4) or leaks(0.0, 2.0**40),
        **{n: lambda dtype=dtype: probes.dtype(lambda: made().to(dtype)(x.to(dtype))) for n, dtype in DTYPES.items()},
        "precise": lambda: probes.precise(made().double()(x.double()), of_torch(made().double(), x.double())),
        "input unchanged": lambda: probes.unchanged(made(), x),
        "copied": lambda: probes.copied(made(), x),
        "order": lambda: probes.in_order(lambda: kata.CausalAttention(5, 3, 7, 0.0), WEIGHTS, 5, 3),
    }


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_there_are_three_projections(bias):
    known = parameters(CausalAttention(3, 2, 6, 0.0, bias), *WEIGHTS)
    for name in PROJECTIONS:
        shape, has_bias = tuple(known[f"{name}.weight"].shape), f"{name}.bias" in known
        assert shape == (2, 3), f"d_in is 3 and d_out is 2, so {name}.weight should be (2, 3); it is {shape}"
        assert has_bias == bias, f"qkv_bias is {bias}, but {name} has {'a' if has_bias else 'no'} bias"


@clause("weights")
def test_there_is_no_bias_by_default():
    biases = [name for name in parameters(CausalAttention(3, 2, 6, 0.0)) if name.endswith("bias")]
    assert not biases, f"qkv_bias was not given and is False by default, but there are {biases}"


@clause("example")
def test_with_equal_scores_each_token_averages_what_it_sees():
    attention, x = equal_scores(CausalAttention)
    seen = attention(x)
    because = f"all scores are 0, so the values 2, 4, 6 should become 2, 3, 4; they became {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[2.0], [3.0], [4.0]]]), because)


@clause("causal")
@given(cases(), st.data())
def test_a_later_token_does_not_change_an_earlier_output(case, data):
    attention, x = case
    now, rewritten = data.draw(st.integers(0, x.shape[1] - 1), label="now"), x.clone()
    rewritten[:, now + 1 :] = 2 * numbers(*x[:, now + 1 :].shape, seed="rewritten")
    before, after = attention(x), attention(rewritten)
    because = f"only tokens after position {now} were changed, but an output up to there changed: it saw a later token"
    close(after[:, : now + 1], before[:, : now + 1], because)
    changed = now == x.shape[1] - 1 or not torch.equal(after[:, now + 1 :], before[:, now + 1 :])
    assert changed, f"the tokens after position {now} were changed, but no output changed"


@clause("sum-to-one")
def test_equal_values_stay_as_they_are():
    x = 2 * numbers(2, 6, 5)
    x[..., 0] = 1.0
    attention = with_weights(CausalAttention(5, 3, 7, 0.0), numbers(3, 5), numbers(3, 5, seed=1), [[1.0, 0, 0, 0, 0]])
    total = attention(x)
    because = "all values are 1, so this output is the sum of a row of attention weights, which should be 1"
    close(total, torch.ones_like(total), because)


@clause("formula")
@given(cases())
def test_agrees_with_torch(case):
    attention, x = case
    close(
        attention(x), of_torch(attention, x), "PyTorch's own causal attention, with your weights, gives another number"
    )


@clause("gradients")
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_torch(bias):
    attention, x = deal(CausalAttention(5, 3, 7, 0.0, bias)), numbers(2, 6, 5).requires_grad_()
    leaves = {"the input": x} | parameters(attention, *WEIGHTS)
    laws.gradients_agree(attention(x), of_torch(attention, x), leaves, "PyTorch's own causal attention")


@clause("dropout")
def test_in_training_mode_weights_are_dropped_and_the_others_scaled_up():
    call, without = attention_weights(CausalAttention, 0.25), attention_weights(CausalAttention, 0.0)()[..., :-1]
    axes = ("texts of a batch", "queries", "keys")
    laws.drops_each_weight_by_itself(lambda: call()[..., :-1], without, 0.25, axes)


@clause("dropout")
def test_it_is_the_weights_that_are_dropped():
    torch.manual_seed(0)
    seen = attention_weights(CausalAttention, 0.25)()
    because = (
        "one feature of each value is the sum of the others, but not in the output: were values or output dropped?"
    )
    close(seen[..., -1], seen[..., :-1].sum(dim=-1), because)
    assert (seen[:, -1] == 0).any(), "dropout is 0.25 in training mode, but no weight was dropped"


@clause("dropout")
def test_eval_drops_nothing():
    attention, without = (deal(CausalAttention(5, 3, 7, dropout)) for dropout in (0.5, 0.0))
    laws.eval_drops_nothing(attention, without, numbers(2, 6, 5))


@clause("buffer")
def test_there_are_no_other_parameters():
    others = [n for n in parameters(CausalAttention(3, 2, 6, 0.0, True)) if n.rpartition(".")[0] not in PROJECTIONS]
    assert not others, f"{others} are parameters too: an optimizer would train them"


@clause("buffer")
def test_the_mask_moves_with_the_module():
    laws.works_where_it_is_moved(CausalAttention(3, 2, 6, 0.0), torch.zeros(1, 4, 3))


@clause("state-dict")
def test_the_mask_is_not_saved():
    attention = CausalAttention(3, 2, 6, 0.0)
    extra = [name for name in attention.state_dict() if name not in parameters(attention)]
    assert not extra, f"the state dict also holds {extra}, which follows from context_length"


@clause("too-long")
def test_too_many_tokens_are_refused():
    with refuses(ValueError, 12, 11):
        CausalAttention(3, 2, 11, 0.0)(torch.zeros(1, 12, 3))


@clause("extreme")
@pytest.mark.parametrize("score", [40_000.0, -40_000.0])
def test_extreme_scores_stay_finite(score):
    attention, x = two_tokens(CausalAttention, score, score)
    seen = attention(x.requires_grad_())
    assert seen.isfinite().all(), f"the scores are {score:g}, and the output is {seen.flatten().tolist()}"
    seen.sum().backward()
    for name, leaf in {"the input": x, **parameters(attention)}.items():
        assert leaf.grad.isfinite().all(), f"the scores are {score:g}: the gradient of {name} is not finite"


@clause("hidden")
def test_a_hidden_token_has_no_weight_however_low_the_visible_scores_are():
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        limits = torch.finfo(dtype)
        for visible, hidden in ((limits.min, limits.min), (limits.min, limits.max), (0.0, limits.max)):
            attention, x = two_tokens(CausalAttention, visible, hidden, dtype)
            seen = attention(x)[0, 0].item()
            assert seen == 2, (
                f"in {dtype} the first token, of the value 2, has a score of {visible:.4g} with itself and of "
                f"{hidden:.4g} with a hidden token of the value 60: its output should be 2, and is {seen:g}"
            )


@clause("dtype")
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_the_dtype_is_kept(dtype):
    attention, x = deal(CausalAttention(5, 3, 7, 0.0, qkv_bias=True).to(dtype)), numbers(2, 6, 5, dtype=dtype)
    laws.keeps_dtype(attention, x, of_torch(copy.deepcopy(attention).double(), x.double()))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(deal(CausalAttention(5, 3, 7, 0.0)), numbers(2, 6, 5))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    attention, long, short = deal(CausalAttention(5, 3, 7, 0.0)), numbers(2, 7, 5), numbers(1, 2, 5)
    first = attention(long)
    attention(short)
    close(
        attention(long), first, "after a call with 2 tokens, a call with 7 tokens gives another number than before it"
    )
    try:
        copy.deepcopy(attention)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result, and with it the graph of that call")


@clause("seed")
def test_the_layers_are_created_in_the_books_order():
    torch.manual_seed(123)
    in_turn = {name: torch.nn.Linear(3, 2, bias=True) for name in PROJECTIONS}
    torch.manual_seed(123)
    known = parameters(CausalAttention(3, 2, 6, 0.0, qkv_bias=True), *WEIGHTS)
    for name, expected in in_turn.items():
        because = f"after the same seed, {name} is not the nn.Linear(3, 2) made in the order query, key, value"
        close(known[f"{name}.weight"], expected.weight, because)
