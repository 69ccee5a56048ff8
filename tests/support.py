"""What the tests of every kata share. The tests of this file are in tests/meta."""

import contextlib
import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import pytest
import torch
from torch.overrides import TorchFunctionMode

from dojo.datasets import texts
from dojo.serving.annotations import unchecked
from dojo.serving.finder import KataUnavailable
from dojo.serving.light_optimizers import lighten

lighten()
Module = TypeVar("Module", bound=torch.nn.Module)

TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
}

SCRIPTS = {
    "nothing": "",
    "English": "It's the 3rd time they'd met; 'twas fun!",
    "spaces": "  leading, \t tabs\r\n\r\n and trailing   ",
    "Latin with accents": "Größe, naïveté, façade, Łódź",
    "combining marks": "e\u0301 a\u0308 n\u0303 — the accents are letters of their own",
    "Greek": "Ἐν ἀρχῇ ἦν ὁ λόγος",
    "Cyrillic": "Слово не воробей",
    "Hebrew": "שָׁלוֹם עולם",
    "Arabic": "السلام عليكم ١٢٣",
    "Devanagari": "नमस्ते दुनिया",
    "Thai": "สวัสดีชาวโลก",
    "Chinese": "道可道，非常道。",
    "Japanese": "吾輩は猫である。カタカナも。",
    "Korean": "안녕하세요 세계",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 — one picture, many code points",
    "mathematics": "∀ε>0 ∃δ>0: |x−a|<δ ⇒ |ƒ(x)−ƒ(a)|<ε",
    "beyond the first plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀𒁀 𐍈",
    "control characters": "\x00\x07\x1b[0m\x7f\u200b\ufeff",
    "one letter": "a" * 100,
}


@cache
def story() -> str:
    """The short story that everyone shares, data/story.txt: about 23 KB of plain English."""
    return texts.story().text


@cache
def language_reference() -> str:
    """The reference of the Python language, about half a megabyte; it differs between versions of Python."""
    return texts.language_reference().text


@cache
def gpt2() -> tuple[Any, list[tuple[bytes, bytes]]]:
    """GPT-2's encoding of tiktoken and its merges; a test is skipped where they are not cached, for none may fetch."""
    import tiktoken

    from dojo.system import vocabulary

    if not all(map(vocabulary.is_cached, vocabulary.FILES)):
        pytest.skip("GPT-2's vocabulary is not in tiktoken's cache: dojo doctor --fetch puts it there")
    return tiktoken.get_encoding("gpt2"), vocabulary.merges()


def clause(name: str) -> pytest.MarkDecorator:
    """Mark a test with the clause of the specification that it enforces."""
    return pytest.mark.clause(name)


def numbers(*shape: int, seed: int | str = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor of numbers in (-1, 1), the same on every platform and with every version of torch."""
    draw = random.Random(seed)
    return torch.tensor([draw.uniform(-1, 1) for _ in range(torch.Size(shape).numel())], dtype=dtype).reshape(shape)


def dealt(module: Module) -> Module:
    """The module with each parameter set from its name: what it computes does not depend on the order of creation."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(numbers(*parameter.shape, seed=name, dtype=parameter.dtype))
    return module


def parameters(module: torch.nn.Module, *needed: str) -> dict[str, torch.nn.Parameter]:
    """The parameters of a module by name; a test fails where one that it needs is missing."""
    __tracebackhide__ = True
    found = dict(module.named_parameters())
    for name in needed:
        assert name in found, f"there is no parameter {name}; the parameters are {', '.join(found) or 'none'}"
    return found


def filled(module: Module, values: Mapping[str, Any]) -> Module:
    """The module with the named parameters set, each to what can be broadcast to it."""
    __tracebackhide__ = True
    known = parameters(module, *values)
    with torch.no_grad():
        for name, value in values.items():
            known[name].copy_(torch.as_tensor(value, dtype=known[name].dtype))
    return module


def toy_model(vocab_size: int = 11, width: int = 8, dropout: float = 0.0) -> torch.nn.Sequential:
    """What a kata that takes a model is tested with: ids (batch, tokens) in, logits (batch, tokens, vocab_size) out."""
    table, head = torch.nn.Embedding(vocab_size, width), torch.nn.Linear(width, vocab_size)
    return dealt(torch.nn.Sequential(table, torch.nn.Dropout(dropout), head))


class Moved(TorchFunctionMode):
    """Within it, what a module takes along when it is moved, and some tensors beside, lie on another device.

    So does what is computed from them, or created on the device of one. A call with tensors of both devices is refused,
    as a GPU refuses it; a single number, an index, and what is copied may lie elsewhere. The meta device would let some
    calls through, and its first operation imports 800 modules.
    """

    def __init__(self, module: torch.nn.Module | None, *tensors: torch.Tensor) -> None:
        super().__init__()
        taken = [*module.parameters(), *module.buffers()] if module else []
        self.there = {id(one): one for one in (*taken, *tensors)}  # held, so that no other object gets its id

    def has(self, value: Any) -> bool:
        """Whether a tensor lies on the other device."""
        return id(value) in self.there

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [*args, *(kwargs or {}).values()]
        given += [one for part in given if isinstance(part, list | tuple) for one in part]
        tensors = [part for part in given if isinstance(part, torch.Tensor)]
        placed, name = {self.has(one) for one in tensors if one.ndim}, function.__name__
        if len(placed) > 1 and name not in ("__getitem__", "__setitem__", "copy_", "to", "type_as"):
            raise RuntimeError(f"{name} was given tensors on two devices")
        there = any(map(self.has, tensors[:1] if name in ("__getitem__", "copy_") else tensors))
        there = there or any(isinstance(part, torch.device) for part in given)
        result = function(*args, **(kwargs or {}))
        if name == "cpu" or "cpu" in [part for part in given if isinstance(part, str)]:
            return result.view_as(result)  # here, torch gives back the tensor itself, which stays where it is
        if there:
            made = result if isinstance(result, list | tuple) else [result]
            self.there |= {id(one): one for one in made if isinstance(one, torch.Tensor)}
        return result


def close(actual: Any, expected: torch.Tensor, because: str, **looser: Any) -> None:
    """Assert that two tensors agree in shape, dtype and value; say because where they do not.

    The tolerance is that of TOLERANCE for the dtype; `rtol`, `atol` and `equal_nan` are those of torch.isclose.
    """
    __tracebackhide__ = True
    if not isinstance(actual, torch.Tensor):
        pytest.fail(f"the result is {said(actual)}, expected a tensor: {because}")
    if actual.shape != expected.shape:
        pytest.fail(f"the shape is {tuple(actual.shape)}, expected {tuple(expected.shape)}: {because}")
    wrong = ~torch.isclose(actual.to(expected.dtype), expected, **{**TOLERANCE.get(expected.dtype, {}), **looser})
    if wrong.any():
        apart = (actual.double() - expected.double()).abs().nan_to_num(torch.inf).masked_fill(~wrong, -1)
        at = tuple((apart == apart.max()).nonzero()[0].tolist())  # torch.unravel_index would import sympy
        place = f" at {list(at)}" if at else ""
        pytest.fail(f"the value{place} is {both(actual[at].item(), expected[at].item())}: {because}")
    if actual.dtype != expected.dtype:
        pytest.fail(f"the values are right, but the dtype is {actual.dtype}, expected {expected.dtype}: {because}")


def both(actual: float, expected: float) -> str:
    """Two numbers, with as many digits as it takes to see that they differ."""
    for digits in (6, 9, 12, 17):
        if f"{actual:.{digits}g}" != f"{expected:.{digits}g}":
            break
    return f"{actual:.{digits}g}, expected {expected:.{digits}g}"


def same(actual: Any, expected: Any, because: str) -> None:
    """Assert that two plain values are equal in type and content; say because, and where they part, when not."""
    __tracebackhide__ = True
    if (parted := parting(actual, expected)) is not None:
        pytest.fail(f"{parted}: {because}")


def parting(actual: Any, expected: Any, place: str = "") -> str | None:
    """Where two plain values first differ, told in a line; None where they are equal."""
    where = f" at {place}" if place else ""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in expected:
            if key not in actual:
                return f"{said(key)} is missing{where}"
            if parted := parting(actual[key], expected[key], f"{place}[{said(key)}]"):
                return parted
        extra = [key for key in actual if key not in expected]
        return f"{said(extra[0])}{where} should not be there" if extra else None
    if isinstance(expected, list | tuple) and type(actual) is type(expected):
        for index, (mine, theirs) in enumerate(zip(actual, expected, strict=False)):
            if parted := parting(mine, theirs, f"{place}[{index}]"):
                return parted
        if len(actual) != len(expected):
            return f"{len(actual)} items{where}, expected {len(expected)}"
        return None
    if type(actual) is not type(expected) or actual != expected:
        return f"{said(actual)}{where}, expected {said(expected)}"
    return None


def said(value: Any) -> str:
    """A value in a few words."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ... ({len(text)} characters)"


def said_first(error: Exception) -> str:
    """The first line of an error: torch's own may run over pages."""
    return str(error).strip().partition("\n")[0][:200]


@contextlib.contextmanager
def refuses(error: type[Exception], *values: object) -> Iterator[None]:
    """Expect this very error, no subclass, with every value named in its message. Annotations are not checked."""
    __tracebackhide__ = True
    named = " and ".join(str(value) for value in values)
    expected = f"expected a {error.__name__}" + (f" that names {named}" if named else "")
    try:
        with unchecked():
            yield
    except (NotImplementedError, KataUnavailable):
        raise  # nothing written yet is no refusal
    except Exception as raised:
        if type(raised) is not error:
            pytest.fail(f"{expected}; a {type(raised).__name__} came instead: {said_first(raised)}")
        missing = [str(value) for value in values if not names(str(raised), value)]
        if missing:
            pytest.fail(f"{expected}; the message does not name {' and '.join(missing)}: {said_first(raised)}")
    else:
        pytest.fail(f"{expected}; nothing was refused")


def names(message: str, value: object) -> bool:
    """Whether a message has a value: a number as a whole number, a shape in brackets of any kind, the rest as text."""
    parts = value if isinstance(value, tuple) else (value,)
    pattern = r"\s*[,x×]\s*".join(re.escape(str(part)) for part in parts)
    before = r"(?<!\d)(?<!\d\.)" if re.match(r"\d", pattern) else ""
    after = r"(?!\d|\.\d)" if re.search(r"\d$", pattern) else ""
    return bool(re.search(before + pattern + after, message))


def climbed_and_checked(what: str, number: int, benchmark: Any, capsys: Any, request: Any, **how: Any) -> None:
    """One of the ladders of `dojo bench WHAT`, the reference on it: nothing on it is wrong, and its ratios hold."""
    from dojo.ladder.checks import checks
    from dojo.ladder.choosing import ladders
    from dojo.ladder.ladder import FAILED, climb
    from dojo.ladder.table import table

    quick = request.config.getoption("--quick")
    ladder = ladders(what, **{"device": "cpu", "quick": quick} | how)[0][number]
    climbs: list[Any] = []
    benchmark.pedantic(lambda: climbs.append(climb(ladder, 0.6 if quick else 3.0)), rounds=1)
    found = checks(ladder, climbs[0])
    benchmark.extra_info.update(climbs[0].as_data() | {"checks": [str(each) for each in found]})
    with capsys.disabled():
        print("", *table(climbs[0]), "", *found, sep="\n")
    wrong = [f"{cell.variant} at {cell.size}: {cell.why}" for cell in climbs[0].cells if cell.state == FAILED]
    assert not wrong, "; ".join(wrong)
    fell = [str(each) for each in found if each.fails]
    assert not fell, "; ".join(fell)
