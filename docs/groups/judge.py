"""Test somebody else's katas over a clean clone of this repository, in a sandbox: docs/groups/other-peoples-code.md.

    python docs/groups/judge.py FOLDER [--with bwrap|podman] [--seconds 300]

FOLDER holds katas/PART/NAME.py. The exit code is 0 when every kata in it is green.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dojo.catalog.curriculum import Kata, katas  # noqa: E402
from dojo.system.files import read_regular  # noqa: E402
from dojo.system.terminal import harmless  # noqa: E402

SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")
INSIDE, TEMPORARY = "/repository", 256  # where the clone appears; megabytes of /tmp and of /dev/shm
# What the kernel holds for each process of the sandbox; dojo, inside, holds the sums.
LIMITS = ["prlimit", "--nproc=512", f"--fsize={128 << 20}", f"--as={16 << 30}", "--core=0", "--"]
IMAGE = "llm-katas-empty"


def main() -> int:
    """Judge every kata of a folder, one sandbox each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--with", dest="tool", choices=("bwrap", "podman"), default="bwrap")
    parser.add_argument("--seconds", type=float, default=300, help="for one kata, all in all")
    asked = parser.parse_args()
    if shutil.which(asked.tool) is None:
        parser.error(f"{asked.tool} is not installed")
    if not (asked.folder / "katas").is_dir() or (asked.folder / "katas").is_symlink():
        parser.error(f"{harmless(str(asked.folder))} has no folder katas/")
    submitted, refused = submission(asked.folder)
    for why in refused:
        print(f"refused      {harmless(why)}")
    outcomes = []
    with clone() as repository:
        for kata, content in submitted:
            own = repository / kata.stub.relative_to(ROOT)
            stub = own.read_bytes()
            own.write_bytes(content)
            outcomes.append(judged(kata, repository, asked.tool, asked.seconds))
            own.write_bytes(stub)
            print(f"{outcomes[-1]:12} {kata.address}", flush=True)
    return 0 if outcomes and set(outcomes) == {"green"} and not refused else 1


def submission(folder: Path) -> tuple[list[tuple[Kata, bytes]], list[str]]:
    """The katas of a folder with their content, in the order of the curriculum, and why other files are not taken."""
    known = {kata.stub.relative_to(ROOT).as_posix(): kata for kata in katas()}
    found: dict[Kata, bytes] = {}
    refused = []
    for where, folders, names in os.walk(folder / "katas"):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(where, name)))]:
            shown = Path(where, name).relative_to(folder).as_posix()
            if shown not in known:
                refused.append(f"{shown} is not a kata")
                continue
            try:
                found[known[shown]] = read_regular(Path(where, name))
            except OSError as error:
                refused.append(f"{shown}: {error.strerror or error}")
    return [(kata, found[kata]) for kata in katas() if kata in found], refused


@contextlib.contextmanager
def clone() -> Iterator[Path]:
    """A clean clone of what is committed here, without anything that git ignores."""
    with tempfile.TemporaryDirectory(prefix="dojo-judge-") as folder:
        place = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, place], check=True)
        shutil.rmtree(place / ".git")
        yield place


def judged(kata: Kata, repository: Path, tool: str, seconds: float) -> str:
    """The outcome of a kata, as the sandbox says it."""
    words = {"bwrap": bubblewrap, "podman": podman}[tool](repository, seconds)
    words += [*LIMITS, sys.executable, "-m", "dojo", "test", kata.address, "--json"]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        try:
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=said, stderr=complaints, timeout=seconds)
        except subprocess.TimeoutExpired:  # bwrap is killed, and with it all that it started; podman counts itself
            return "over time"
        said.seek(0)
        complaints.seek(0)
        try:
            outcome = json.loads(said.read(1 << 24))["outcome"]
        except (ValueError, KeyError, TypeError, RecursionError):
            outcome = None
        if outcome not in ("green", "red"):
            outcome = "no verdict"
            for line in complaints.read(1 << 16).decode(errors="replace").splitlines()[-1:]:
                print(f"{'':12} {harmless(line)}", file=sys.stderr)
    return outcome


def readable() -> list[str]:
    """The folders that Python and its packages need."""
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    own = {str(Path(path).resolve()) for path in own} | {sys.prefix}
    return [path for path in (*SYSTEM, *sorted(own)) if os.path.exists(path)]


def variables() -> dict[str, str]:
    """The whole environment inside."""
    found = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return found | {"OMP_NUM_THREADS": "1"}


def bubblewrap(repository: Path, _: float) -> list[str]:
    """Nothing but the system's programs, Python, and the clone, all read-only; no network, no home, no capability."""
    small = ["--size", str(TEMPORARY << 20), "--tmpfs"]
    words = ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev", *small, "/dev/shm", *small, "/tmp"]
    for path in readable():
        words += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    words += ["--ro-bind", str(repository), INSIDE, "--chdir", INSIDE, "--clearenv"]
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]  # what bwrap makes them of has no limit: half of the memory
    return [*words, *(word for pair in variables().items() for word in ("--setenv", *pair)), "--"]


def podman(repository: Path, seconds: float) -> list[str]:
    """The same by a rootless container whose image is empty: all that it has is mounted, read-only."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        tarfile.open(fileobj=file, mode="w").close()
        file.flush()
        subprocess.run(["podman", "import", "--quiet", file.name, IMAGE], check=True, capture_output=True)
    words = ["podman", "run", "--rm", "--timeout", str(int(seconds)), "--network", "none", "--read-only"]
    words += ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
    words += [
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=512:512",
        "--pids-limit",
        "512",
        "--memory",
        "6g",
        "--tmpfs",
        f"/tmp:size={TEMPORARY}m",
        "--shm-size",
        "256m",
    ]
    for path in readable():
        words += ["--volume", f"{path}:{path}:ro"]
    words += ["--volume", f"{repository}:{INSIDE}:ro", "--workdir", INSIDE]
    return [*words, *(word for name, value in variables().items() for word in ("--env", f"{name}={value}")), IMAGE]


if __name__ == "__main__":
    sys.exit(main())
