"""The results of a probe: when two are the same, when one proves something, and how they are kept as plain JSON."""

import base64
import json
import math
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Raised:
    """A part of a probe that ended in an error of this type."""

    error: str


class CannotKeep(ValueError):
    """A result of a type that JSON does not carry."""


def alike(mine: Any, theirs: Any) -> bool:
    """Whether two results are the same: numbers nearly, tensors by dtype and shape too, the rest exactly."""
    try:
        return _alike(mine, theirs)
    except Exception:  # a learner's result may be anything, also something that cannot be compared
        return False


def _alike(mine: Any, theirs: Any) -> bool:
    torch = sys.modules.get("torch")
    if torch and isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
        if mine.dtype != theirs.dtype or mine.shape != theirs.shape:
            return False
        rtol = max(1e-4, 4 * torch.finfo(mine.dtype).eps) if mine.is_floating_point() else 0.0
        return torch.allclose(mine.detach(), theirs.detach(), rtol=rtol, atol=rtol / 10, equal_nan=True)
    if isinstance(mine, dict) and isinstance(theirs, dict):  # a Counter is as good as a dict, in any order
        return mine.keys() == theirs.keys() and all(alike(mine[key], theirs[key]) for key in mine)
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, list | tuple):
        return len(mine) == len(theirs) and all(map(alike, mine, theirs))
    if isinstance(mine, float) and math.isclose(mine, theirs, rel_tol=1e-5, abs_tol=1e-8):
        return True  # sums in another order, or on another machine; two mistakes differ by a thousandth at least
    return bool(mine == theirs) or bool(mine != mine and theirs != theirs)  # nan is nan here


def counts(result: Any) -> bool:
    """Whether a result can prove which mistake was made: an error, or nan everywhere, has many causes."""
    torch = sys.modules.get("torch")
    if isinstance(result, Raised):
        return False
    if torch and isinstance(result, torch.Tensor) and result.is_floating_point() and result.numel():
        return not bool(result.isnan().all())
    if isinstance(result, float):
        return not math.isnan(result)
    if isinstance(result, list | tuple) and result:
        return any(map(counts, result))
    return True


def kept(value: Any) -> str:
    """A value as JSON. Raises CannotKeep."""
    return json.dumps(_plain(value))


def recovered(text: str) -> Any:
    """What `kept` was given. Raises an error of any type for a damaged text."""
    return _value(json.loads(text))


def _plain(value: Any) -> Any:
    """JSON for a value: itself for what JSON has, else a list of the type's name and its content."""
    torch = sys.modules.get("torch")
    kind = type(value).__name__
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return [kind, value.hex()]
    if type(value) is bytes:
        return [kind, base64.b64encode(value).decode()]
    if type(value) in (list, tuple):
        return [kind, [_plain(part) for part in value]]
    if type(value) in (set, frozenset):
        return [kind, sorted((_plain(part) for part in value), key=json.dumps)]
    if isinstance(value, dict):
        return ["dict", [[_plain(key), _plain(part)] for key, part in value.items()]]
    if isinstance(value, Raised):
        return ["Raised", value.error]
    if torch and isinstance(value, torch.Size):
        return ["Size", list(value)]
    if torch and isinstance(value, torch.Tensor) and not value.is_meta:
        raw = value.detach().cpu().contiguous()
        content = raw.flatten().view(torch.uint8).numpy().tobytes() if raw.numel() else b""
        return ["Tensor", [str(raw.dtype)[6:], list(raw.shape), base64.b64encode(content).decode()]]
    raise CannotKeep(kind)


def _value(plain: Any) -> Any:
    if not isinstance(plain, list):
        return plain
    kind, content = plain
    match kind:
        case "float":
            return float.fromhex(content)
        case "bytes":
            return base64.b64decode(content)
        case "dict":
            return {_value(key): _value(part) for key, part in content}
        case "Raised":
            return Raised(content)
        case "Size":
            import torch

            return torch.Size(content)
        case "Tensor":
            import torch

            dtype, shape, text = content
            raw = bytearray(base64.b64decode(text))
            dtype = getattr(torch, dtype)
            return torch.frombuffer(raw, dtype=dtype).reshape(shape) if raw else torch.empty(shape, dtype=dtype)
    made = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
    return made(_value(part) for part in content)
