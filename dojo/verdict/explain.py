"""Tell a failed kata test to a learner, in at most twelve plain lines, with their own line first."""

import linecache
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.stubs import NOT_WRITTEN
from dojo.learner.store import shown
from dojo.serving.annotations import Mismatch
from dojo.serving.finder import KataUnavailable, served_files
from dojo.serving.restrictions import NEVER_IMPORTED, NotAllowed
from dojo.verdict._misplaced import misplaced, missing_name
from dojo.verdict.diagnosis import sentences

WIDTH = 100
MOST_LINES = 12


@dataclass(frozen=True)
class Frame:
    """One call on the way to an error: its file, its line and the qualified name of its function."""

    path: Path
    line: int
    name: str

    @property
    def code(self) -> str:
        return linecache.getline(str(self.path), self.line).strip()

    @property
    def place(self) -> str:
        return f"{shown(self.path)}:{self.line}"


@dataclass(frozen=True)
class Failure:
    """What is known of a failed test: its kata, its clause, the error, the kata's own frames, the mistakes named."""

    address: str
    clause: str
    error: BaseException
    frames: Sequence[Frame]
    mistakes: Sequence[str]

    @property
    def file(self) -> str:
        return f"katas/{self.address}.py"

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


def told(failure: Failure) -> list[str]:
    """The failure, in lines. The first kind that fits tells it; the last fits always."""
    for kind in (told_unavailable, told_not_written):
        if lines := kind(failure):
            return clipped(lines)
    for kind in (told_misplaced, told_shape, told_no_super, told_error):
        if lines := kind(failure):
            break
    return clipped([*lines, *advice(failure)])


def told_unavailable(failure: Failure) -> list[str]:
    """The kata's file, or that of a prerequisite, could not be loaded."""
    error = failure.error
    if not isinstance(error, KataUnavailable):
        return []
    if error.address != failure.address:
        return prerequisite(error.address, f"cannot be loaded: {first_line(error.cause or error)}")
    match error.cause:
        case None:
            return told_misplaced(failure) or missing_name(failure.address, error.name)
        case SyntaxError() as cause:
            return syntax_error(failure.file, cause)
        case NotAllowed() as cause:
            lines = [f"not allowed here: {what}, line {line}" for what, line in cause.uses[:4]]
            return [*lines, why_not_allowed(failure, cause.uses[0][0])]
        case FileNotFoundError():
            return [f"{failure.file} is missing; `dojo reset {failure.name}` brings its stub back"]
        case cause:
            return [
                f"{failure.file} stops while it is loaded",
                *own_line(frames_of(cause)),
                f"seen: {first_line(cause)}",
            ]


def why_not_allowed(failure: Failure, what: str) -> str:
    if what in NEVER_IMPORTED:
        return "a kata stands on its own: it knows neither the reference nor its tests"
    if what.startswith("changing "):
        return "what others share stays as it is: the tests use it too"
    return f"the specification of {failure.name} asks you to build this yourself"


def told_not_written(failure: Failure) -> list[str]:
    """A body is still the stub's."""
    last = failure.frames[-1] if failure.frames else None
    if not (isinstance(failure.error, NotImplementedError) and last and last.code.startswith(NOT_WRITTEN)):
        return []
    if (address := address_of(last.path)) not in (failure.address, None):
        return prerequisite(address, f"is not written yet: {last.place} {last.name}")
    return [f"not written yet: {last.place} {last.name}", f"next: dojo spec {failure.name}"]


def told_misplaced(failure: Failure) -> list[str]:
    """A function of the specification is in the file, but not where it belongs: an indent went wrong."""
    if not isinstance(failure.error, NotImplementedError | AttributeError | TypeError | KataUnavailable):
        return []
    return [line for text in misplaced(failure.address) for line in wrapped(text)][:4]


def told_shape(failure: Failure) -> list[str]:
    """A value does not fit its annotation."""
    error = failure.error
    if not isinstance(error, Mismatch):
        return []
    lines = [headline(failure), *own_line(failure.frames)]
    if error.is_none:
        function = error.what.removeprefix("the result of ")
        return [*lines, f"seen: {error.what} is None: does every way through {function} end in a `return`?"]
    return [*lines, f"seen: {error.what} is {error.seen}", f"expected: {error.expected}"]


def told_no_super(failure: Failure) -> list[str]:
    """A module was used before nn.Module's own constructor had run."""
    error = failure.error
    if not (isinstance(error, AttributeError) and "Module.__init__() call" in str(error)):
        return []
    return [
        *own_line(failure.frames),
        f"seen: {first_line(error)}",
        "`super().__init__()` has to be the first line of __init__: it makes the module ready to hold its parts",
    ]


def told_error(failure: Failure) -> list[str]:
    """A failed assertion, or an exception from anywhere: the clause, what was seen, the learner's own line."""
    error = failure.error
    lines = [headline(failure)]
    if "Flaky" in type(error).__name__:
        return [*lines, "seen: the same call gave two different answers: is something random, or kept between calls?"]
    if is_verdict(error):
        seen = (getattr(error, "msg", None) or str(error)).partition("\nassert ")[0]
        return [*lines, *wrapped(f"seen: {seen}"), *drawn(error)]
    if isinstance(error, RecursionError):
        return [*lines, *own_line(failure.frames), "seen: RecursionError: the function calls itself without an end"]
    return [*lines, *own_line(failure.frames), *wrapped(f"seen: {first_line(error)}")[:3], *drawn(error)]


def headline(failure: Failure) -> str:
    sentence = specification.clauses(failure.address).get(failure.clause, "")
    return f"{failure.clause}: {sentence}"


def advice(failure: Failure) -> list[str]:
    """The mistakes that were named, and what to do next."""
    named = sentences(failure.address, failure.clause, failure.mistakes)
    return [*named[:2], f"next: dojo hint {failure.name}"]


def prerequisite(address: str, state: str) -> list[str]:
    name = address.rpartition("/")[2]
    return [
        f"the prerequisite {address} {state}",
        f"next: dojo test {name}, or borrow it from the reference: pytest --borrow {address}",
    ]


def own_line(frames: Sequence[Frame]) -> list[str]:
    """The learner's own line that an error came through, the innermost one."""
    return [f"your line: {frames[-1].place}  {frames[-1].code}"[: WIDTH + 20]] if frames else []


def syntax_error(file: str, error: SyntaxError) -> list[str]:
    """File, line and a caret, as Python tells it."""
    if error.lineno is None:
        return [f"{file} cannot be read: it is not UTF-8 text; save it as UTF-8 and try again"]
    lines = [f"{file}:{error.lineno} is no valid Python: {error.msg}"]
    if error.text:
        text = error.text.rstrip("\n")
        indent = len(text) - len(text.lstrip())
        lines += [f"    {text.strip()}", f"    {' ' * max((error.offset or 1) - 1 - indent, 0)}^"]
    return [*lines, "nothing in this file counts until Python can read it; the other katas are not affected"]


def drawn(error: BaseException) -> list[str]:
    """What Hypothesis had drawn when the test failed, by the labels that the test gave."""
    notes = "\n".join(getattr(error, "__notes__", ()))
    found = [f"{label} = {value}" for label, value in re.findall(r"^Draw \d+ \((\w+)\): (.*)$", notes, re.MULTILINE)]
    found += re.findall(r"^with (.+)$", notes, re.MULTILINE)
    return wrapped("with: " + ", ".join(dict.fromkeys(found)))[:3] if found else []


def wrapped(text: str) -> list[str]:
    """A long line in several; those that go on are indented, so that who shows them can join them again."""
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def is_verdict(error: BaseException) -> bool:
    """Whether a test spoke, and not the code under it."""
    import pytest

    return isinstance(error, AssertionError | pytest.fail.Exception)


def first_line(error: BaseException) -> str:
    text, _, more = str(error).strip().partition("\n")
    if text.endswith(":"):
        text = f"{text} {more.strip().partition(chr(10))[0]}"  # the first line only announces what the second says
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def frames_of(error: BaseException | None) -> list[Frame]:
    """The frames of an error that stand in a served kata, outermost first."""
    found, trace, files = [], error.__traceback__ if error else None, served_files()
    while trace:
        code = trace.tb_frame.f_code
        if code.co_filename in files:
            found.append(Frame(Path(code.co_filename), trace.tb_lineno, code.co_qualname))
        trace = trace.tb_next
    return found


def address_of(path: Path) -> str | None:
    """The address of a served kata's file."""
    for room in ("katas", "solutions"):
        if path.is_relative_to(ROOT / room):
            return path.relative_to(ROOT / room).with_suffix("").as_posix()
    return None


def clipped(lines: Sequence[str]) -> list[str]:
    """At most twelve lines; the last, which says what to do next, is always among them."""
    return list(lines) if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], lines[-1]]
