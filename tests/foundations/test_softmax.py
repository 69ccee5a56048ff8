"""Softmax, clause by clause. The why: docs/foundations/softmax.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.foundations.softmax import log_softmax, softmax
from tests.laws import gradients_agree, keeps_dtype, leaves_its_inputs_alone
from tests.support import clause, close, numbers

LN3, LN4, INF = math.log(3), math.log(4), math.inf
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)


@st.composite
def cases(draw):
    """Scores between -4 and 4, with one to three axes, and one of the axes, counted from the front or from the end."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3), label="shape")
    dim = draw(st.integers(-len(shape), len(shape) - 1), label="dim")
    return 4 * numbers(*shape, seed=draw(st.integers(0, 99), label="seed")), dim


def line_by_line(function, x, dim):
    """What a function makes of each line alone, put back where the line was."""
    lines = x.movedim(dim, -1)
    alone = torch.stack([function(line.clone(), 0) for line in lines.reshape(-1, x.shape[dim])])
    return alone.reshape(lines.shape).movedim(-1, dim)


def hidden_scores():
    """Two lines with a score of -inf, and one of -inf only."""
    return torch.tensor([[0.0, LN3, -INF], [-5.0, -INF, -5.0], [-INF, -INF, -INF]])


def probe(kata):
    """Small cases on which the known mistakes differ: no two axes have the same size, no two scores are equal."""
    x, two_lines = 4 * numbers(2, 3, 4), torch.tensor([[80.0, 81.0], [-80.0, -82.0]])

    def of(function):
        def gradient():
            leaf = x.clone().requires_grad_()
            seen = function(1 * leaf, 1)
            towards = numbers(2, 3, 4, seed="towards")
            return torch.autograd.grad((seen * towards).sum(), leaf)[0] if seen.requires_grad else "no gradient"

        def afterwards():
            given = x.clone()
            function(given, 1)
            return given

        return {
            "example": lambda: function(torch.tensor([0.0, LN3]), 0),
            "dim 1": lambda: function(x, 1),
            "dim 0": lambda: function(x, 0),
            "dim 2": lambda: function(x, 2),
            "sum": lambda: function(x, 1).sum(dim=1),
            "hidden": lambda: function(hidden_scores()[:2], 1),
            "gradient": gradient,
            "large": lambda: function(torch.tensor([100.0, 0.0, 99.0]), 0),
            "small": lambda: function(torch.tensor([-200.0, -203.0]), 0),
            "far apart": lambda: function(torch.tensor([0.0, 200.0]), 0),
            "two lines": lambda: function(two_lines, 1),
            "all hidden": lambda: function(hidden_scores()[2], 0).isnan().tolist(),
            "float64": lambda: str(function(x.double(), 1).dtype),
            "bfloat16": lambda: str(function(x.bfloat16(), 1).dtype),
            "digits": lambda: bool(function(torch.tensor([0, 1e-9]).double(), 0).diff() > 0),
            "sum in float64": lambda: bool(function(torch.tensor([1.0, 2.0, 3.0]).double(), 0).sum() < 1 - 1e-10),
            "x afterwards": afterwards,
        }

    def bounded_log(x, dim):
        """The logarithms; those of 1e-15 to 1e-6 are all -20, for that is the bound that somebody chose."""
        seen = kata.log_softmax(x, dim)
        return seen.where((seen < -36) | (seen > -13.9), -20)

    log = of(kata.log_softmax) | {
        "large": lambda: bounded_log(torch.tensor([100.0, 0.0, 99.0]), 0),
        "far apart": lambda: bounded_log(torch.tensor([0.0, 200.0]), 0),
        "hidden": lambda: bounded_log(hidden_scores()[:2], 1),
    }
    return of(kata.softmax) | {f"log {part}": case for part, case in log.items()}


@clause("example")
def test_zero_and_ln_three_become_a_quarter_and_three_quarters():
    seen = softmax(torch.tensor([0.0, LN3]), dim=0)
    because = f"exp(0) is 1 and exp(ln 3) is 3, so the weights are 0.25 and 0.75; yours are {seen.tolist()}"
    close(seen, torch.tensor([0.25, 0.75]), because)


@clause("sum-to-one")
@given(cases())
def test_the_weights_of_a_line_sum_to_one(case):
    x, dim = case
    seen = softmax(x, dim)
    assert (seen >= 0).all(), f"the smallest weight is {seen.min():.6g}, and no weight should be negative"
    total = seen.sum(dim=dim)
    close(total, torch.ones_like(total), f"this is the sum of a line along dim={dim}, with x of shape {tuple(x.shape)}")


@clause("dim")
@given(cases())
def test_each_line_is_as_it_would_be_alone(case):
    x, dim = case
    because = f"x has the shape {tuple(x.shape)}, and with dim={dim} a line gets other weights than it gets alone"
    close(softmax(x, dim), line_by_line(softmax, x, dim), because)


@clause("formula")
@given(cases())
def test_agrees_with_torch(case):
    x, dim = case
    close(softmax(x, dim), x.softmax(dim), f"PyTorch's softmax gives other weights for these scores, with dim={dim}")


@clause("hidden")
def test_a_score_of_minus_infinity_gets_no_weight():
    x = hidden_scores()[:2]
    seen = softmax(x, 1)
    hidden = seen[x == -INF].tolist()
    assert hidden == [0, 0], f"scores of -inf beside finite ones should get exactly 0; they got {hidden}"
    expected = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.0, 0.5]])
    close(seen, expected, "the scores are [[0, ln 3, -inf], [-5, -inf, -5]]: -inf should change no other weight")


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(case):
    (x, dim), leaves = case, {"x": case[0].requires_grad_()}
    gradients_agree(softmax(1 * x, dim), x.softmax(dim), leaves, "PyTorch's softmax")


@clause("log")
def test_the_logarithms_of_a_quarter_and_three_quarters():
    seen = log_softmax(torch.tensor([0.0, LN3]), dim=0)
    because = f"the logarithms of 0.25 and 0.75 are -1.386294 and -0.287682; yours are {seen.tolist()}"
    close(seen, torch.tensor([-LN4, LN3 - LN4]), because)


@clause("log")
@given(cases())
def test_logarithms_agree_with_torch(case):
    x, dim = case
    close(log_softmax(x, dim), x.log_softmax(dim), f"PyTorch's log_softmax gives something else, with dim={dim}")


@clause("log-dim")
@given(cases())
def test_each_line_of_logarithms_is_as_it_would_be_alone(case):
    x, dim = case
    because = f"x has the shape {tuple(x.shape)}, and with dim={dim} a line gets other logarithms than it gets alone"
    close(log_softmax(x, dim), line_by_line(log_softmax, x, dim), because)


@clause("log-gradients")
@given(cases())
def test_gradients_of_the_logarithms_are_those_of_torch(case):
    (x, dim), leaves = case, {"x": case[0].requires_grad_()}
    gradients_agree(log_softmax(1 * x, dim), x.log_softmax(dim), leaves, "PyTorch's log_softmax")


@clause("large")
@pytest.mark.parametrize("far", [10_000, -10_000])
def test_far_from_zero_the_weights_stay(far):
    seen = softmax(torch.tensor([0.0, 3.0]) + far, 0)
    because = f"scores {far} and {far + 3} became {seen.tolist()}: exp of such a score is infinity or 0"
    close(seen, torch.tensor([0.0, 3.0]).softmax(0), because)


@clause("large")
def test_far_from_each_other_all_goes_to_the_greatest():
    seen = softmax(torch.tensor([10_000.0, 0.0, -10_000.0]), 0)
    close(seen, torch.tensor([1.0, 0.0, 0.0]), f"scores 10 000, 0 and -10 000 became {seen.tolist()}")


@clause("large")
def test_a_line_far_below_another_keeps_its_weights():
    because = "the lines are [10 000, 10 003] and [-10 000, -9 997]: each needs the greatest score of its own"
    x = torch.tensor([[10_000.0, 10_003.0], [-10_000.0, -9_997.0]])
    close(softmax(x, 1), x.softmax(1), because)


@clause("all-hidden")
def test_a_line_of_minus_infinity_only_is_nan_and_others_are_not():
    seen = softmax(hidden_scores(), 1)
    assert seen[2].isnan().all(), f"every score of line 2 is -inf: expected nan three times, seen {seen[2].tolist()}"
    assert not seen[:2].isnan().any(), f"only line 2 is all -inf, but the others became {seen[:2].tolist()}"


@clause("dtype")
@DTYPES
def test_the_dtype_is_kept(dtype):
    x = 4 * numbers(2, 3, 5, dtype=dtype)
    keeps_dtype(lambda x: softmax(x, 1), x, x.double().softmax(1))


@clause("pure")
def test_a_call_leaves_the_scores_alone():
    leaves_its_inputs_alone(lambda x: softmax(x, 1), numbers(2, 3, 4))


@clause("underflow")
@pytest.mark.parametrize("far", [10_000.0, 200.0])
def test_the_logarithm_of_a_weight_too_small_for_a_float_is_finite(far):
    seen = log_softmax(torch.tensor([0.0, far]), 0)
    because = f"scores 0 and {far:g} became {seen.tolist()}: exp(-{far:g}) is 0 in a float, and log(0) is -inf"
    close(seen, torch.tensor([-far, 0.0]), because)


@clause("underflow")
def test_a_line_of_logarithms_far_below_another_keeps_its_own():
    because = "the lines are [10 000, 10 003] and [-10 000, -9 997]: each needs the greatest score of its own"
    x = torch.tensor([[10_000.0, 10_003.0], [-10_000.0, -9_997.0]])
    close(log_softmax(x, 1), x.log_softmax(1), because)


@clause("underflow-gradients")
def test_gradients_flow_where_the_weight_underflows():
    x = torch.tensor([[0.0, 10_000.0], [-10_000.0, 3.0]], requires_grad=True)
    gradients_agree(log_softmax(1 * x, 1), x.log_softmax(1), {"x": x}, "PyTorch's log_softmax")


@clause("log-hidden")
def test_the_logarithm_of_no_weight_is_minus_infinity():
    seen = log_softmax(hidden_scores(), 1)
    expected = torch.tensor([[-LN4, LN3 - LN4, -INF], [-math.log(2), -INF, -math.log(2)], [math.nan] * 3])
    close(seen, expected, "a score of -inf becomes -inf, and a line of -inf only becomes nan", equal_nan=True)


@clause("log-dtype")
@DTYPES
def test_the_dtype_of_the_logarithms_is_kept(dtype):
    x = 4 * numbers(2, 3, 5, dtype=dtype)
    keeps_dtype(lambda x: log_softmax(x, 1), x, x.double().log_softmax(1))


@clause("log-pure")
def test_taking_logarithms_leaves_the_scores_alone():
    leaves_its_inputs_alone(lambda x: log_softmax(x, 1), numbers(2, 3, 4))
