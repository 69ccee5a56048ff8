"""Softmax, clause by clause. The why: docs/foundations/softmax.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.foundations.softmax import log_softmax, softmax
from tests.support import clause, close, numbers

LN3, INF = math.log(3), math.inf
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:]
)
VIEWS = {
    "transposed": lambda: numbers(2, 3, 4).mT,
    "every other score": lambda: numbers(2, 4, 6)[..., ::2],
    "one line three times": lambda: numbers(1, 4).expand(3, -1),
}


@st.composite
def cases(draw, least=0):
    """Hypothesis draws a shape of up to four axes, one of them by either sign, and the seed, which deals the scores."""
    shape = draw(st.lists(st.integers(1, 4), min_size=least, max_size=4).map(tuple), label="shape")
    axes = max(len(shape), 1)  # a tensor without axes has its one score at dim 0 and at dim -1
    dim = draw(st.integers(-axes, axes - 1), label="dim")
    return 4 * numbers(*shape, seed=draw(st.integers(0, 99), label="seed"), dtype=torch.float64), dim


def line_by_line(function, x, dim):
    """What a function makes of each line alone, put back where the line was."""
    lines = x.movedim(dim, -1)
    alone = torch.stack([function(line.clone(), 0) for line in lines.reshape(-1, x.shape[dim])])
    return alone.reshape(lines.shape).movedim(-1, dim)


def mixed():
    """Three lines: one that needs no care, one with a hidden score among low ones, one that is all hidden."""
    return torch.tensor([[0.0, LN3, -INF], [-20_000.0, -INF, -20_000.0], [-INF, -INF, -INF]])


def gradient(function, x, dim):
    """The gradient of x, when the gradient of the result is a number of its own at each place."""
    leaf = x.clone().requires_grad_()
    seen = function(leaf, dim)
    assert seen.requires_grad, "no gradient flows back from the result: it was detached, or left autograd"
    (found,) = torch.autograd.grad(seen, leaf, numbers(*x.shape, seed="towards", dtype=x.dtype), allow_unused=True)
    assert found is not None, "no gradient reaches x: something on the way was detached"
    return found


def probe(kata):
    """Small cases on which the known mistakes differ: no two axes have the same size, no two scores are equal."""
    x, log = 4 * numbers(2, 3, 4), kata.log_softmax
    far = torch.tensor([[80.0, 81.0], [-80.0, -82.0]])  # exp() holds each of them, and not their difference
    loud = torch.tensor([[100.0, 0.0, 99.0], [10_000.0, -10_000.0, 9_999.0], [-10_000.0, -10_003.0, -10_001.0]])

    def derived(function, *cases):
        return [gradient(function, case, dim) for case, dim in cases]

    def precision(function, exact):
        wide = x.double()
        seen, expected = function(wide, 1), exact(wide, dim=1)
        within = [torch.allclose(seen.double(), expected, rtol=bar, atol=bar) for bar in (1e-4, 1e-7, 1e-9)]
        return str(seen.dtype), within

    def sums():
        apart = (kata.softmax(x.double(), 1).sum(dim=1) - 1).abs().max().item()
        return [apart < bar for bar in (1e-4, 3e-7, 1e-9)]

    def changed(function):
        given = x.clone()
        function(given, 1)
        return given

    def dtypes(function):
        return [str(function(x.to(dtype), 1).dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)]

    def derived_twice(function):
        return derived(function, (x, 1), (x, 2))

    return {
        "example": lambda: kata.softmax(torch.tensor([0.0, LN3]), 0),
        "numbers": lambda: kata.softmax(x, 1),
        "last": lambda: kata.softmax(x, 2),
        "first": lambda: kata.softmax(x, 0),
        "from the end": lambda: kata.softmax(x, -1),
        "no axes": lambda: kata.softmax(torch.tensor(3.0), 0),
        "shifted": lambda: kata.softmax(x + 50, 1),
        "far": lambda: kata.softmax(far, 1),
        "loud": lambda: [kata.softmax(line, 0) for line in loud],
        "hidden": lambda: kata.softmax(mixed()[:2], 1),
        "some or none": lambda: (kata.softmax(mixed()[:2], 1) > 0).tolist(),
        "all hidden": lambda: kata.softmax(mixed(), 1),
        "gradients": lambda: derived_twice(kata.softmax),
        "gradients beside hidden": lambda: derived(kata.softmax, (mixed()[:2], 1)),
        "sums": sums,
        "float64": lambda: precision(kata.softmax, torch.softmax),
        "dtypes": lambda: dtypes(kata.softmax),
        "view": lambda: [kata.softmax(made(), 1) for made in VIEWS.values()],
        "changed": lambda: changed(kata.softmax),
        "log": lambda: log(torch.tensor([0.0, LN3]), 0),
        "log of numbers": lambda: [log(x, dim) for dim in (1, 2, 0, -2)],
        "log far": lambda: [log(far, 1), log(far[1], 0)],
        "log loud": lambda: [log(line, 0) for line in loud],
        "log hidden": lambda: log(mixed()[:2], 1),
        "log all hidden": lambda: log(mixed(), 1),
        "log gradients": lambda: [log(x, 1), derived_twice(log)],
        "log gradients beside underflow": lambda: derived(log, (far.mT, 1)),
        "log float64": lambda: precision(log, torch.log_softmax),
        "log dtypes": lambda: dtypes(log),
        "log changed": lambda: changed(log),
    }


@clause("example")
def test_zero_and_ln_three_become_a_quarter_and_three():
    seen = softmax(torch.tensor([0.0, LN3]), dim=0)
    because = f"exp(0) is 1 and exp(ln 3) is 3, of 4 in all: expected 0.25 and 0.75, seen {seen.tolist()}"
    close(seen, torch.tensor([0.25, 0.75]), because)


@clause("sum")
@given(cases())
def test_the_weights_of_a_line_sum_to_one(case):
    x, dim = case
    seen = softmax(x, dim)
    assert (seen >= 0).all(), f"the smallest weight is {seen.min():.6g}: a weight below 0 is none"
    total = seen.sum(dim=dim)
    close(total, torch.ones_like(total), f"this is a sum along dim={dim} of shape {tuple(x.shape)}, and should be 1")


@clause("dim")
@given(cases(least=1))
def test_each_line_is_as_it_would_be_alone(case):
    x, dim = case
    because = f"with dim={dim} in shape {tuple(x.shape)}, a line gives other weights than alone: another axis was taken"
    close(softmax(x, dim), line_by_line(softmax, x, dim), because)


@clause("dim")
def test_a_line_far_below_another_keeps_its_weights():
    x = torch.tensor([[80.0, 80.0 + LN3], [-80.0, -80.0 + LN3]])
    because = "both lines are 1/4 and 3/4, 160 apart: was the second lowered by the greatest score of the first?"
    close(softmax(x, 1), torch.tensor([[0.25, 0.75], [0.25, 0.75]]), because, atol=1e-4)


@clause("dim")
@pytest.mark.parametrize("dim", [0, -1])
def test_a_tensor_without_axes_is_one_score(dim):
    because = f"there is one score and no axis, dim={dim}: everything goes to it"
    close(softmax(torch.tensor(3.0), dim), torch.tensor(1.0), because)


@clause("order")
@given(cases(least=1))
def test_the_order_of_the_scores_is_the_order_of_the_weights(case):
    x, dim = case
    ranked = x.sort(dim=dim).values
    steps = softmax(ranked, dim).diff(dim=dim)
    assert (steps >= 0).all(), f"scores rise along dim={dim}, and a weight falls by {-steps.min():.6g}"
    assert steps.any() or x.shape[dim] == 1, f"scores rise along dim={dim}, and all weights are equal"


@clause("order")
def test_equal_scores_get_equal_weights():
    seen = softmax(torch.tensor([2.0, -7.0, 2.0, 2.0]), 0)
    assert seen[0] == seen[2] == seen[3] > seen[1], f"scores 2, -7, 2, 2 became {seen.tolist()}"


@clause("shift")
@given(cases(), st.sampled_from([-300, -30, 7, 100, 300]))
def test_a_shift_changes_nothing(case, by):
    x, dim = case
    before, after = softmax(x, dim), softmax(x + by, dim)
    close(after, before, f"every score was moved by {by}, which changes no difference, and a weight moved")
    assert (before > 0).all(), "scores between -4 and 4 all have a weight above 0, and one came out as 0"


@clause("agrees")
@given(cases())
def test_agrees_with_torch(case):
    x, dim = case
    close(softmax(x, dim), x.softmax(dim), f"PyTorch's own softmax gives other weights, with dim={dim}")


@clause("stable")
@pytest.mark.parametrize("far", [10_000, -10_000])
def test_far_from_zero_the_weights_stay(far):
    seen = softmax(torch.tensor([0.0, LN3], dtype=torch.float64) + far, 0)
    because = f"scores {far} and {far} + ln 3 are 1/4 and 3/4, seen {seen.tolist()}: exp() of a score so far out?"
    close(seen, torch.tensor([0.25, 0.75], dtype=torch.float64), because)


@clause("stable")
def test_far_from_each_other_all_goes_to_the_greatest():
    seen = softmax(torch.tensor([10_000.0, 0.0, -10_000.0, 9_990.0]), 0)
    expected = torch.tensor([1 / (1 + math.exp(-10)), 0, 0, 1 / (1 + math.exp(10))])
    close(seen, expected, f"scores 10 000, 0, -10 000 and 9 990 became {seen.tolist()}", atol=1e-7)


@clause("hidden")
def test_a_hidden_score_gets_exactly_nothing():
    x = mixed()[:2]
    seen = softmax(x, 1)
    hidden = seen[x == -INF].tolist()
    assert hidden == [0, 0], f"scores of -inf, beside finite ones, should get exactly 0; they got {hidden}"
    because = "0, ln 3, -inf become 1/4, 3/4, 0, and -20 000, -inf, -20 000 become 1/2, 0, 1/2"
    close(seen, torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.0, 0.5]]), because, atol=1e-4)


@clause("hidden")
@given(cases(least=1), st.data())
def test_the_others_share_as_if_it_were_not_there(case, data):
    x, dim = case
    behind = torch.cat([x, torch.full_like(x.narrow(dim, 0, 1), -INF)], dim=dim)
    place = data.draw(st.integers(0, x.shape[dim]), label="place")
    seen = softmax(behind.roll(place, dims=dim), dim).roll(-place, dims=dim).narrow(dim, 0, x.shape[dim])
    close(seen, softmax(x, dim), "a score of -inf was put into each line, and the weights of the others moved")


@clause("all-hidden")
def test_a_line_that_is_all_hidden_is_nan_and_the_others_are_not():
    seen = softmax(mixed(), 1)
    assert seen[2].isnan().all(), f"there is nobody to share among: expected nan three times, seen {seen[2].tolist()}"
    assert not seen[:2].isnan().any(), f"only line 2 is all -inf, and nan is also in {seen[:2].tolist()}"
    assert (seen[:2].sum(dim=1) > 0.9).all(), f"beside a line that is all -inf, others vanished: {seen[:2].tolist()}"


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(case):
    x, dim = case
    because = "the gradient of x is not that of PyTorch's softmax: was a part of the formula detached?"
    close(gradient(softmax, x, dim), gradient(torch.softmax, x, dim), because)


@clause("gradients")
def test_gradients_beside_a_hidden_score_are_finite():
    x = mixed()[:2].double()
    seen = gradient(softmax, x, 1)
    because = f"beside a score of -inf the gradient is {seen.tolist()}; the weights themselves may be right"
    close(seen, gradient(torch.softmax, x, 1), because)


@clause("dtype")
@DTYPES
def test_the_dtype_is_kept(dtype):
    x = 4 * numbers(2, 3, 5, dtype=dtype)
    close(softmax(x, 1), x.double().softmax(1).to(dtype), f"{dtype} went in; is there another dtype on the way?")


@clause("view")
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_as_good_as_a_copy(view):
    x = VIEWS[view]()
    for dim in range(x.dim()):
        close(softmax(x, dim), x.clone().softmax(dim), f"the input is a view, {view}: its numbers do not lie in a row")


@clause("pure")
def test_a_call_leaves_the_scores_alone():
    x = numbers(2, 3, 4)
    before = x.clone()
    seen = softmax(x, 1)
    assert torch.equal(x, before), "x has other numbers after the call: something was written in place"
    close(seen, before.softmax(1), "x was left alone, but the result is not the one it should give")


@clause("log")
def test_the_logarithms_of_a_quarter_and_of_three():
    seen = log_softmax(torch.tensor([0.0, LN3]), dim=0)
    expected = torch.tensor([-math.log(4), LN3 - math.log(4)])
    close(seen, expected, f"the weights 1/4 and 3/4 have the logarithms -1.386 and -0.288, seen {seen.tolist()}")


@clause("log")
@given(cases())
def test_its_exp_is_what_torch_gives_as_weights(case):
    x, dim = case
    seen = log_softmax(x, dim)
    close(seen.exp(), x.softmax(dim), f"exp of the result should be the weights, with dim={dim}")


@clause("log-dim")
@given(cases(least=1))
def test_each_line_of_logarithms_is_as_it_would_be_alone(case):
    x, dim = case
    because = f"with dim={dim} in shape {tuple(x.shape)}, a line gives other numbers than alone: another axis was taken"
    close(log_softmax(x, dim), line_by_line(log_softmax, x, dim), because)


@clause("log-dim")
def test_a_line_of_logarithms_far_below_another_keeps_its_own():
    x = torch.tensor([[80.0, 80.0 + LN3], [-80.0, -80.0 + LN3]])
    one = [-math.log(4), LN3 - math.log(4)]
    because = "both lines are 1/4 and 3/4, 160 apart: was the second lowered by the greatest score of the first?"
    close(log_softmax(x, 1), torch.tensor([one, one]), because, atol=1e-4)


@clause("underflow")
@pytest.mark.parametrize("far", [10_000.0, 200.0])
def test_the_logarithm_of_a_weight_too_small_for_a_float_is_finite(far):
    seen = log_softmax(torch.tensor([0.0, far]), 0)
    because = f"scores 0 and {far:g} give {seen.tolist()}: exp(-{far:g}) is 0 in a float, and log(0) is -inf"
    close(seen, torch.tensor([-far, 0.0]), because)


@clause("underflow")
@pytest.mark.parametrize("far", [10_000, -10_000])
def test_far_from_zero_the_logarithms_stay(far):
    seen = log_softmax(torch.tensor([0.0, LN3], dtype=torch.float64) + far, 0)
    expected = torch.tensor([-math.log(4), LN3 - math.log(4)], dtype=torch.float64)
    close(seen, expected, f"scores {far} and {far} + ln 3 give {seen.tolist()}: exp() of a score so far out?")


@clause("log-hidden")
def test_the_logarithm_of_nothing_is_minus_infinity():
    x = mixed()
    seen = log_softmax(x, 1)
    hidden = seen[:2][x[:2] == -INF].tolist()
    assert hidden == [-INF, -INF], f"scores of -inf, beside finite ones, should become -inf; they became {hidden}"
    finite = seen[:2][x[:2] != -INF]
    expected = torch.tensor([-math.log(4), LN3 - math.log(4), -math.log(2), -math.log(2)])
    close(finite, expected, "beside a score of -inf, the others have other logarithms than without it", atol=1e-4)
    assert seen[2].isnan().all(), f"a line that is all -inf should be nan three times, seen {seen[2].tolist()}"


@clause("log-gradients")
@given(cases())
def test_gradients_of_the_logarithms_are_those_of_torch(case):
    x, dim = case
    because = "the gradient of x is not that of PyTorch's log_softmax: was a part of the formula detached?"
    close(gradient(log_softmax, x, dim), gradient(torch.log_softmax, x, dim), because)


@clause("log-gradients")
def test_gradients_flow_where_the_weight_underflows():
    x = torch.tensor([[0.0, 10_000.0], [-10_000.0, 3.0]])
    seen = gradient(log_softmax, x, 1)
    because = f"where a weight underflows to 0, the gradient is {seen.tolist()}: a loss would learn nothing from it"
    close(seen, gradient(torch.log_softmax, x, 1), because)


@clause("log-dtype")
@DTYPES
def test_the_dtype_of_the_logarithms_is_kept(dtype):
    x = 4 * numbers(2, 3, 5, dtype=dtype)
    close(log_softmax(x, 1), x.double().log_softmax(1).to(dtype), f"{dtype} went in; is there another one on the way?")


@clause("log-pure")
def test_taking_logarithms_leaves_the_scores_alone():
    x = numbers(2, 3, 4)
    before = x.clone()
    seen = log_softmax(x, 1)
    assert torch.equal(x, before), "x has other numbers after the call: something was written in place"
    close(seen, before.log_softmax(1), "x was left alone, but the result is not the one it should give")
