"""Simplified attention, clause by clause. The why: docs/attention/simplified.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from katas.attention.simplified import attention_scores, attention_weights, context_vectors
from tests.support import clause, close, numbers

LN3 = math.log(3)


@st.composite
def cases(draw):
    """Hypothesis draws the axes, up to two before the tokens, and the seed, which deals the numbers."""
    before = draw(st.lists(st.integers(1, 3), max_size=2), label="axes before")
    tokens, d_in = draw(st.integers(1, 5), label="tokens"), draw(st.integers(1, 5), label="d_in")
    return 2 * numbers(*before, tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def of_torch(inputs):
    """What PyTorch's own attention makes of the inputs, when all three roles are theirs and nothing is divided."""
    return scaled_dot_product_attention(inputs, inputs, inputs, scale=1.0)


def steps(kata=None):
    """The three functions by name, each with what it should do to any input and with an input of its own."""
    scores, weights, contexts = attention_scores, attention_weights, context_vectors
    if kata:
        scores, weights, contexts = kata.attention_scores, kata.attention_weights, kata.context_vectors
    return [
        ("attention_scores", scores, lambda x: torch.einsum("...id, ...jd -> ...ij", x, x), numbers(2, 5, 3)),
        ("attention_weights", weights, lambda x: torch.softmax(x, -1), 4 * numbers(2, 5, 5)),
        ("context_vectors", contexts, of_torch, numbers(2, 5, 3)),
    ]


def glaring():
    """Four tokens whose scores with each other are 40 000, -40 000 and 0."""
    return torch.tensor([[200.0, 0.0], [-200.0, 0.0], [0.0, 200.0], [0.0, 0.0]])


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x, scores, weights, contexts = numbers(2, 5, 3), kata.attention_scores, kata.attention_weights, kata.context_vectors
    far = torch.tensor([[10_000.0, 10_000 + LN3, 9_000.0], [-10_000.0, -10_000 + LN3, -20_000.0], [50.0, -50.0, 49.0]])

    def gradient():
        leaf = x.clone().requires_grad_()
        contexts(leaf).square().sum().backward()
        return leaf.grad

    def precision(dtype):
        found = []
        for _, step, exact, x in steps(kata):
            seen, right = step(x.to(dtype)), exact(x.to(dtype).double())
            within = [torch.allclose(seen.double(), right, rtol=bar, atol=bar) for bar in (4e-2, 1e-5, 1e-9)]
            found.append((str(seen.dtype), within))
        return found

    def changed():
        found = []
        for _, step, _, x in steps(kata):
            theirs = x.clone()
            step(theirs)
            found.append(theirs)
        return found

    return {
        "scores": lambda: scores(x),
        "weights": lambda: weights(4 * numbers(2, 5, 5)),
        "contexts": lambda: contexts(x),
        "two axes": lambda: [scores(x[0]), weights(4 * numbers(5, 5)), contexts(x[0])],
        "four axes": lambda: [contexts(numbers(2, 4, 5, 3)), scores(numbers(2, 4, 5, 3))],
        "cube": lambda: [scores(numbers(3, 3, 3)), contexts(numbers(3, 3, 3))],
        "cube of four axes": lambda: [scores(numbers(3, 3, 3, 3)), contexts(numbers(3, 3, 3, 3))],
        "weights in four axes": lambda: weights(4 * numbers(2, 3, 5, 5)),
        "alone": lambda: contexts(numbers(2, 1, 3)),
        "far": lambda: weights(far),
        "rows apart": lambda: weights(torch.tensor([[90.0, 90 + LN3], [-90.0, -90 + LN3]])),
        "loud": lambda: contexts(glaring()),
        "long": lambda: [scores(3 * x), contexts(numbers(1, 5, 3)), contexts(numbers(1, 3, 5))],
        "gradient": gradient,
        "gradients flow": lambda: [step(g.clone().requires_grad_()).requires_grad for _, step, _, g in steps(kata)],
        "float64": lambda: precision(torch.float64),
        "bfloat16": lambda: precision(torch.bfloat16),
        "changed": changed,
    }


@clause("dots")
def test_three_tokens_a_hand_can_check():
    seen = attention_scores(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))
    expected = torch.tensor([[1.0, 0.0, 1.0], [0.0, 4.0, 2.0], [1.0, 2.0, 2.0]])
    because = "each row holds the dot products of one of the tokens (1, 0), (0, 2), (1, 1) with all three"
    close(seen, expected, because)


@clause("dots")
@given(cases())
def test_each_score_is_the_dot_product_of_its_two_tokens(inputs):
    pairs = inputs.unsqueeze(-2) * inputs.unsqueeze(-3)  # (*batch, tokens, tokens, d_in)
    because = f"row i, column j should be the dot product of tokens i and j, for inputs of shape {tuple(inputs.shape)}"
    close(attention_scores(inputs), pairs.sum(dim=-1), because)


@clause("symmetric")
@given(cases())
def test_two_tokens_score_the_same_whoever_is_asked(inputs):
    seen = attention_scores(inputs)
    close(seen.mT, seen, "row i, column j differs from row j, column i, and a dot product does not care who is first")
    assert seen.any(), "every score is 0, and no token is"


@clause("unscaled")
@pytest.mark.parametrize("d_in", [1, 4, 9, 64])
def test_no_width_divides_a_score(d_in):
    seen = attention_scores(torch.ones(3, d_in))
    close(seen, torch.full((3, 3), float(d_in)), f"tokens of {d_in} ones have dot products of {d_in}: was it divided?")


@clause("unscaled")
def test_tokens_twice_as_long_score_four_times_as_much():
    inputs = numbers(2, 5, 3)
    because = "the inputs were doubled, and the scores are not 4 times what they were: were lengths divided out?"
    close(attention_scores(2 * inputs), 4 * attention_scores(inputs), because)


@clause("share")
def test_zero_and_ln_three_become_a_quarter_and_three():
    seen = attention_weights(torch.tensor([[0.0, LN3], [5.0, 5.0]]))
    because = f"the rows 0, ln 3 and 5, 5 are 1/4, 3/4 and 1/2, 1/2; seen {seen.tolist()}"
    close(seen, torch.tensor([[0.25, 0.75], [0.5, 0.5]]), because)


@clause("share")
@given(cases())
def test_each_row_is_its_own_softmax(inputs):
    scores = 3 * inputs @ inputs.mT + 100 * numbers(*inputs.shape[:-1], 1, seed="rows")  # rows far from each other
    because = "a row of weights is not the softmax of that row of scores: another axis, or not exp over its sum?"
    close(attention_weights(scores), torch.softmax(scores, -1), because)


@clause("sums")
@given(cases())
def test_each_row_of_weights_sums_to_one(inputs):
    seen = attention_weights(3 * inputs @ inputs.mT)
    assert (seen >= 0).all(), f"the smallest weight is {seen.min():.6g}: a weight below 0 is none"
    total = seen.sum(dim=-1)
    close(total, torch.ones_like(total), "this is the sum of one row of weights, and should be 1")


@clause("stable")
@pytest.mark.parametrize("far", [10_000, -10_000])
def test_far_from_zero_the_weights_stay(far):
    seen = attention_weights(torch.tensor([[0.0, LN3], [LN3, 0.0]], dtype=torch.float64) + far)
    because = f"{far} and {far} + ln 3 are 1/4 and 3/4; seen {seen[0].tolist()}: exp() of a score so far out?"
    close(seen, torch.tensor([[0.25, 0.75], [0.75, 0.25]], dtype=torch.float64), because)


@clause("mean")
def test_a_token_of_zeros_gets_the_plain_mean():
    seen = context_vectors(torch.tensor([[0.0, 0.0], [3.0, 0.0], [6.0, 9.0]]))[0]
    because = f"(0, 0) scores 0 with (0, 0), (3, 0) and (6, 9), and got {seen.tolist()}, not their mean"
    close(seen, torch.tensor([3.0, 3.0]), because)


@clause("mean")
def test_a_token_alone_gets_itself():
    alone = numbers(3, 1, 4)
    close(context_vectors(alone), alone, "there is one token, so its weight is 1, and its context vector is itself")


@clause("agrees")
@given(cases())
def test_agrees_with_torch(inputs):
    close(context_vectors(inputs), of_torch(inputs), "PyTorch's own attention, without a scale, gives other numbers")


@clause("agrees")
def test_huge_scores_leave_no_choice():
    inputs = glaring().requires_grad_()
    seen = context_vectors(inputs)
    expected = torch.cat([inputs[:3], inputs.mean(dim=0, keepdim=True)])
    because = "scores of 40 000 leave each token to itself, and the token of zeros to the mean of all"
    close(seen, expected, f"{because}; seen {seen.tolist()}")
    seen.sum().backward()
    assert inputs.grad.isfinite().all(), "the context vectors are finite, but the gradient of the inputs is not"


@clause("apart")
@given(cases(), st.data())
def test_each_sequence_comes_out_as_alone(inputs, data):
    if inputs.dim() == 2:
        inputs = torch.stack([inputs, inputs + 1, -inputs])
    place = tuple(data.draw(st.integers(0, size - 1), label="place") for size in inputs.shape[:-2])
    seen = context_vectors(inputs)[place]
    because = f"of inputs {tuple(inputs.shape)}, sequence {list(place)} has other context vectors than when it is alone"
    close(seen, context_vectors(inputs[place]), because)
    assert not torch.equal(context_vectors(inputs[place] + 1), seen), "a sequence was rewritten, and nothing moved"


@clause("reorder")
@given(cases(), st.data())
def test_reordering_the_tokens_reorders_the_context_vectors(inputs, data):
    order = data.draw(st.permutations(range(inputs.shape[-2])), label="order")
    seen, expected = context_vectors(inputs[..., order, :]), context_vectors(inputs)[..., order, :]
    because = f"the tokens were put in the order {order}, and a context vector changed more than its place"
    close(seen, expected, because)
    assert expected.any(), "every context vector is 0, and no token is"


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(inputs):
    leaf = inputs.double().requires_grad_()
    seen, expected = context_vectors(leaf), of_torch(leaf)
    assert seen.requires_grad, "no gradient flows back from the context vectors: they were detached"
    towards = numbers(*seen.shape, seed="towards", dtype=torch.float64)
    (right,) = torch.autograd.grad(expected, leaf, towards)
    (mine,) = torch.autograd.grad(seen, leaf, towards, allow_unused=True)
    assert mine is not None, "no gradient reaches the inputs: something on the way was detached"
    close(mine, right, "the inputs take part three times, and their gradient is not the one that the formula has")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    for name, step, exact, x in steps():
        expected = exact(x.to(dtype).double()).to(dtype)
        close(step(x.to(dtype)), expected, f"{name}: {dtype} went in; is there another dtype on the way?")


@clause("pure")
def test_no_function_changes_its_argument():
    for name, step, exact, x in steps():
        before = x.clone()
        seen = step(x)
        assert torch.equal(x, before), f"{name}: its argument has other numbers after the call"
        close(seen, exact(before), f"{name}: its argument was left alone, but the result is not the one it should give")
