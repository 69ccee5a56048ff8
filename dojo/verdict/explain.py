"""Why a test failed, in a learner's terms, as fields: what the clause says, what was seen, the learner's own line."""

import linecache
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.stubs import NOT_WRITTEN
from dojo.learner.store import shown
from dojo.serving.annotations import Empty, Mismatch
from dojo.serving.finder import KataUnavailable, address_of, own_file, served_files
from dojo.serving.restrictions import CHANGES, DETOUR, IMPORTS, READS, STAR, USES, NotAllowed
from dojo.system.files import NotRegular
from dojo.verdict._misplaced import misplaced, missing_name, wrong_byte

LONGEST = 10_000  # characters of an error's text
UNWRITTEN, UNUSABLE, WRONG = "unwritten", "unusable", "wrong"
WHY_NOT_ALLOWED = {
    USES: "The specification of {} asks you to write this yourself.",
    IMPORTS: "A kata imports neither the reference nor the tests and their tools.",
    CHANGES: "A kata changes nothing in other modules: the tests use them too.",
    READS: "A kata does not read the reference.",
    DETOUR: "A kata calls what it needs by its name.",
    STAR: "A kata names what it imports.",
}


class NobodyThere(Exception):
    """Code under test waits for somebody to type. Its text is the call."""


@dataclass(frozen=True)
class Explanation:
    """Why a test failed. Each field is plain text without line ends, save `code`; what is empty is not shown.

    kind: UNWRITTEN (a body is still the stub's), UNUSABLE (the file cannot be loaded or lacks a name) or WRONG.
    headline: the clause with its sentence, or what is wrong with the file. details: what was seen and expected.
    place and line: where the learner's code was, and that line. code: lines that keep their form. next: what to type.
    """

    kind: str
    headline: str
    details: Sequence[str] = ()
    place: str = ""
    line: str = ""
    code: Sequence[str] = ()
    next: str = ""

    def as_data(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Explanation":
        """The explanation that gave these fields."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**fields)


@dataclass(frozen=True)
class Frame:
    """One call on the way to an error: its file, its line and the qualified name of its function."""

    path: Path
    number: int
    name: str

    @property
    def code(self) -> str:
        return linecache.getline(str(self.path), self.number).strip()

    @property
    def place(self) -> str:
        return f"{shown(self.path)}:{self.number}"


@dataclass(frozen=True)
class Failure:
    """What is known of a failed test: its kata, its clause, the error, and the kata's own frames."""

    address: str
    clause: str
    error: BaseException
    frames: Sequence[Frame] = field(default_factory=list)

    @property
    def file(self) -> str:
        return shown(own_file(self.address))

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


def explained(failure: Failure) -> Explanation:
    """The explanation of the first kind that fits; the last one always fits."""
    try:
        for kind in (_unavailable, _not_written, _misplaced, _mismatch, _no_super, _waits, _error):
            if found := kind(failure):
                return found
    except Exception as second:  # a learner's own error may fail to say anything at all
        return _wrong(failure, f"an error that cannot be described: {type(second).__name__}")
    raise AssertionError("no kind of explanation fits")


def _unavailable(failure: Failure) -> Explanation | None:
    """The kata's file, or that of a prerequisite, could not be loaded."""
    error = failure.error
    if not isinstance(error, KataUnavailable):
        return None
    if error.address != failure.address:
        return _prerequisite(error.address, f"cannot be loaded: {first_line(error.cause or error)}")
    test = f"dojo test {failure.name}"
    if error.cause and (wrong := wrong_byte(failure.address)):
        line, what, advice = wrong
        return Explanation(UNUSABLE, f"{failure.file}:{line} is not text: {what}", (advice,), next=test)
    match error.cause:
        case None:
            headline, *details = misplaced(failure.address) or missing_name(failure.address, error.name)
            return Explanation(UNUSABLE, headline, tuple(details), next=f"dojo spec {failure.name}")
        case SyntaxError() as cause:
            return _syntax_error(failure, cause)
        case NotAllowed() as cause:
            headline, *others = [f"{cause.file}:{line} {verb} {name}" for verb, name, line in cause.uses[:4]]
            why = WHY_NOT_ALLOWED[cause.uses[0].verb].format(failure.name)
            return Explanation(UNUSABLE, headline, (*others, why), next=test)
        case NotRegular() as cause:
            headline = f"{failure.file} is not used: {cause}"
            return Explanation(UNUSABLE, headline, ("A kata is a regular file with your own code.",), next=test)
        case FileNotFoundError(filename=name) if str(name) == str(ROOT / failure.file):
            return Explanation(UNUSABLE, f"{failure.file} is missing", next=f"dojo reset {failure.name}")
        case cause:
            headline = f"{failure.file} raises an error while it is loaded"
            return Explanation(UNUSABLE, headline, (first_line(cause),), **_own_line(frames_of(cause)), next=test)


def _not_written(failure: Failure) -> Explanation | None:
    """A body is still the stub's, or empty."""
    error, last = failure.error, failure.frames[-1] if failure.frames else None
    if isinstance(error, Empty):
        path, what = Path(error.file), f"{shown(Path(error.file))}:{error.line} {error.name} has an empty body"
    elif isinstance(error, NotImplementedError) and last and last.code.startswith(NOT_WRITTEN):
        path, what = last.path, f"{last.place} {last.name}"
    else:
        return None
    if (address := address_of(path)) not in (failure.address, None):
        return _prerequisite(address, f"is not written yet: {what}")
    return Explanation(UNWRITTEN, f"not written yet: {what}", next=f"dojo spec {failure.name}")


def _misplaced(failure: Failure) -> Explanation | None:
    """A function of the specification is in the file, but not where it belongs: an indent is wrong."""
    if not isinstance(failure.error, NotImplementedError | AttributeError | TypeError):
        return None
    if not (found := misplaced(failure.address)):
        return None
    return Explanation(UNUSABLE, found[0], tuple(found[1:4]), next=f"dojo spec {failure.name}")


def _mismatch(failure: Failure) -> Explanation | None:
    """A value does not fit its annotation."""
    error = failure.error
    if not isinstance(error, Mismatch):
        return None
    if error.is_none:
        function = error.what.removeprefix("the result of ")
        seen = f"{error.what} is None: does every path through {function} end in a `return`?"
    else:
        seen = f"{error.what} is {error.seen}, expected {error.expected}"
    return _wrong(failure, seen, own=True)


def _no_super(failure: Failure) -> Explanation | None:
    """A module was used before nn.Module's own constructor had run."""
    if not (isinstance(failure.error, AttributeError) and "Module.__init__() call" in str(failure.error)):
        return None
    advice = "`super().__init__()` has to be the first line of __init__: only then can a module hold its parts."
    return _wrong(failure, first_line(failure.error), advice, own=True)


def _waits(failure: Failure) -> Explanation | None:
    """A call that waits for somebody to type was left in the code."""
    if not isinstance(failure.error, NobodyThere):
        return None
    advice = f"Take it out, or debug with `dojo test {failure.name} --pdb`."
    headline = f"{failure.error} is in your code, and nobody can answer it while tests run"
    return Explanation(
        UNUSABLE, headline, (advice,), **_own_line(failure.frames), next=f"dojo test {failure.name} --pdb"
    )


def _error(failure: Failure) -> Explanation:
    """A failed assertion, or an exception from anywhere."""
    error = failure.error
    if "Flaky" in type(error).__name__:
        return _wrong(failure, "The same call gave two different results: is something random, or kept between calls?")
    if is_verdict(error):
        message = getattr(error, "msg", None)
        seen = (message if isinstance(message, str) else _text_of(error)).partition("\nassert ")[0]
        return _wrong(failure, " ".join(seen.split()), *_drawn(error))
    if isinstance(error, RecursionError):
        return _wrong(failure, "RecursionError: the function calls itself without end", own=True)
    return _wrong(failure, first_line(error), *_drawn(error), own=True)


def _wrong(failure: Failure, *details: str, own: bool = False) -> Explanation:
    sentence = specification.clauses(failure.address).get(failure.clause, "")
    where = _own_line(failure.frames) if own else {}
    return Explanation(
        WRONG, f"{failure.clause}: {sentence}", tuple(details), **where, next=f"dojo hint {failure.name}"
    )


def _prerequisite(address: str, state: str) -> Explanation:
    name = address.rpartition("/")[2]
    borrow = f"To borrow it from the reference: pytest --borrow {address}"
    return Explanation(UNUSABLE, f"the prerequisite {address} {state}", (borrow,), next=f"dojo test {name}")


def _own_line(frames: Sequence[Frame]) -> dict[str, Any]:
    """The learner's own line that an error came through, the innermost one."""
    return {"place": frames[-1].place, "line": frames[-1].code} if frames else {}


def _syntax_error(failure: Failure, error: SyntaxError) -> Explanation:
    """File, line and a caret, as Python shows them."""
    test = f"dojo test {failure.name}"
    if error.lineno is None:
        return Explanation(UNUSABLE, f"{failure.file} is not valid Python: {error.msg}", next=test)
    code: tuple[str, ...] = ()
    if error.text:
        text = error.text.rstrip("\n")
        indent = len(text) - len(text.lstrip())
        code = (text.strip(), f"{' ' * max((error.offset or 1) - 1 - indent, 0)}^")
    headline = f"{failure.file}:{error.lineno} is not valid Python: {error.msg}"
    return Explanation(UNUSABLE, headline, code=code, next=test)


def _drawn(error: BaseException) -> list[str]:
    """What Hypothesis had drawn when the test failed, by the labels that the test gave."""
    notes = getattr(error, "__notes__", ())
    notes = "\n".join(map(str, notes)) if isinstance(notes, list) else ""
    found = [f"{label} = {value}" for label, value in re.findall(r"^Draw \d+ \((\w+)\): (.*)$", notes, re.MULTILINE)]
    found += re.findall(r"^with (.+)$", notes, re.MULTILINE)
    return ["with " + ", ".join(dict.fromkeys(found))] if found else []


def is_verdict(error: BaseException) -> bool:
    """Whether a test found a fault, and not the code under it."""
    import pytest

    return isinstance(error, AssertionError | pytest.fail.Exception)


def first_line(error: BaseException) -> str:
    text, _, more = _text_of(error).strip().partition("\n")
    if text.endswith(":"):
        text = f"{text} {more.strip().partition(chr(10))[0]}"  # the first line only announces what the second says
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST]
    except (Exception, SystemExit) as second:  # a learner's own error may fail to say what it is
        return f"(its text cannot be shown: {type(second).__name__})"


def frames_of(error: BaseException | None) -> list[Frame]:
    """The frames of an error that are in a served kata, outermost first."""
    found, trace, files = [], error.__traceback__ if error else None, served_files()
    while trace:
        code = trace.tb_frame.f_code
        if code.co_filename in files:
            found.append(Frame(Path(code.co_filename), trace.tb_lineno, code.co_qualname))
        trace = trace.tb_next
    return found
