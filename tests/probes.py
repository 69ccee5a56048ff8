"""What the probes of several katas ask of a module or a call. A test never calls these: an answer is no assertion.

Where a wrong answer to one question would change the answer to another, the other question is not asked.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tests.support import Moved, numbers


def moved(module: nn.Module, x: Tensor) -> Any:
    """Whether the output of a module that was moved with its input is there, or why there is none."""
    left_behind = any(isinstance(value, Tensor) for value in vars(module).values())
    with Moved(module, x) as there:
        try:
            return there.has(module(x))
        except Exception:
            return "left behind" if left_behind else "made on the CPU"


def meets(call: Callable[[], Any], model: nn.Module, *tensors: Tensor) -> bool:
    """Whether a call works while a model and some tensors are on another device than the rest."""
    with Moved(model, *tensors):
        try:
            call()
        except RuntimeError as error:
            if "two devices" not in str(error):
                raise
            return False
    return True


def learns(output: Tensor, leaves: Iterable[Tensor]) -> Any:
    """Which of the leaves get a gradient that is not zero everywhere."""
    if not output.requires_grad:
        return "nothing"
    found = torch.autograd.grad(output.square().sum(), list(leaves), allow_unused=True)
    return [gradient is not None and bool(gradient.any()) for gradient in found]


def input_gradient(call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of x."""
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(call(leaf).square().sum(), leaf)[0]


def lengths(module: nn.Module, *sizes: int, features: int) -> list[bool]:
    """Whether inputs of so many tokens come through."""
    found = []
    for tokens in sizes:
        try:
            found.append(module(numbers(2, tokens, features)).shape[1] == tokens)
        except Exception:
            found.append(False)
    return found


def saves_more(module: nn.Module) -> bool:
    """Whether the state dict holds anything else than the parameters."""
    return sorted(module.state_dict()) != sorted(name for name, _ in module.named_parameters())


def refusal(call: Callable[[], Any]) -> Any:
    """The kind of a refusal, or the shape of the result; what PyTorch finds out in the middle is no refusal."""
    try:
        seen = call()
        return list(seen.shape) if isinstance(seen, Tensor) else "nothing"
    except (ValueError, AssertionError) as error:
        return type(error).__name__
    except Exception:
        return "nothing"


def tried(call: Callable[[], Any], *named: object) -> Any:
    """The result, or the error's kind and whether it names all these values: an error tells which mistake it is."""
    try:
        return call()
    except Exception as error:
        kind = type(error).__name__
        return f"{kind}, names it: {all(str(value) in str(error) for value in named)}" if named else kind


def names_all(call: Callable[[], Any], *values: object) -> bool:
    """Whether the ValueError of a call, if that is how it ends, names all these values."""
    try:
        call()
    except ValueError as error:
        return all(str(value) in str(error) for value in values)
    except Exception:
        pass
    return True


def exceeds(call: Callable[[], Tensor], most: float) -> bool:
    """Whether the number that a call gives is larger than it may be; a number that does not fit the dtype is."""
    try:
        return call().item() > most
    except RuntimeError as error:
        return "overflow" in str(error)


def dtype(call: Callable[[], Tensor]) -> str:
    """The dtype of a result, or why there is none."""
    try:
        return str(call().dtype)
    except RuntimeError as error:
        return "no such number" if "overflow" in str(error) else "two dtypes"


def precise(seen: Tensor, exact: Tensor) -> bool:
    """Whether float64 keeps its digits; a result that is wrong anyway says nothing about that."""
    seen = seen.double()
    return torch.allclose(seen, exact, rtol=1e-9, atol=1e-9) or not torch.allclose(seen, exact, rtol=1e-3)


def coarse(module: nn.Module, x: Tensor) -> bool:
    """Whether a module in float64 gives the same for numbers that float32 does not tell apart."""
    module, wide = module.double(), x.double()
    return torch.equal(module(wide), module(wide + 1e-9 * numbers(*x.shape, dtype=torch.float64)))


def kept(made: Callable[[], nn.Module], x: Tensor) -> int:
    """How many attributes a call adds to a module."""
    module = made()
    module(x)
    return len(vars(module)) - len(vars(made()))


def unchanged(call: Callable[[Tensor], Any], x: Tensor) -> bool:
    """Whether x has its numbers after a call."""
    given = x.clone()
    call(given)
    return torch.equal(given, x)


def copied(module: nn.Module, x: Tensor) -> bool:
    """Whether a module can be copied after a call: one that keeps the graph cannot."""
    module(x)
    try:
        return bool(copy.deepcopy(module))
    except RuntimeError:
        return False


def in_order(made: Callable[[], nn.Module], names: Sequence[str], d_in: int, d_out: int) -> bool | None:
    """Whether these weights are created in this order; None where they are not those of nn.Linear in any order."""
    torch.manual_seed(5)
    in_turn = [nn.Linear(d_in, d_out, bias=False).weight for _ in names]
    torch.manual_seed(5)
    known = dict(made().named_parameters())
    found = [[weight.equal(known[name]) for weight in in_turn] for name in names]
    return [row.index(True) for row in found] == [*range(len(names))] if all(map(any, found)) else None
