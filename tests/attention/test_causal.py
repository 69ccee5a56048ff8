"""Causal attention, clause by clause. The why: docs/attention/causal.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, scaled_dot_product_attention

from katas.attention.causal import CausalAttention
from tests.support import OneDevice, clause, close, dealt, numbers, refuses

PROJECTIONS = ("W_query", "W_key", "W_value")


@st.composite
def cases(draw, qkv_bias=None):
    """Hypothesis draws the sizes and the seed, which shrink; the seed deals the numbers."""
    batch, tokens, d_in, d_out = (draw(st.integers(1, 5), label=axis) for axis in ("batch", "tokens", "d_in", "d_out"))
    context_length = draw(st.integers(tokens, 8), label="context_length")
    if qkv_bias is None:
        qkv_bias = draw(st.booleans(), label="qkv_bias")
    attention = dealt(CausalAttention(d_in, d_out, context_length, dropout=0.0, qkv_bias=qkv_bias))
    return attention, numbers(batch, tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def parameters(attention):
    """The parameters by name; the three weights, which every test needs, are among them."""
    found = dict(attention.named_parameters())
    for name in PROJECTIONS:
        assert f"{name}.weight" in found, f"there is no parameter {name}.weight; there are {list(found)}"
    return found


def of_torch(attention, x):
    """What PyTorch's own causal attention makes of the same weights."""
    known = parameters(attention)
    projected = [linear(x, known[f"{name}.weight"], known.get(f"{name}.bias")) for name in PROJECTIONS]
    return scaled_dot_product_attention(*projected, is_causal=True)


def with_weights(attention, query, key, value):
    """The module with its three weights set, each (d_out, d_in) or what spreads to that, and no bias."""
    weights = {"W_query.weight": query, "W_key.weight": key, "W_value.weight": value}
    with torch.no_grad():
        for name, parameter in parameters(attention).items():
            parameter.copy_(torch.as_tensor(weights.get(name, 0.0)))
    return attention


def glaring(kata_class):
    """A module and three tokens (sign, value) whose scores are 40 000 and -40 000; the output should be 2, 3, 3.

    A token scores -40 000 with its like, itself included, and 40 000 with its opposite. The first is alone with its
    value 2. The second sees two of a kind, 2 and 4. The third looks away from itself, at both of its opposites.
    """
    attention = with_weights(kata_class(2, 1, 3, 0.0), [[200.0, 0.0]], [[-200.0, 0.0]], [[0.0, 1.0]])
    return attention, torch.tensor([[[1.0, 2.0], [1.0, 4.0], [-1.0, 60.0]]])


def bare_weights(kata_class, dropout, tokens):
    """A module and an input, such that the output is the attention weights and, as one more feature, their row's sum.

    Every token is one-hot and nothing is preferred, so that token t gives 1 / (t + 1) to itself and to each before it.
    """
    values = torch.cat([torch.eye(tokens), torch.ones(1, tokens)])
    attention = with_weights(kata_class(tokens, tokens + 1, tokens, dropout), 0.0, 0.0, values)
    return attention, torch.eye(tokens).expand(8, -1, -1)


def calls_within(module):
    """A list that takes the name of each part of the module when the part has done its work."""
    called = []
    for name, part in list(module.named_modules())[1:]:
        part.register_forward_hook(lambda *_, name=name: called.append(name))
    return called


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    x = numbers(2, 6, 5)

    def made(dropout=0.0, bias=False):
        return dealt(kata.CausalAttention(5, 3, 7, dropout, bias))

    def shapes(*bias):
        found = kata.CausalAttention(5, 3, 7, 0.0, *bias).named_parameters()
        return [(name if name.startswith(PROJECTIONS) else "another", tuple(value.shape)) for name, value in found]

    def loud():
        attention, tokens = glaring(kata.CausalAttention)
        return attention(tokens), made()(torch.cat([200 * x[:1], x[1:]]))[1], gradients(0.0)

    def thinned(rate):
        attention, one_hot = bare_weights(kata.CausalAttention, rate, 7)
        return attention(one_hot), attention(one_hot)

    def gradients(dropout):
        attention, leaf = made(dropout), x.clone().requires_grad_()
        attention(leaf).square().sum().backward()
        return [leaf.grad, *(parameter.grad for parameter in attention.parameters())]

    def precision():
        seen, exact = made().double()(x.double()), of_torch(made().double(), x.double())
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def changed():
        given = x.clone()
        made()(given)
        return given

    def copied():
        attention = made()
        attention(x)
        return copy.deepcopy(attention)(x)

    def lengths(*lengths):
        attention = made()
        return [attention(numbers(2, tokens, 5)) for tokens in lengths]

    def refused(tokens, training):
        attention = made().train(training)
        called = calls_within(attention)
        try:
            return tuple(attention(numbers(2, tokens, 5)).shape)
        except Exception as error:
            return type(error).__name__, str(tokens) in str(error), "7" in str(error), bool(called)

    def moved():
        attention = made().to("meta")
        left_behind = [tuple(value.shape) for value in vars(attention).values() if isinstance(value, torch.Tensor)]
        try:
            with OneDevice():
                return made()(x), left_behind, attention(x.to("meta")).device.type
        except Exception as error:
            return made()(x), left_behind, type(error).__name__

    return {
        "numbers": lambda: made(bias=True)(x),
        "loud": loud,
        "view": lambda: made()(numbers(2, 5, 6).mT),
        "gradients": lambda: [gradients(0.0), gradients(0.25)],
        "changed": changed,
        "copied": copied,
        "lengths": lambda: lengths(7, 2, 7),
        "thinned": lambda: thinned(0.25),
        "eval": lambda: made(0.25).eval()(x),
        "float64": precision,
        "bfloat16": lambda: str(made().bfloat16()(x.bfloat16()).dtype),
        "float16": lambda: str(made().half()(x.half()).dtype),
        "parameters": lambda: [shapes(), shapes(False), shapes(True)],
        "in turn": lambda: list(kata.CausalAttention(5, 3, 7, 0.0, True).parameters()),
        "saved": lambda: ([tuple(value.shape) for value in made().state_dict().values()], shapes()),
        "refused": lambda: [refused(tokens, training) for tokens in (7, 8, 9) for training in (True, False)],
        "moved": moved,
    }


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_three_projections_are_the_only_parameters(bias):
    seen = {name: tuple(value.shape) for name, value in CausalAttention(3, 2, 6, 0.0, bias).named_parameters()}
    expected = {f"{name}.weight": (2, 3) for name in PROJECTIONS}
    expected |= {f"{name}.bias": (2,) for name in PROJECTIONS if bias}
    assert seen == expected, f"d_in=3, d_out=2, qkv_bias={bias}: the parameters are {seen}, expected {expected}"


@clause("weights")
def test_there_is_no_bias_unless_it_is_asked_for():
    biases = [name for name, _ in CausalAttention(3, 2, 6, 0.0).named_parameters() if name.endswith("bias")]
    assert not biases, f"qkv_bias was not given and is False by default, yet there are {biases}"


@clause("weights")
def test_the_projections_are_made_in_the_books_order():
    torch.manual_seed(123)
    in_turn = {name: torch.nn.Linear(3, 2, bias=True) for name in PROJECTIONS}
    torch.manual_seed(123)
    seen = parameters(CausalAttention(3, 2, 6, 0.0, qkv_bias=True))
    for name, expected in in_turn.items():
        because = f"after the same seed, {name} differs from a Linear(3, 2) made in its turn: query, key, value"
        close(seen[f"{name}.weight"], expected.weight, because)
        close(seen[f"{name}.bias"], expected.bias, because)


@clause("average")
def test_tokens_without_a_preference_average_their_past():
    attention = with_weights(CausalAttention(1, 1, 6, 0.0), 0.0, 1.0, 1.0)
    seen = attention(torch.tensor([[[2.0], [4.0], [6.0]]]))
    because = f"values 2, 4, 6 and scores of 0 should give 2, 3, 4; seen {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[2.0], [3.0], [4.0]]]), because)


@clause("past")
@given(cases(), st.data())
def test_rewriting_the_future_leaves_the_past_alone(case, data):
    attention, x = case
    now, rewritten = data.draw(st.integers(0, x.shape[1] - 1), label="now"), x.clone()
    rewritten[:, now + 1 :] += 200 * numbers(*x[:, now + 1 :].shape, seed="rewritten")
    before, after = attention(x), attention(rewritten)
    because = f"only tokens after position {now} were rewritten, yet an output at or before it moved: it saw them"
    close(after[:, : now + 1], before[:, : now + 1], because)
    for position in range(now + 1, x.shape[1]):
        moved = not torch.equal(after[:, position], before[:, position])
        assert moved, f"tokens {now + 1} to {position} were rewritten, yet the output at {position} did not move"


@clause("past")
def test_a_glaring_future_stays_hidden():
    attention, x = glaring(CausalAttention)
    seen = attention(x)[0, 0].item()
    assert seen == 2, (
        f"the first token, of value 2, scores -40 000 with itself and 40 000 with a later 60: its output is {seen:g}, "
        "not 2. A hidden score that is only lowered, or set to some number, still counts"
    )


@clause("convex")
@given(cases(qkv_bias=True))
def test_equal_values_come_back_unchanged(case):
    attention, x = case
    known = parameters(attention)
    with torch.no_grad():
        known["W_value.weight"].zero_()
        known["W_value.bias"].fill_(1)
    total = attention(x)
    because = (
        "every value is 1, so the output is the sum of a row of weights: cut after the softmax, or the wrong axis?"
    )
    close(total, torch.ones_like(total), because)


@clause("rows")
@given(cases(), st.data())
def test_rewriting_one_sequence_leaves_the_others_alone(case, data):
    attention, x = case
    row, rewritten = data.draw(st.integers(0, len(x) - 1), label="row"), x.clone()
    rewritten[row] += 200 * numbers(*x[row].shape, seed="rewritten")
    before, after = attention(x), attention(rewritten)
    others = [other for other in range(len(x)) if other != row]
    because = f"only row {row} of {len(x)} was rewritten, yet another moved: rows of the batch got mixed"
    close(after[others], before[others], because)
    assert not torch.equal(after[row], before[row]), f"row {row} was rewritten, yet its output did not move"


@clause("agrees")
@given(cases())
def test_agrees_with_torch(case):
    attention, x = case
    close(attention(x), of_torch(attention, x), "with the same weights, PyTorch's own attention gives other numbers")


@clause("agrees")
@pytest.mark.parametrize("view", ["transposed", "every other feature", "one sequence three times"])
def test_a_view_is_as_good_as_a_copy(view):
    attention = dealt(CausalAttention(5, 3, 7, 0.0))
    x = {
        "transposed": numbers(2, 5, 6).mT,
        "every other feature": numbers(2, 6, 10)[..., ::2],
        "one sequence three times": numbers(1, 6, 5).expand(3, -1, -1),
    }[view]
    close(attention(x), of_torch(attention, x.clone()), f"the input is a view, {view}: its numbers do not lie in a row")


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(case):
    attention, x = case[0].double(), case[1].double().requires_grad_()
    leaves = {"the input": x} | parameters(attention)
    seen, expected = attention(x), of_torch(attention, x)
    assert seen.requires_grad, "no gradient flows back from the output: it was detached, or computed without gradients"
    towards = numbers(*seen.shape, seed="towards", dtype=torch.float64)
    theirs = torch.autograd.grad(expected, list(leaves.values()), towards)
    mine = torch.autograd.grad(seen, list(leaves.values()), towards, allow_unused=True)
    for name, gradient, right in zip(leaves, mine, theirs, strict=True):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        close(gradient, right, f"the gradient of {name} is not the one that PyTorch's own attention gives")


@clause("gradients")
def test_dropout_lets_gradients_through():
    torch.manual_seed(0)
    attention, x = dealt(CausalAttention(5, 3, 7, dropout=0.5)).train(), numbers(2, 6, 5).requires_grad_()
    attention(x).square().sum().backward()
    for name, leaf in {"the input": x, **parameters(attention)}.items():
        reached = leaf.grad is not None and leaf.grad.any()
        assert reached, f"with dropout 0.5, while training, no gradient reaches {name}"


@clause("pure")
def test_a_call_leaves_the_input_alone():
    attention, x = dealt(CausalAttention(5, 3, 7, 0.0)), numbers(2, 6, 5)
    before = x.clone()
    seen = attention(x)
    assert torch.equal(x, before), "the input has other numbers after the call: something was written in place"
    close(seen, of_torch(attention, before), "the input was left alone, but the output is not the one it should give")


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    attention, long, short = dealt(CausalAttention(5, 3, 7, 0.0)), numbers(2, 7, 5), numbers(1, 2, 5)
    first = attention(long)
    attention(short)
    close(attention(long), first, "7 tokens, then 2, then the same 7 gave other numbers: an earlier call left a trace")
    try:
        twin = copy.deepcopy(attention)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(long), first, "a copy of the module gives other numbers than the module")


@clause("dropout")
def test_training_drops_weights_and_scales_up_the_rest():
    """Of 4 224 draws, a share of 0.04 above or below the mean is 6 standard deviations."""
    torch.manual_seed(0)
    attention, x = bare_weights(CausalAttention, dropout=0.25, tokens=32)
    counted = attention(x)[..., :-1] * torch.arange(1, 33)[:, None]  # (batch, tokens, tokens): 1 where nothing is done
    counted = counted[:, torch.ones(32, 32).tril().bool()]
    dropped = (counted == 0).float().mean().item()
    assert 0 < dropped < 1, f"dropout is 0.25 and the module is training; a share of {dropped:g} was dropped"
    stayed = counted[counted != 0]
    because = f"with dropout 0.25, weights that stay count 1 / 0.75 = 1.33 times; here up to {stayed.amax():.3g} times"
    close(stayed, torch.full_like(stayed, 4 / 3), because)
    assert abs(dropped - 0.25) < 0.04, f"with dropout 0.25, a share of {dropped:.2f} of the weights was dropped"


@clause("dropout")
def test_it_is_the_weights_that_are_dropped():
    torch.manual_seed(0)
    attention, x = bare_weights(CausalAttention, dropout=0.25, tokens=32)
    seen = attention(x)
    because = "in each value one feature is the sum of the others, in the output not: were values or output dropped?"
    close(seen[..., -1], seen[..., :-1].sum(dim=-1), because)
    assert (seen[:, -1] == 0).any(), "dropout is 0.25 and the module is training, yet no weight was dropped"


@clause("dropout")
def test_every_weight_is_dropped_on_its_own():
    torch.manual_seed(0)
    attention, x = bare_weights(CausalAttention, dropout=0.25, tokens=32)
    first, second = attention(x)[..., :31] == 0, attention(x)[..., :31] == 0  # (batch, tokens, 31): what was dropped
    for what, one, other in (
        ("two calls", first[:, -1], second[:, -1]),
        ("two sequences of a batch", first[0, -1], first[1, -1]),
        ("two tokens", first[:, -1], first[:, -2]),
        ("all tokens of the past", first[:, -1, 1:], first[:, -1, :-1]),
    ):
        assert not torch.equal(one, other), f"{what} were thinned alike: there is one draw for what should be many"


@clause("eval")
def test_eval_drops_nothing():
    attention, x = dealt(CausalAttention(5, 3, 7, dropout=0.5)), numbers(2, 6, 5)
    without = dealt(CausalAttention(5, 3, 7, dropout=0.0))(x)
    close(attention.eval()(x), without, "in eval(), dropout 0.5 gives other numbers than dropout 0")
    assert not torch.equal(attention.train()(x), without), "back in train(), dropout 0.5 drops nothing"


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    attention, x = dealt(CausalAttention(5, 3, 7, 0.0, qkv_bias=True).to(dtype)), numbers(2, 6, 5, dtype=dtype)
    expected = of_torch(copy.deepcopy(attention).double(), x.double()).to(dtype)
    close(attention(x), expected, f"{dtype} went in, and in that dtype and its precision PyTorch gives other numbers")


@clause("finite")
def test_huge_scores_stay_finite():
    attention, x = glaring(CausalAttention)
    seen = attention(x.requires_grad_())
    assert seen.isfinite().all(), f"nan or inf in {seen.flatten().tolist()}: exp() of a raw score, or a row all hidden"
    close(seen, torch.tensor([[[2.0], [3.0], [3.0]]]), "scores of 40 000 leave no choice but 2, 3, 3")
    seen.sum().backward()
    for name, leaf in {"the input": x, **parameters(attention)}.items():
        assert leaf.grad.isfinite().all(), f"the output is finite, but the gradient of {name} is not"


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_too_many_tokens_are_refused(mode):
    attention = CausalAttention(3, 2, 11, 0.0).train(mode == "train")
    called = calls_within(attention)
    with refuses(ValueError, 12, 11):
        attention(torch.zeros(1, 12, 3))
    assert not called, f"12 tokens were refused, but only after {', '.join(called)} had worked on them"


@clause("length")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("tokens", [1, 10, 11])
def test_any_length_that_fits_is_fine(tokens, mode):
    attention, x = dealt(CausalAttention(3, 2, 11, 0.0)).train(mode == "train"), numbers(2, tokens, 3)
    close(attention(x), of_torch(attention, x), f"context_length is 11, so {tokens} tokens fit, as they do in PyTorch")


@clause("mask")
def test_the_mask_is_not_saved():
    extra = [name for name in CausalAttention(3, 2, 6, 0.0).state_dict() if name.rpartition(".")[0] not in PROJECTIONS]
    assert not extra, f"the state dict also holds {extra}: what can be derived need not be saved"


@clause("mask")
def test_weights_travel_to_another_context_length():
    short, long, x = dealt(CausalAttention(3, 2, 4, 0.0)), CausalAttention(3, 2, 9, 0.0), numbers(2, 4, 3)
    expected = short(x)
    assert not torch.equal(long(x), expected), "two modules with different weights give the same output"
    long.load_state_dict(short.state_dict())
    close(long(x), expected, "with the same weights, a context_length of 9 gives other numbers than one of 4")
    short.load_state_dict(long.state_dict())
    close(short(x), expected, "weights went from a context_length of 4 to one of 9 and back, and the numbers changed")


@clause("mask")
def test_the_mask_moves_with_the_module():
    attention, x = CausalAttention(3, 2, 6, 0.0).to("meta"), torch.zeros(1, 4, 3, device="meta")
    with OneDevice():
        assert attention(x).device.type == "meta"
