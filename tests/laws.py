"""Laws that many katas share, as assertions. A kata's test names its clause and calls one.

Each takes what it needs as arguments and knows no kata.
"""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from tests.support import Moved, close, numbers

VIEWS = {
    "transposed": lambda shape: numbers(*shape[:-2], shape[-1], shape[-2]).mT,
    "every other feature": lambda shape: numbers(*shape[:-1], 2 * shape[-1])[..., ::2],
    "expanded": lambda shape: numbers(1, *shape[1:]).expand(*shape),
}


def leaves_its_inputs_alone(call: Callable[..., object], *inputs: Tensor) -> None:
    """A call changes no number of its inputs."""
    __tracebackhide__ = True
    before = [given.detach().clone() for given in inputs]
    call(*inputs)
    for place, (given, was) in enumerate(zip(inputs, before, strict=True)):
        which = "the input" if len(inputs) == 1 else f"input {place}"
        same = torch.allclose(given.detach(), was, rtol=0, atol=0, equal_nan=True)
        assert same, f"{which} has other numbers after the call: something was written in place"


def moves_what_it_is_given(call: Callable[[], object], model: nn.Module, given: str) -> None:
    """A call works with a model that is on another device than what the call is given."""
    __tracebackhide__ = True
    with Moved(model):
        try:
            call()
        except RuntimeError as error:
            pytest.fail(f"the model is on another device than {given}: {error}")


def keeps_dtype(call: Callable[[Tensor], Tensor], x: Tensor, expected: Tensor) -> None:
    """The result has the dtype of x, and is `expected` (computed in float64) rounded to it."""
    __tracebackhide__ = True
    close(call(x), expected.to(x.dtype), f"the input is {x.dtype}, and the result should be precise in that dtype")


def gradients_reach(output: Tensor, leaves: Mapping[str, Tensor]) -> None:
    """A backward pass from the output gives every leaf a gradient that is not zero everywhere."""
    __tracebackhide__ = True
    assert output.requires_grad, "no gradient flows back from the output: it was detached, or computed in no_grad()"
    found = torch.autograd.grad(output.square().sum(), list(leaves.values()), allow_unused=True)
    for name, gradient in zip(leaves, found, strict=True):
        reached = gradient is not None and bool(gradient.any())
        assert reached, f"no gradient reaches {name}: something on the way was detached, or is not used"


def gradients_agree(output: Tensor, expected: Tensor, leaves: Mapping[str, Tensor], oracle: str) -> None:
    """The gradients of the leaves, through `output`, are those through `expected`, which `oracle` computed."""
    __tracebackhide__ = True
    assert output.requires_grad, "no gradient flows back from the output: it was detached, or computed in no_grad()"
    assert output.shape == expected.shape, f"the output is {tuple(output.shape)}, expected {tuple(expected.shape)}"
    # Sums, because a backward pass from a tensor loads SymPy, which takes half a second.
    towards = numbers(*expected.shape, seed="towards", dtype=expected.dtype)
    theirs = torch.autograd.grad((expected * towards).sum(), list(leaves.values()))
    mine = torch.autograd.grad((output * towards.to(output.dtype)).sum(), list(leaves.values()), allow_unused=True)
    for name, gradient, right in zip(leaves, mine, theirs, strict=True):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        close(gradient, right, f"the gradient of {name} is not the one that {oracle} gives")


def rows_are_independent(call: Callable[[Tensor], Tensor], x: Tensor, row: int) -> None:
    """Rewriting one row of a batch changes the result of that row and of no other."""
    __tracebackhide__ = True
    rewritten = x.clone()
    rewritten[row] += 200 * numbers(*x[row].shape, seed="rewritten", dtype=x.dtype)
    before, after = call(x), call(rewritten)
    others = [other for other in range(len(x)) if other != row]
    close(after[others], before[others], f"only row {row} of {len(x)} was rewritten, but another row changed")
    assert not torch.equal(after[row], before[row]), f"row {row} was rewritten, but its output did not change"


def eval_drops_nothing(module: nn.Module, without_dropout: nn.Module, *inputs: Tensor) -> None:
    """In eval mode a module with dropout computes what the same module does without; in training mode it does not."""
    __tracebackhide__ = True
    expected = without_dropout(*inputs)
    close(module.eval()(*inputs), expected, "in eval mode, dropout still changes the output")
    torch.manual_seed(0)
    assert not torch.equal(module.train()(*inputs), expected), "in training mode, nothing is dropped"


def works_on_views(
    call: Callable[[Tensor], Tensor], shape: Sequence[int], expected: Callable[[Tensor], Tensor]
) -> None:
    """A view (transposed, strided, expanded) gives the result of a copy with the same numbers."""
    __tracebackhide__ = True
    for name, made in VIEWS.items():
        view = made(tuple(shape))
        close(call(view), expected(view.clone()), f"the input is a view ({name}): its numbers are not contiguous")


def drops_each_weight_by_itself(
    call: Callable[[], Tensor], without: Tensor, rate: float, axes: Sequence[str] = ()
) -> None:
    """In training mode each weight is dropped with probability `rate`, by itself, and the others are scaled up.

    `without` is what a call gives without dropout; its zeros are not looked at. `axes` names its axes: along each of
    them neighbours have draws of their own. With 4 000 draws, 0.04 is about 6 standard deviations.
    """
    __tracebackhide__ = True
    torch.manual_seed(0)
    first, second, there = call(), call(), without != 0
    dropped, again = (first == 0) & there, (second == 0) & there
    share = dropped[there].float().mean().item()
    assert 0 < share < 1, f"dropout is {rate} in training mode, but a share of {share:g} of the weights was dropped"
    stayed = there & ~dropped
    close(first[stayed], without[stayed] / (1 - rate), f"a weight that is not dropped is divided by 1 - {rate}")
    assert abs(share - rate) < 0.04, f"dropout is {rate}, but a share of {share:.2f} of the weights was dropped"
    assert not torch.equal(dropped, again), "two calls dropped the same weights: each call should draw anew"
    for axis, name in enumerate(axes):
        both = there & there.roll(1, axis)
        apart = (dropped != dropped.roll(1, axis))[both].any()
        assert apart, f"the same weights were dropped for all {name}: each should have a draw of its own"


def works_where_it_is_moved(module: nn.Module, x: Tensor) -> None:
    """Moved to another device, the module works on an input there, and its output is there."""
    __tracebackhide__ = True
    with Moved(module, x) as device:
        seen = module(x)
    assert device.has(seen), "module and input were moved to another device, but the output is not there"
