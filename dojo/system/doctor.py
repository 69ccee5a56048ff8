"""`dojo doctor`: what is wrong with this installation, and the command that fixes it. Needs nothing but Python."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.exits import Exit
from dojo.system import terminal, vocabulary
from dojo.system.packages import INSTALL, dependencies, project

OK, NOTE, WRONG = "ok", "note", "wrong"
MARKS = {OK: "passed", NOTE: "skipped", WRONG: "failed"}
IMPORT_SECONDS = 120.0
SETTINGS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "KATA_PROFILE")  # what can keep pytest from starting
GIT_SECONDS = 20.0
TORCH = """
import torch
devices = ["cpu"]
if torch.cuda.is_available():
    devices += [f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
if getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
    devices.append("mps")
print("devices: " + ", ".join(devices))
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, whether it is ok, what was seen, the command that fixes it, and a word on that."""

    name: str
    state: str
    seen: str
    fix: str = ""
    about: str = ""


def main(words: list[str]) -> int:
    """`dojo doctor` where click is not installed. Returns the exit code."""
    import argparse

    parser = argparse.ArgumentParser(prog="dojo doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="Print JSON for scripts.")
    parser.add_argument("--fetch", action="store_true", help="Download GPT-2's vocabulary first.")
    asked = parser.parse_args(words)
    terminal.prepare()
    try:
        return examine(asked.json, asked.fetch)
    except KeyboardInterrupt:
        terminal.say("\nstopped.", to_stderr=True)
        return Exit.STOPPED


def examine(as_json: bool, fetch: bool) -> int:
    """Look at everything and tell it. Returns 1 where something that is needed is wrong, else 0."""
    failed = vocabulary.fetch_all(terminal.say if not as_json else lambda *line: None) if fetch else ""
    found = []
    for look in LOOKS:
        for finding in look():
            found.append(finding)
            if not as_json:
                tell(finding)
    wrong = [finding for finding in found if finding.state == WRONG]
    if as_json:
        data = {"ok": not wrong and not failed, "findings": [asdict(finding) for finding in found]}
        terminal.say_json(data | ({"fetch": failed} if failed else {}))
    else:
        terminal.say()
        if failed:
            terminal.say((failed, "bold red"))
        if wrong:
            terminal.say((f"{len(wrong)} to fix: {', '.join(finding.name for finding in wrong)}", "bold red"))
        elif not failed:
            terminal.say(("all that is needed is here.", "bold green"))
    return 1 if wrong or failed else 0


def tell(finding: Finding) -> None:
    """A finding on the screen."""
    mark = MARKS[finding.state]
    style = {OK: "green", NOTE: "magenta", WRONG: "red"}[finding.state]
    hanging = " " * 16
    first, *more = terminal.wrapped(finding.seen, terminal.columns() - 1, hanging, hanging)
    terminal.say((terminal.glyph(mark), style), f" {finding.name:13} ", first[len(hanging) :])
    for line in more:
        terminal.say(line)
    if finding.fix:
        terminal.say(hanging, ("fix: ", "bold"), (finding.fix, "cyan"))
    for line in terminal.wrapped(finding.about, terminal.columns() - 1, hanging, hanging) if finding.about else ():
        terminal.say((line, "dim"))


def python() -> Iterator[Finding]:
    """Whether this Python is one that the project is made for."""
    version = ".".join(map(str, sys.version_info[:3]))
    least, most = supported()
    seen = f"{version} at {sys.executable}"
    if least <= sys.version_info[:2] < most:
        yield Finding("python", OK, seen)
    else:
        span = f"{dotted(least)} to {dotted((most[0], most[1] - 1))}"
        about = f"with a Python from {span}, from python.org or your system's packages"
        yield Finding("python", WRONG, f"{seen}, but this needs {span}", "python3 -m venv .venv", about)
    inside = sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX")
    if not inside:
        seen = "none is active: packages go into the Python of the whole system"
        yield Finding("environment", NOTE, seen, "python3 -m venv .venv")


def packages() -> Iterator[Finding]:
    """Whether each package that pyproject.toml asks for is installed, and new enough."""
    here, lacking = [], []
    for name, least in dependencies():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(f"{name} (missing)")
            continue
        if numbers(version) < numbers(least):
            lacking.append(f"{name} ({version}, {least} or newer is needed)")
        here.append(f"{name} {version}")
    if lacking:
        yield Finding("packages", WRONG, ", ".join(lacking), INSTALL, f"in {ROOT}")
    if here:
        yield Finding("packages", OK, ", ".join(here))


def torch() -> Iterator[Finding]:
    """Whether torch can be imported, and which devices it has. It is asked in a process of its own."""
    if importlib.util.find_spec("torch") is None:
        yield Finding("torch", WRONG, "is not installed", INSTALL, f"in {ROOT}")
        return
    fix = "python -m pip install --force-reinstall --no-deps torch", "which torch for which system: README.md"
    try:
        ended = asked("-c", TORCH)
    except subprocess.TimeoutExpired:
        yield Finding("torch", WRONG, f"could not be imported within {IMPORT_SECONDS:g} seconds", *fix)
        return
    if devices := re.search(r"^devices: (.*)$", ended.stdout, re.MULTILINE):
        yield Finding("torch", OK, f"runs on {devices[1]}")
    else:
        words = ended.stderr.strip().splitlines()[-1:] or [f"ended with code {ended.returncode}"]
        yield Finding("torch", WRONG, f"cannot be imported: {words[0]}", *fix)


def asked(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The result of Python with these arguments, in a process of its own. Raises subprocess.TimeoutExpired."""
    more |= {"capture_output": True, "stdin": subprocess.DEVNULL, "timeout": IMPORT_SECONDS}
    return subprocess.run([sys.executable, *words], text=True, encoding="utf-8", errors="replace", **more)


def tests() -> Iterator[Finding]:
    """Whether pytest starts here, and, where it does not, the setting without which it would."""
    if importlib.util.find_spec("pytest") is None or not (ROOT / "conftest.py").exists():
        return  # the packages, or the clone, say so
    said = why_pytest_fails(dict(os.environ))
    if not said:
        yield Finding("pytest", OK, "starts")
        return
    seen = f"cannot start: {said}"
    for name in filter(os.environ.get, SETTINGS):
        if not why_pytest_fails({key: value for key, value in os.environ.items() if key != name}):
            fix = f"set {name}=" if os.name == "nt" else f"unset {name}"
            yield Finding("pytest", WRONG, seen, fix, f"it starts without {name}={os.environ[name]}")
            return
    yield Finding("pytest", WRONG, seen, INSTALL, f"in {ROOT}")


def why_pytest_fails(variables: dict[str, str]) -> str:
    """The error of a pytest that cannot start; empty for one that can. It collects a file without tests."""
    empty, nothing_collected = "tests/__init__.py", 5
    try:
        ended = asked("-m", "pytest", empty, "--collect-only", "-p", "no:cacheprovider", cwd=ROOT, env=variables)
    except subprocess.TimeoutExpired:
        return f"it did not end within {IMPORT_SECONDS:g} seconds"
    if ended.returncode in (0, nothing_collected):
        return ""
    lines = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
    return next((line for line in reversed(lines) if "error: " in line.lower()), "".join(lines[-1:]))


def clone() -> Iterator[Finding]:
    """Which clone this dojo belongs to, which one the `dojo` command runs, and where you are."""
    if not (ROOT / "katas" / "curriculum.toml").exists():
        seen = f"this dojo is in {ROOT}, without katas"
        yield Finding("clone", WRONG, seen, INSTALL, "in the folder that holds katas/")
        return
    here = next((f for f in (Path.cwd(), *Path.cwd().parents) if (f / "katas" / "curriculum.toml").exists()), None)
    if here is not None and not os.path.samefile(here, ROOT):
        yield Finding("clone", WRONG, f"this dojo is that of {ROOT}, but you are in {here}", INSTALL, f"in {here}")
    else:
        yield Finding("clone", OK, str(ROOT))
    installed = installed_root()
    if installed is None:
        about = f"in {ROOT}; until then, `python -m dojo` does the same there"
        yield Finding("command", NOTE, "the command `dojo` is not installed for this Python", INSTALL, about)
    elif not installed.exists() or not os.path.samefile(installed, ROOT):
        yield Finding("command", WRONG, f"the command `dojo` runs the clone in {installed}", INSTALL, f"in {ROOT}")
    elif shutil.which("dojo") is None:
        fix = str(Path(".venv", "Scripts", "activate")) if os.name == "nt" else "source .venv/bin/activate"
        seen = "the command `dojo` is installed but not on the PATH"
        yield Finding("command", NOTE, seen, fix, "activate the environment that you installed it in")


def installed_root() -> Path | None:
    """The folder that llm-katas was installed from, by the record of an editable install; None where there is none."""
    import json
    from urllib.parse import unquote, urlparse
    from urllib.request import url2pathname

    try:
        text = importlib.metadata.distribution("llm-katas").read_text("direct_url.json")
        address = json.loads(text or "{}").get("url", "")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    return Path(url2pathname(unquote(urlparse(address).path))) if address.startswith("file:") else ROOT


def editors() -> Iterator[Finding]:
    """What `dojo open` would use."""
    for name in ("VISUAL", "EDITOR"):
        if words := os.environ.get(name, "").split():
            if shutil.which(words[0]):
                yield Finding("editor", OK, f"{' '.join(words)} (from {name})")
            else:
                yield Finding("editor", NOTE, f"{name} says '{words[0]}', which was not found", f"export {name}=nano")
            return
    if shutil.which("code"):
        yield Finding("editor", OK, "VS Code (code)")
    else:
        seen = "neither VISUAL nor EDITOR is set, and `code` is not on the PATH: `dojo open` asks the system"
        yield Finding("editor", NOTE, seen, "set EDITOR=notepad" if os.name == "nt" else "export EDITOR=nano")


def write_access() -> Iterator[Finding]:
    """Whether katas and progress can be written, by writing."""
    for folder in (ROOT / "katas", ROOT / ".dojo"):
        name = folder.relative_to(ROOT).as_posix()
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=folder) as file:
                file.write(b"can this be written?")
                file.flush()
        except OSError as error:
            fix = f"icacls {folder} /grant %USERNAME%:F /T" if os.name == "nt" else f"chmod -R u+rwX {folder}"
            if error.errno == 28:
                fix = "make room on the disk"
            yield Finding("writing", WRONG, f"{name}/ cannot be written: {error.strerror or error}", fix)
            return
    free = shutil.disk_usage(ROOT).free // (1 << 20)
    if free < 200:
        yield Finding("writing", NOTE, f"only {free} MB are free on this disk", "make room on the disk")
    else:
        yield Finding("writing", OK, "katas/ and .dojo/ can be written")


def git() -> Iterator[Finding]:
    """Whether the tests and the reference are as they were delivered."""
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        why = "git is not installed" if program is None else "this folder is not a git clone"
        yield Finding("git", NOTE, f"{why}: whether tests/ and solutions/ are untouched is not known")
        return
    words = [program, "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", "tests", "solutions"]
    try:
        ended = subprocess.run(
            words, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("git", NOTE, f"git gave no answer: {error}")
        return
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1:] or [f"nothing, and ends with code {ended.returncode}"]
        yield Finding("git", NOTE, f"git says: {said[0]}")
        return
    edited = [line[3:] for line in ended.stdout.splitlines() if line.strip()]
    if edited:
        shown = ", ".join(edited[:4]) + (f" and {len(edited) - 4} more" if len(edited) > 4 else "")
        fix = f"git -C {ROOT} checkout HEAD -- tests solutions"
        yield Finding("git", NOTE, f"edited since the last commit: {shown}", fix, "this drops those edits")
    else:
        yield Finding("git", OK, "tests/ and solutions/ are as committed")


def gpt2() -> Iterator[Finding]:
    """Whether GPT-2's vocabulary is where tiktoken looks for it."""
    folder = vocabulary.folder()
    missing = [file.name for file in vocabulary.FILES if not vocabulary.is_cached(file)]
    if folder is None:
        seen = "the cache is switched off (TIKTOKEN_CACHE_DIR is empty): tests that need the vocabulary are skipped"
        yield Finding("vocabulary", NOTE, seen, "unset TIKTOKEN_CACHE_DIR")
    elif missing:
        seen = f"GPT-2's {' and '.join(missing)} missing in {folder}: the tests that need it are skipped"
        yield Finding("vocabulary", NOTE, seen, "dojo doctor --fetch")
    else:
        yield Finding("vocabulary", OK, f"GPT-2's is in {folder}")


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    packages,
    torch,
    tests,
    clone,
    editors,
    write_access,
    git,
    gpt2,
)


def supported() -> tuple[tuple[int, int], tuple[int, int]]:
    """The first version of Python that is supported, and the first that no longer is."""
    text = str(project().get("requires-python", ""))
    least, most = re.search(r">=\s*(\d+)\.(\d+)", text), re.search(r"<\s*(\d+)\.(\d+)", text)
    return (
        (int(least[1]), int(least[2])) if least else (3, 11),
        (int(most[1]), int(most[2])) if most else (3, 15),
    )


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing: 2.13.0+cpu is (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])


def dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
