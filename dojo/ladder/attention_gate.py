"""The gate before the clock: a variant that is not right, on this device and in this dtype, is not timed.

Compared with PyTorch's own attention in float32, from the same weights: the output, the gradients of the input and of
every weight, and causality, which is asked by rewriting the future.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dojo.ladder.attention_rungs import Fused, Rung, Size, Weights
from dojo.ladder.ladder import NotRight

# The largest difference that rounding explains, as a part of the largest number there is.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9, torch.bfloat16: 5e-2, torch.float16: 1e-2}


@dataclass
class Truth:
    """What a right attention gives for one input."""

    x: Tensor
    rewritten: Tensor  # the same input with another future
    now: int  # where the future begins
    grad: Tensor  # the gradient that comes in from above
    output: Tensor
    gradients: dict[str, Tensor]


def truth(weights: Weights, size: Size, batch: int) -> Truth:
    """Input, and what has to come out of it, worked out in float32 whatever the dtype of the weights is."""
    draw = torch.Generator().manual_seed(1)
    some = weights["query"]
    shape = batch, size.tokens, size.emb_dim
    x, other, grad = (torch.randn(shape, generator=draw).to(some.device, some.dtype) for _ in range(3))
    now = max(size.tokens // 2, 1)
    rewritten = x.clone()
    rewritten[:, now:] = other[:, now:]
    exact = {name: tensor.float() if some.dtype != torch.float64 else tensor for name, tensor in weights.items()}
    rung = Fused(exact, size)
    leaf = x.clone().to(exact["query"].dtype).requires_grad_()
    output = rung(leaf)
    output.backward(grad.to(output.dtype))
    found = {name: part for name, part in rung.gradients().items() if part is not None}
    assert leaf.grad is not None
    return Truth(x, rewritten, now, grad, output.detach(), found | {"input": leaf.grad})


def check(rung: Rung, right: Truth) -> None:
    """Let a variant pass, or say why not. Raises NotRight."""
    x = right.x.clone().requires_grad_()
    output = rung(x)
    _same("the output", output, right.output)
    output.backward(right.grad)
    for name, part in (rung.gradients() | {"input": x.grad}).items():
        if part is None:
            raise NotRight(f"no gradient reaches {_named(name)}")
        _same(f"the gradient of {_named(name)}", part, right.gradients[name])
    rung.zero_grad(set_to_none=True)
    with torch.no_grad():
        after = rung(right.rewritten)
    before, past = output.detach()[:, : right.now], after[:, : right.now]
    if _apart(past, before) > TOLERANCE[x.dtype] / 10:
        raise NotRight("the past moves when the future is rewritten")
    if right.now < x.shape[1] and torch.equal(after[:, right.now :], output.detach()[:, right.now :]):
        raise NotRight("nothing moves when the future is rewritten")


def _same(what: str, seen: Tensor, expected: Tensor) -> None:
    if seen.shape != expected.shape:
        raise NotRight(f"{what} has the shape {tuple(seen.shape)}, expected {tuple(expected.shape)}")
    apart = _apart(seen, expected)
    if not apart <= TOLERANCE[seen.dtype]:
        raise NotRight(f"{what} is off by {apart:.1g} of its largest number, allowed is {TOLERANCE[seen.dtype]:.0e}")


def _apart(seen: Tensor, expected: Tensor) -> float:
    """The largest difference, as a part of the largest number expected; nan where one is not finite."""
    exact = expected.to(torch.promote_types(expected.dtype, torch.float32))
    return float((seen.detach().to(exact.dtype) - exact).abs().max() / exact.abs().max())


def _named(name: str) -> str:
    return "the input" if name == "input" else "the bias" if name == "bias" else f"the {name} weights"
