"""Simplified attention, clause by clause. The why: docs/attention/simplified.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from katas.attention.simplified import attention_scores, attention_weights, context_vectors
from tests import laws, probes
from tests.support import clause, close, numbers

LN3 = math.log(3)
DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@st.composite
def sequences(draw):
    """Hypothesis draws the sizes of a sequence (tokens, d_in) and the seed, which deals the numbers."""
    tokens, d_in = draw(st.integers(1, 5), label="tokens"), draw(st.integers(1, 5), label="d_in")
    return 2 * numbers(tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def of_torch(inputs):
    """What PyTorch's own attention makes of the inputs as queries, keys and values, when nothing is divided."""
    return scaled_dot_product_attention(inputs, inputs, inputs, scale=1.0)


STEPS = {  # each with what it should give, and with the shape of an argument
    "attention_scores": (attention_scores, lambda x: torch.einsum("...id, ...jd -> ...ij", x, x), (5, 3)),
    "attention_weights": (attention_weights, lambda x: torch.softmax(x, -1), (5, 5)),
    "context_vectors": (context_vectors, of_torch, (5, 3)),
}
each_step = pytest.mark.parametrize("name", STEPS)


def extreme():
    """Four tokens whose scores with each other are 40 000, -40 000 and 0."""
    return torch.tensor([[200.0, 0.0], [-200.0, 0.0], [0.0, 200.0], [0.0, 0.0]])


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x, square = numbers(5, 3), 4 * numbers(5, 5)
    scores, weights, contexts = kata.attention_scores, kata.attention_weights, kata.context_vectors

    def gradient():
        leaf = x.clone().requires_grad_()
        seen = contexts(leaf).square().sum()
        return torch.autograd.grad(seen, leaf)[0] if seen.requires_grad else "none"

    def apart(step, shape):
        """Whether each sequence of a batch gives what it gives alone."""
        batch = numbers(*shape)
        try:
            return torch.allclose(step(batch)[1], step(batch[1]), rtol=1e-4, atol=1e-5)
        except Exception:
            return "an error"

    def of_dtype(step, shape):
        return [str(step(numbers(*shape, dtype=dtype)).dtype) for dtype in DTYPES.values()]

    return {
        "scores": lambda: scores(x),
        "weights": lambda: weights(square.clone()),
        "contexts": lambda: contexts(x),
        "contexts beside their steps": lambda: contexts(x) - weights(scores(x)) @ x,
        "contexts of zeros": lambda: contexts(torch.zeros(2, 2)) + contexts(torch.tensor([[0.0, 0.0], [0.0, 8.0]]))[0],
        "gradient": gradient,
        "scores of a batch": lambda: apart(scores, (2, 5, 3)),
        "weights of a batch": lambda: apart(weights, (2, 5, 5)),
        "contexts of a batch": lambda: apart(contexts, (2, 5, 3)),
        "scores in four axes": lambda: apart(scores, (2, 2, 5, 3)),
        "finite": lambda: [bool(weights(s + square).isfinite().all()) for s in (0.0, 4e4, -4e4)],
        "rows far apart": lambda: bool(weights(torch.tensor([[90.0, 91.0], [-90.0, -91.0]])).isfinite().all()),
        "far": lambda: weights(torch.tensor([[1e4, 1e4 + LN3], [0.0, 1.0]], dtype=torch.float64))[0, 0].item() > 0.4,
        "dtype of scores": lambda: of_dtype(scores, (5, 3)),
        "dtype of weights": lambda: of_dtype(weights, (5, 5)),
        "dtype of contexts": lambda: of_dtype(contexts, (5, 3)),
        "precise": lambda: probes.precise(weights(square.double()), torch.softmax(square.double(), -1)),
        "scores unchanged": lambda: probes.unchanged(weights, square),
        "inputs unchanged": lambda: probes.unchanged(contexts, x),
    }


@clause("scores")
def test_the_scores_of_three_tokens():
    seen = attention_scores(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))
    expected = torch.tensor([[1.0, 0.0, 1.0], [0.0, 4.0, 2.0], [1.0, 2.0, 2.0]])
    close(seen, expected, "each row holds the dot products of one of the tokens (1, 0), (0, 2), (1, 1) with all three")


@clause("scores")
@given(sequences())
def test_each_score_is_a_dot_product(inputs):
    products = inputs.unsqueeze(-2) * inputs.unsqueeze(-3)  # (tokens, tokens, d_in)
    because = f"row i, column j should be the dot product of tokens i and j; the inputs are {tuple(inputs.shape)}"
    close(attention_scores(inputs), products.sum(dim=-1), because)


@clause("softmax")
def test_zero_and_ln_three_become_a_quarter_and_three_quarters():
    seen = attention_weights(torch.tensor([[0.0, LN3], [5.0, 5.0]]))
    because = f"the rows 0, ln 3 and 5, 5 should become 1/4, 3/4 and 1/2, 1/2; they became {seen.tolist()}"
    close(seen, torch.tensor([[0.25, 0.75], [0.5, 0.5]]), because)


@clause("softmax")
@given(sequences())
def test_each_row_is_its_own_softmax(inputs):
    scores = inputs @ inputs.mT + 10 * numbers(len(inputs), 1, seed="rows")
    because = "a row of weights is not the softmax of that row of scores"
    close(attention_weights(scores), torch.softmax(scores, -1), because)


@clause("average")
def test_a_token_of_zeros_gets_the_plain_average():
    seen = context_vectors(torch.tensor([[0.0, 0.0], [3.0, 0.0], [6.0, 9.0]]))[0]
    because = f"the token (0, 0) has the score 0 with (0, 0), (3, 0) and (6, 9), and got {seen.tolist()}"
    close(seen, torch.tensor([3.0, 3.0]), because)


@clause("formula")
@given(sequences())
def test_agrees_with_torch(inputs):
    close(context_vectors(inputs), of_torch(inputs), "PyTorch's own attention, without a scale, gives another number")


@clause("gradients")
def test_the_gradient_is_that_of_torch():
    leaf = numbers(5, 3).requires_grad_()
    laws.gradients_agree(context_vectors(leaf), of_torch(leaf), {"the inputs": leaf}, "PyTorch's own attention")


@clause("batch")
@each_step
def test_each_sequence_gives_what_it_gives_alone(name):
    step, exact, shape = STEPS[name]
    for before in ((2,), (5,), (2, 3)):
        x = numbers(*before, *shape)
        close(step(x), exact(x), f"{name} of an argument of shape {tuple(x.shape)}")


@clause("extreme")
@pytest.mark.parametrize("score", [40_000, -40_000])
def test_weights_of_extreme_scores(score):
    seen = attention_weights(torch.tensor([[0.0, LN3], [LN3, 0.0]], dtype=torch.float64) + score)
    because = f"{score} and {score} + ln 3 should become 1/4 and 3/4; they became {seen[0].tolist()}"
    close(seen, torch.tensor([[0.25, 0.75], [0.75, 0.25]], dtype=torch.float64), because)


@clause("extreme")
def test_context_vectors_and_gradient_of_extreme_scores():
    inputs = extreme().requires_grad_()
    seen = context_vectors(inputs)
    expected = torch.cat([inputs[:3], inputs.mean(dim=0, keepdim=True)]).detach()
    close(seen, expected, "with a score of 40 000 with itself, a token gets itself; a token of zeros gets the average")
    seen.sum().backward()
    assert inputs.grad.isfinite().all(), "the context vectors are finite, but the gradient of the inputs is not"


@clause("dtype")
@each_step
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_the_dtype_is_kept(name, dtype):
    step, exact, shape = STEPS[name]
    x = 2 * numbers(*shape, dtype=dtype)
    laws.keeps_dtype(step, x, exact(x.double()))


@clause("pure")
@each_step
def test_the_argument_is_not_changed(name):
    step, _, shape = STEPS[name]
    laws.leaves_its_inputs_alone(step, numbers(*shape))
