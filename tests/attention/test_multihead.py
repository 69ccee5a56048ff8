"""Multi-head attention, clause by clause. The why: docs/attention/multihead.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, scaled_dot_product_attention

from katas.attention.causal import CausalAttention
from katas.attention.multihead import MultiHeadAttention, MultiHeadAttentionWrapper
from tests import laws, probes
from tests.support import clause, close, dealt, filled, numbers, parameters, refuses

PROJECTIONS = ("W_query", "W_key", "W_value")
LAYERS = (*PROJECTIONS, "out_proj")
WEIGHTS = tuple(f"{name}.weight" for name in LAYERS)
DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@st.composite
def cases(draw):
    """A module, its num_heads and an input: Hypothesis draws the sizes and the seed; the seed deals the numbers."""
    batch, tokens, d_in, head_dim = (draw(st.integers(1, 4), label=axis) for axis in ("batch", "tokens", "in", "dim"))
    heads, bias = draw(st.integers(1, 4), label="num_heads"), draw(st.booleans(), label="qkv_bias")
    context_length = draw(st.integers(tokens, 6), label="context_length")
    attention = deal(MultiHeadAttention(d_in, heads * head_dim, context_length, 0.0, heads, bias))
    return attention, heads, 2 * numbers(batch, tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def deal(attention):
    """The module with fixed numbers in its layers; a mask that is a parameter, wrongly, keeps its own."""
    known = parameters(attention, *WEIGHTS)
    return filled(attention, {n: numbers(*known[n].shape, seed=n) for n in known if n.startswith(LAYERS)})


def of_torch(attention, num_heads, x):
    """What PyTorch's own attention makes of the same weights."""
    known = parameters(attention, *WEIGHTS)
    projected = [linear(x, known[f"{name}.weight"], known.get(f"{name}.bias")) for name in PROJECTIONS]
    heads = [each.unflatten(-1, (num_heads, -1)).transpose(1, 2) for each in projected]
    joined = scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
    return linear(joined, known["out_proj.weight"], known.get("out_proj.bias"))


def with_weights(attention, query, key, value):
    """The module with its three weights set, each (d_out, d_in) or what can be broadcast to that.

    out_proj is the identity, so the output is that of the joined heads.
    """
    known = parameters(attention, *WEIGHTS)
    zeros = {name: 0.0 for name in known if name.endswith("bias")}
    identity = torch.eye(len(known["out_proj.weight"]))
    return filled(attention, zeros | dict(zip(WEIGHTS, (query, key, value, identity), strict=True)))


def two_tokens(kata_class, visible, hidden, dtype=torch.float32):
    """A module of two heads of one feature, and two tokens of the values 2 and 60.

    The score of the first token with itself is `visible`, and with the second, which is hidden from it, `hidden`.
    """
    side = 2.0 ** (math.frexp(max(abs(visible), abs(hidden)))[1] // 2)
    attention = kata_class(3, 2, 3, 0.0, 2).to(dtype)
    with_weights(attention, [[side, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    return attention, torch.tensor([[[1, visible / side, 2], [1, hidden / side, 60]]], dtype=dtype)


def attention_weights(kata_class, dropout, tokens=24):
    """A function that calls a module of two heads in training mode, and gives (batch, tokens, heads, tokens + 1).

    These are the attention weights, where all scores are 0; one more column has the sum of each row.
    """
    values = torch.cat([torch.eye(tokens), torch.ones(1, tokens)]).repeat(2, 1)
    attention = with_weights(kata_class(tokens, 2 * (tokens + 1), tokens, dropout, 2), 0.0, 0.0, values)
    return lambda: attention(torch.eye(tokens).expand(8, -1, -1)).unflatten(-1, (2, -1))


def heads_of(wrapper):
    """The heads of a wrapper, which have to be CausalAttention in an nn.ModuleList."""
    heads = getattr(wrapper, "heads", None)
    assert isinstance(heads, torch.nn.ModuleList), f"heads should be an nn.ModuleList, and is a {type(heads).__name__}"
    kinds = {type(head).__name__ for head in heads if not isinstance(head, CausalAttention)}
    assert not kinds, f"each head should be a CausalAttention; there is a {kinds}"
    return heads


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    x = numbers(2, 6, 5)

    def made(dropout=0.0, bias=False):
        return deal(kata.MultiHeadAttention(5, 12, 7, dropout, 3, bias))

    def wrapper(*bias, dropout=0.0):
        return dealt(kata.MultiHeadAttentionWrapper(5, 4, 7, dropout, 3, *bias))

    def joined():
        """The heads without out_proj."""
        attention = made()
        attention.out_proj = torch.nn.Identity()
        return attention(x)

    def biases(kind, size):
        made = kind(5, size, 7, 0.0, 3), kind(5, size, 7, 0.0, 3, False), kind(5, size, 7, 0.0, 3, True)
        return [sum("bias" in name for name, _ in each.named_parameters()) for each in made]

    def dropped():
        """What dropout does to the weights of the last of 24 tokens, which are 1/24 without."""
        without, seen = (attention_weights(kata.MultiHeadAttention, rate)()[:, -1] for rate in (0.0, 0.25))
        if not torch.allclose(without[..., :-1].sum(-1), without[..., -1]):
            return "wrong without dropout"
        seen, total = seen[..., :-1], seen[..., -1]
        if not (seen == 0).any():
            return "no weight is 0" if not torch.allclose(made(0.25)(x), made()(x)) else "nothing"
        if not torch.allclose(seen.sum(-1), total, atol=1e-5):
            return "other sums"
        if torch.equal(seen[:, 0] == 0, seen[:, 1] == 0):
            return "the same in both heads"
        return "more than a third are 0" if (seen == 0).float().mean() > 0.37 else "some are 0"

    def the_others():
        seen = attention_weights(kata.MultiHeadAttention, 0.25)()[:, -1, :, :-1]
        return seen[seen != 0].amin() if (seen == 0).any() else "no weight is 0"

    def in_eval():
        return torch.allclose(made(0.25).eval()(x.clone()), made()(x.clone()), equal_nan=True)

    def leaks(visible, hidden, dtype=torch.float32):
        attention, tokens = two_tokens(kata.MultiHeadAttention, visible, hidden, dtype)
        return probes.exceeds(lambda: attention(tokens)[0, 0, 0], 2)

    def finite(score):
        attention, tokens = two_tokens(kata.MultiHeadAttention, score, score)
        return bool(attention(tokens).isfinite().all())

    def heads_apart():
        """How many parameters of their own the heads have, and whether two of them start alike."""
        seen = kata.MultiHeadAttentionWrapper(5, 4, 7, 0.0, 3)
        first = [head.W_query.weight for head in seen.heads]
        return len({id(p) for p in seen.parameters()}), len(first), first[0].shape, first[0].equal(first[-1])

    def too_long():
        return made()(numbers(2, 8, 5))

    lowest = torch.finfo(torch.float16).min
    return {
        "wrapper": lambda: wrapper()(x),
        "wrapper of one head": lambda: dealt(kata.MultiHeadAttentionWrapper(5, 4, 7, 0.0, 1))(x),
        "its heads": heads_apart,
        "its biases": lambda: biases(kata.MultiHeadAttentionWrapper, 4),
        "its dropout": lambda: torch.allclose(wrapper(dropout=0.25)(x), wrapper()(x)),
        "its lengths": lambda: probes.lengths(wrapper(), 1, 6, 7, features=5),
        "numbers": lambda: made()(x),
        "joined": joined,
        "one head": lambda: deal(kata.MultiHeadAttention(5, 12, 7, 0.0, 1))(x),
        "last token": lambda: joined()[:, -1],
        "first token": lambda: made()(x)[:, 0],
        "one token": lambda: made()(x[:, :1]),
        "biases": lambda: biases(kata.MultiHeadAttention, 12),
        "parameters": lambda: len(list(made().parameters())),
        "lengths": lambda: probes.lengths(made(), 1, 6, 7, features=5),
        "what learns": lambda: probes.learns((module := made())(x), module.parameters()),
        "gradient": lambda: probes.input_gradient(made(), x),
        "dropped": dropped,
        "not dropped": the_others,
        "in eval": in_eval,
        "device": lambda: probes.moved(made(), x),
        "5 heads": lambda: probes.refusal(lambda: kata.MultiHeadAttention(5, 12, 7, 0.0, 5)),
        "-1 heads": lambda: probes.refusal(lambda: kata.MultiHeadAttention(5, 12, 7, 0.0, -1)),
        "saved": lambda: probes.saves_more(made()),
        "too long": lambda: probes.refusal(too_long),
        "message": lambda: probes.names_all(too_long, 8, 7),
        "finite": lambda: [finite(score) for score in (50.0, 400.0, -40_000.0)],
        "low": lambda: [leaks(-4e4, -8e4), leaks(-(2.0**40), -(2.0**41)), leaks(lowest, lowest, torch.float16)],
        **{n: lambda dtype=dtype: probes.dtype(lambda: made().to(dtype)(x.to(dtype))) for n, dtype in DTYPES.items()},
        "precise": lambda: probes.precise(made().double()(x.double()), of_torch(made().double(), 3, x.double())),
        "input unchanged": lambda: probes.unchanged(made(), x),
        "copied": lambda: probes.copied(made(), x),
        "order": lambda: probes.in_order(lambda: kata.MultiHeadAttention(7, 7, 7, 0.0, 1), WEIGHTS, 7, 7),
    }


@clause("heads")
@pytest.mark.parametrize("bias", [False, True])
def test_each_head_is_a_causal_attention_of_its_own(bias):
    wrapper = MultiHeadAttentionWrapper(3, 2, 6, 0.25, 4, bias)
    heads = heads_of(wrapper)
    assert len(heads) == 4, f"num_heads is 4, but there are {len(heads)} heads"
    seen = {name: tuple(value.shape) for name, value in wrapper.named_parameters()}
    expected = {f"heads.{h}.{name}.weight": (2, 3) for h in range(4) for name in PROJECTIONS}
    expected |= {f"heads.{h}.{name}.bias": (2,) for h in range(4) for name in PROJECTIONS if bias}
    assert seen == expected, f"4 heads with d_in=3, d_out=2, qkv_bias={bias}: the parameters are {seen}"
    first, second = (heads[h].W_query.weight for h in (0, 1))
    assert not torch.equal(first, second), "two heads start with the same weights, so they would learn the same"
    unasked = [name for name, _ in MultiHeadAttentionWrapper(3, 2, 6, 0.25, 4).named_parameters() if "bias" in name]
    assert not unasked, f"without qkv_bias there is no bias by default, but there are {unasked}"


@clause("heads")
def test_the_heads_get_dropout_and_context_length():
    dropping, without = (dealt(MultiHeadAttentionWrapper(3, 2, 6, dropout, 4)) for dropout in (0.5, 0.0))
    heads_of(dropping)
    laws.eval_drops_nothing(dropping, without, numbers(2, 6, 3))


@clause("joined")
@pytest.mark.parametrize("num_heads", [1, 2, 5])
def test_the_outputs_of_the_heads_are_concatenated(num_heads):
    wrapper, x = dealt(MultiHeadAttentionWrapper(3, 2, 6, 0.0, num_heads)), numbers(2, 4, 3)
    alone = [head(x) for head in heads_of(wrapper)]
    close(
        wrapper(x), torch.cat(alone, dim=-1), f"{num_heads} heads of 2 features: the output should be theirs in order"
    )


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_there_are_three_projections_and_out_proj(bias):
    known = parameters(MultiHeadAttention(3, 8, 6, 0.0, 4, bias), *WEIGHTS)
    for name in PROJECTIONS:
        shape, has_bias = tuple(known[f"{name}.weight"].shape), f"{name}.bias" in known
        assert shape == (8, 3), f"d_in is 3 and d_out is 8, so {name}.weight should be (8, 3); it is {shape}"
        assert has_bias == bias, f"qkv_bias is {bias}, but {name} has {'a' if has_bias else 'no'} bias"
    assert "out_proj.bias" in known, "out_proj should have a bias, whatever qkv_bias is"
    shape = tuple(known["out_proj.weight"].shape)
    assert shape == (8, 8), f"d_out is 8, so out_proj.weight should be (8, 8); it is {shape}"


@clause("weights")
def test_there_is_no_bias_of_the_projections_by_default():
    biases = [name for name in parameters(MultiHeadAttention(3, 8, 6, 0.0, 4)) if "bias" in name]
    assert biases == ["out_proj.bias"], f"qkv_bias was not given and is False by default, but there are {biases}"


@clause("split")
def test_one_head_averages_and_the_other_looks_at_the_first_token():
    attention = MultiHeadAttention(4, 2, 6, 0.0, 2)
    query, key = torch.zeros(2, 4), torch.zeros(2, 4)
    query[1, 3], key[1, 2] = 5.0, 5.0  # in head 1, every token has the score 25 with the first, and 0 with the others
    with_weights(attention, query, key, torch.eye(2, 4))
    seen = attention(torch.tensor([[[2.0, 20.0, 1.0, 1.0], [4.0, 40.0, 0.0, 1.0], [6.0, 60.0, 0.0, 1.0]]]))
    because = (
        "head 0 has equal scores, head 1 looks at the first token, and out_proj is the identity: the values (2, 20), "
        f"(4, 40), (6, 60) should become (2, 20), (3, 20), (4, 20), and became {seen[0].tolist()}"
    )
    close(seen, torch.tensor([[[2.0, 20.0], [3.0, 20.0], [4.0, 20.0]]]), because)


@clause("split")
@pytest.mark.parametrize("name", PROJECTIONS)
@pytest.mark.parametrize("head", [0, 1, 2])
def test_the_rows_of_a_head_change_its_own_features_only(name, head):
    attention, own = MultiHeadAttention(4, 6, 6, 0.0, 3), slice(2 * head, 2 * head + 2)
    with_weights(attention, *(numbers(6, 4, seed=each) for each in PROJECTIONS))
    x = numbers(2, 5, 4)
    before = attention(x)
    with torch.no_grad():
        parameters(attention)[f"{name}.weight"][own] += 1
    changed = (attention(x) - before).abs() > 1e-5  # (batch, tokens, d_out)
    what = f"3 heads share 6 features, out_proj is the identity, and the rows {2 * head} and {2 * head + 1} of {name}"
    assert changed[..., own].any(), f"{what} were changed, but the features of head {head} are the same"
    changed[..., own] = False
    assert not changed.any(), f"{what} were changed, and features of another head changed with them"


@clause("causal")
@given(cases(), st.data())
def test_a_later_token_does_not_change_an_earlier_output(case, data):
    attention, _, x = case
    now, rewritten = data.draw(st.integers(0, x.shape[1] - 1), label="now"), x.clone()
    rewritten[:, now + 1 :] = 2 * numbers(*x[:, now + 1 :].shape, seed="rewritten")
    before, after = attention(x), attention(rewritten)
    because = f"only tokens after position {now} were changed, but an output up to there changed: it saw a later token"
    close(after[:, : now + 1], before[:, : now + 1], because)
    changed = now == x.shape[1] - 1 or not torch.equal(after[:, now + 1 :], before[:, now + 1 :])
    assert changed, f"the tokens after position {now} were changed, but no output changed"


@clause("formula")
@given(cases())
def test_agrees_with_torch(case):
    because = f"PyTorch's own attention, with your weights and {case[1]} heads, gives another number"
    close(case[0](case[2]), of_torch(*case), because)


@clause("gradients")
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_torch(bias):
    attention, x = deal(MultiHeadAttention(5, 6, 7, 0.0, 3, bias)), numbers(2, 6, 5).requires_grad_()
    leaves = {"the input": x} | {n: p for n, p in parameters(attention, *WEIGHTS).items() if n.startswith(LAYERS)}
    laws.gradients_agree(attention(x), of_torch(attention, 3, x), leaves, "PyTorch's own causal attention")


@clause("dropout")
def test_in_training_mode_weights_are_dropped_and_the_others_scaled_up():
    call, without = attention_weights(MultiHeadAttention, 0.25), attention_weights(MultiHeadAttention, 0.0)()[..., :-1]
    axes = ("texts of a batch", "queries", "heads", "keys")
    laws.drops_each_weight_by_itself(lambda: call()[..., :-1], without, 0.25, axes)


@clause("dropout")
def test_it_is_the_weights_that_are_dropped():
    torch.manual_seed(0)
    seen = attention_weights(MultiHeadAttention, 0.25)()
    because = (
        "one feature of each value is the sum of the others, but not in the output: were values or output dropped?"
    )
    close(seen[..., -1], seen[..., :-1].sum(dim=-1), because)
    assert (seen[:, -1] == 0).any(), "dropout is 0.25 in training mode, but no weight was dropped"


@clause("dropout")
def test_eval_drops_nothing():
    attention, without = (deal(MultiHeadAttention(5, 6, 7, dropout, 3)) for dropout in (0.5, 0.0))
    laws.eval_drops_nothing(attention, without, numbers(2, 6, 5))


@clause("buffer")
def test_there_are_no_other_parameters():
    names = parameters(MultiHeadAttention(3, 8, 6, 0.0, 4, True))
    others = [name for name in names if name.rpartition(".")[0] not in LAYERS]
    assert not others, f"{others} are parameters too: an optimizer would train them"


@clause("buffer")
def test_the_mask_moves_with_the_module():
    laws.works_where_it_is_moved(MultiHeadAttention(3, 8, 6, 0.0, 4), torch.zeros(1, 4, 3))


@clause("indivisible")
@pytest.mark.parametrize("num_heads", [0, -29, 2, 58])
def test_heads_that_do_not_divide_d_out_are_refused(num_heads):
    with refuses(ValueError, num_heads, 29):
        MultiHeadAttention(3, 29, 6, 0.0, num_heads)


@clause("state-dict")
def test_the_mask_is_not_saved():
    attention = MultiHeadAttention(3, 8, 6, 0.0, 4)
    extra = [name for name in attention.state_dict() if name not in parameters(attention)]
    assert not extra, f"the state dict also holds {extra}, which follows from context_length"


@clause("too-long")
def test_too_many_tokens_are_refused():
    with refuses(ValueError, 12, 11):
        MultiHeadAttention(3, 8, 11, 0.0, 4)(torch.zeros(1, 12, 3))


@clause("extreme")
@pytest.mark.parametrize("score", [40_000.0, -40_000.0])
def test_extreme_scores_stay_finite(score):
    attention, x = two_tokens(MultiHeadAttention, score, score)
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
            attention, x = two_tokens(MultiHeadAttention, visible, hidden, dtype)
            seen = attention(x)[0, 0].tolist()
            assert seen == [2, 2], (
                f"in {dtype} the first token, of the value 2, has a score of {visible:.4g} with itself and of "
                f"{hidden:.4g} with a hidden token of the value 60: its output should be 2 and 2, and is {seen}"
            )


@clause("dtype")
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_the_dtype_is_kept(dtype):
    attention, x = deal(MultiHeadAttention(5, 6, 7, 0.0, 3, True).to(dtype)), numbers(2, 6, 5, dtype=dtype)
    laws.keeps_dtype(attention, x, of_torch(copy.deepcopy(attention).double(), 3, x.double()))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(deal(MultiHeadAttention(5, 6, 7, 0.0, 3)), numbers(2, 6, 5))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    attention, long, short = deal(MultiHeadAttention(5, 6, 7, 0.0, 3)), numbers(2, 7, 5), numbers(1, 2, 5)
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
    in_turn = {name: torch.nn.Linear(3, 8) for name in PROJECTIONS} | {"out_proj": torch.nn.Linear(8, 8)}
    torch.manual_seed(123)
    known = parameters(MultiHeadAttention(3, 8, 6, 0.0, 4, qkv_bias=True), *WEIGHTS)
    for name, expected in in_turn.items():
        because = f"after the same seed, {name} is not the nn.Linear made in the order query, key, value, out_proj"
        close(known[f"{name}.weight"], expected.weight, because)
