"""Clipping and the schedule, clause by clause. The why: docs/pretraining/schedule.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.pretraining.schedule import clip_grad_norm, learning_rate_at
from tests.probes import tried
from tests.support import clause, close, numbers, refuses

# step, peak, minimum, warmup_steps and total_steps, with what the message has to name.
BAD_STEPS = [((-1, 1.0, 0.0, 2, 10), ("step", -1))]
BAD_WARMUPS = [((3, 1.0, 0.0, -1, 10), ("warmup_steps", -1)), ((3, 1.0, 0.0, 11, 10), ("warmup_steps", 11))]
BAD_MINIMUMS = [((3, 1.0, -0.25, 2, 10), ("minimum", -0.25)), ((3, 0.5, 0.75, 2, 10), ("minimum", 0.75))]


def with_gradients(*gradients, dtype=torch.float32):
    """Parameters with these gradients; None is a parameter whose grad is None."""
    parameters = []
    for gradient in gradients:
        values = torch.tensor(gradient or [0.0, 0.0], dtype=dtype)
        parameters.append(torch.nn.Parameter(torch.zeros_like(values)))
        parameters[-1].grad = None if gradient is None else values
    return parameters


def gradients_of(parameters):
    return [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]


def expect(expected, step, peak, minimum, warmup_steps, total_steps):
    """Assert that the rate of a step, a float or an int, is the expected one up to rounding."""
    __tracebackhide__ = True
    asked = f"step {step}, peak={peak}, minimum={minimum}, warmup_steps={warmup_steps}, total_steps={total_steps}"
    try:
        seen = learning_rate_at(step, peak, minimum, warmup_steps, total_steps)
    except ArithmeticError as error:
        pytest.fail(f"{type(error).__name__}: {error}: {asked}")
    if not math.isclose(seen, expected, rel_tol=1e-9, abs_tol=1e-12):
        pytest.fail(f"the rate is {seen:.9g}, expected {expected:.9g}: {asked}")


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def clipped(gradients, max_norm, kind=list, dtype=torch.float32):
        parameters = with_gradients(*gradients, dtype=dtype)
        kata.clip_grad_norm(kind(parameters), max_norm)
        return gradients_of(parameters)

    def norm(gradients, max_norm, dtype=torch.float32):
        return kata.clip_grad_norm(with_gradients(*gradients, dtype=dtype), max_norm)

    def held():
        parameters = with_gradients([3.0, 4.0])
        gradient = parameters[0].grad
        kata.clip_grad_norm(parameters, 1.0)
        return gradient

    def single():
        (parameter,) = with_gradients([3.0, 4.0, 12.0])
        kata.clip_grad_norm(parameter, 6.5)
        return parameter.grad

    def rates(*steps, peak=8.0, minimum=2.0, warmup=4, total=10):
        found = [kata.learning_rate_at(step, peak, minimum, warmup, total) for step in steps]
        return torch.tensor(found, dtype=torch.float64)

    def refused(call, *arguments, named=""):
        try:
            call(*arguments)
        except ValueError as error:
            return str(named) in str(error)
        return "accepted"

    return {
        "norm": lambda: norm([[3.0, 0.0], [4.0]], 1.0),
        "norm below": lambda: norm([[3.0, 0.0], [4.0]], 9.0),
        "clipped": lambda: clipped([[3.0, 0.0], [4.0]], 1.0),
        "below": lambda: clipped([[0.3, 0.0], [0.4]], 1.0),
        "in place": held,
        "without gradient": lambda: tried(lambda: clipped([None, [3.0, 4.0]], 1.0)),
        "generator": lambda: clipped([[3.0, 0.0], [4.0]], 1.0, kind=iter),
        "norm of a generator": lambda: kata.clip_grad_norm(iter(with_gradients([3.0], [4.0])), 1.0),
        "single": single,
        "nothing": lambda: tried(lambda: norm([None], 1.0)),
        "float64": lambda: str(norm([[3.0, 0.0], [4.0]], 1.0, dtype=torch.float64).dtype),
        "precise": lambda: abs(norm([[0.1], [0.7]], 1.0, dtype=torch.float64).item() - 0.5**0.5) < 1e-12,
        "negative max_norm": lambda: refused(kata.clip_grad_norm, with_gradients([3.0, 4.0]), -1, named=-1),
        "warmup": lambda: rates(0, 1, 3),
        "warmup with a low peak": lambda: rates(0, 1, 3, minimum=0.0, peak=4.0),
        "top": lambda: rates(4),
        "fall": lambda: rates(5, 6, 7, 9),
        "end": lambda: rates(10),
        "after": lambda: rates(11, 13),
        "no warmup": lambda: tried(lambda: rates(0, 1, 5, warmup=0)),
        "only warmup": lambda: rates(4, 5, 6, warmup=5, total=5),
        **{
            f"{named[0]} {named[1]}": lambda given=given, named=named: refused(
                kata.learning_rate_at, *given, named=named[1]
            )
            for given, named in BAD_STEPS + BAD_WARMUPS + BAD_MINIMUMS
        },
        "equal limits": lambda: refused(kata.learning_rate_at, 3, 1.0, 1.0, 3, 3),
    }


@clause("norm")
@pytest.mark.parametrize("max_norm", [1.0, 50.0])
def test_the_result_is_the_norm_before_clipping(max_norm):
    seen = clip_grad_norm(with_gradients([[3.0, 4.0], [0.0, 0.0]], [12.0], [0.0]), max_norm)
    because = f"gradients of 3 and 4 in one tensor and 12 in another, max_norm={max_norm}: sqrt(9 + 16 + 144) = 13"
    close(seen, torch.tensor(13.0), because)


@clause("clip")
def test_all_gradients_are_scaled_by_one_factor():
    parameters = with_gradients([3.0, 0.0], [4.0])
    held = [parameter.grad for parameter in parameters]
    clip_grad_norm(parameters, 1.0)
    for parameter, before, expected in zip(parameters, held, ([0.6, 0.0], [0.8]), strict=True):
        because = "3, 0 and 4 have the norm 5; with max_norm=1 each is divided by 5"
        close(parameter.grad, torch.tensor(expected), because)
        close(before, torch.tensor(expected), "the new gradients are in other tensors: change the given ones in place")


@clause("clip")
@given(st.sampled_from([0.0, 0.01, 0.5, 2.0, 100.0, math.inf]), st.sampled_from([1e-2, 1.0, 1e3]))
def test_the_gradients_are_those_that_pytorch_gives(max_norm, size):
    mine, theirs = ([torch.nn.Parameter(numbers(*shape)) for shape in ((3, 4), (5,), ())] for _ in range(2))
    for index, parameter in enumerate(mine + theirs):
        parameter.grad = size * numbers(*parameter.shape, seed=f"gradient {index % 3}")
    clip_grad_norm(mine, max_norm)
    torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    for my, their in zip(mine, theirs, strict=True):
        close(my.grad, their.grad, f"gradients of about {size:g} with max_norm={max_norm}", rtol=1e-3)


@clause("below")
def test_gradients_below_max_norm_do_not_change():
    for gradients in (([0.3, 0.4], [0.1]), ([0.0, 0.0], [0.0])):
        parameters = with_gradients(*gradients)
        clip_grad_norm(parameters, 0.7)
        for parameter, before in zip(parameters, gradients, strict=True):
            close(parameter.grad, torch.tensor(before), f"the norm of {gradients} is below max_norm=0.7")


@clause("no-gradient")
def test_a_parameter_without_a_gradient_is_left_out():
    parameters = with_gradients(None, [3.0, 4.0], None)
    seen = clip_grad_norm(parameters, 2.5)
    close(seen, torch.tensor(5.0), "the norm of 3 and 4, beside two parameters whose grad is None")
    close(parameters[1].grad, torch.tensor([1.5, 2.0]), "3 and 4 with max_norm=2.5, beside parameters without a grad")
    assert parameters[0].grad is None, f"a parameter whose grad was None now has the grad {parameters[0].grad}"


@clause("generator")
def test_parameters_may_be_a_generator():
    parameters = with_gradients([3.0, 4.0], [12.0])
    seen = clip_grad_norm((parameter for parameter in parameters), 6.5)
    because = "the parameters came as a generator, which can be read only once"
    close(seen, torch.tensor(13.0), f"the norm of 3, 4 and 12: {because}")
    close(parameters[0].grad, torch.tensor([1.5, 2.0]), f"half of 3 and 4: {because}")


@clause("warmup")
@pytest.mark.parametrize(("peak", "minimum"), [(8.0, 2.0), (0.001, 0.0), (3, 1)])
def test_the_rate_rises_in_a_line_from_0(peak, minimum):
    for step in range(4):
        expect(peak * step / 4, step, peak, minimum, 4, 10)


@clause("cosine")
def test_the_fall_computed_by_hand():
    for step, expected in ((4, 8.0), (6, 6.5), (7, 5.0), (8, 3.5)):
        expect(expected, step, 8.0, 2.0, 4, 10)


@clause("cosine")
@given(st.integers(0, 9), st.integers(1, 9), st.sampled_from([(1e-3, 0.0), (0.5, 0.125), (2, 2), (4, 1)]))
def test_the_fall_is_half_a_cosine(warmup_steps, falling, ends):
    peak, minimum = ends
    for gone in range(falling):
        # The same curve as a squared sine of half the angle.
        expected = peak - (peak - minimum) * math.sin(math.pi * gone / falling / 2) ** 2
        expect(expected, warmup_steps + gone, peak, minimum, warmup_steps, warmup_steps + falling)


@clause("after")
def test_from_the_end_on_the_rate_is_the_minimum():
    for step in (10, 11, 13, 1_000):
        for minimum in (2.0, 2, 0.0):
            expect(minimum, step, 8.0, minimum, 4, 10)


@clause("no-warmup")
def test_without_a_warmup_the_rate_starts_at_peak():
    for step, expected in ((0, 8.0), (5, 5.0)):
        expect(expected, step, 8.0, 2.0, 0, 10)


@clause("single")
def test_one_tensor_is_one_parameter():
    (parameter,) = with_gradients([3.0, 4.0, 12.0])
    close(clip_grad_norm(parameter, 6.5), torch.tensor(13.0), "the norm of 3, 4 and 12; parameters is one tensor")
    close(parameter.grad, torch.tensor([1.5, 2.0, 6.0]), "half of 3, 4 and 12; parameters is one tensor")


@clause("nothing")
@pytest.mark.parametrize("gradients", [[None], []], ids=["grad is None", "no parameters"])
def test_without_any_gradient_the_norm_is_0(gradients):
    close(clip_grad_norm(with_gradients(*gradients), 1.0), torch.tensor(0.0), "the norm without any gradient")


@clause("dtype")
def test_the_norm_has_the_dtype_of_the_gradients():
    seen = clip_grad_norm(with_gradients([0.1], [0.7], dtype=torch.float64), 1.0)
    close(seen, torch.tensor(0.5, dtype=torch.float64).sqrt(), "the norm of 0.1 and 0.7 in float64")


@clause("max-norm")
def test_a_negative_max_norm_is_refused():
    with refuses(ValueError, -1):
        clip_grad_norm(with_gradients([3.0, 4.0]), -1)


@clause("only-warmup")
@pytest.mark.parametrize("steps", [0, 5])
def test_after_a_warmup_that_fills_the_run_the_rate_is_the_minimum(steps):
    for step in (steps, steps + 1):
        expect(2.0, step, 8.0, 2.0, steps, steps)


@clause("step-range")
@pytest.mark.parametrize(("arguments", "named"), BAD_STEPS, ids=str)
def test_a_negative_step_is_refused(arguments, named):
    with refuses(ValueError, *named):
        learning_rate_at(*arguments)


@clause("warmup-range")
@pytest.mark.parametrize(("arguments", "named"), BAD_WARMUPS, ids=str)
def test_a_warmup_out_of_its_range_is_refused(arguments, named):
    with refuses(ValueError, *named):
        learning_rate_at(*arguments)


@clause("minimum-range")
@pytest.mark.parametrize(("arguments", "named"), BAD_MINIMUMS, ids=str)
def test_a_minimum_out_of_its_range_is_refused(arguments, named):
    with refuses(ValueError, *named):
        learning_rate_at(*arguments)


@clause("minimum-range")
def test_a_minimum_at_the_end_of_its_range_is_allowed():
    for minimum in (0.0, 1.0):
        expect(1.0, 0, 1.0, minimum, 0, 3)
