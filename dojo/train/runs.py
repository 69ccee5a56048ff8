"""Where a run lives: .dojo/runs/NAME/, with everything needed to continue it, to generate with it and to show it."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dojo.errors import DojoError, UsageProblem
from dojo.learner import store
from dojo.train import settings

RUNS = store.FOLDER / "runs"
TRAIN = "train"
BEGUN = "begun."  # a file in the folder of a run that is not one yet, with the number of the process that makes it


@dataclass(frozen=True)
class Run:
    """The files of one run."""

    name: str

    @property
    def folder(self) -> Path:
        return RUNS / self.name

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def learned(self) -> Path:
        return self.folder / "learned.npy"

    @property
    def held_out(self) -> Path:
        return self.folder / "held-out.npy"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def curve(self) -> Path:
        return self.folder / "curve.svg"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter.safetensors"

    @property
    def confusion(self) -> Path:
        return self.folder / "confusion.svg"

    @property
    def kind(self) -> str:
        """What was done in it: TRAIN, or a kind of fine-tuning; empty where that cannot be read."""
        return str(store.read(self._address, "run").get("kind", ""))

    @property
    def again(self) -> str:
        """The command that continues it; without a name, that is the last run of its kind."""
        same = [path.parent.name for path in _found() if Run(path.parent.name).kind == self.kind]
        return f"{self._command} --resume{f' --name {self.name}' if same and same[-1] != self.name else ''}"

    @property
    def diverged(self) -> str:
        """That its loss was lost, and when, in a sentence; empty where that was not so."""
        match store.read(self._address, "run"):
            case {"diverged": {"step": int(step), "rate": float(rate) | int(rate)}}:
                return f"{self.name} diverged at step {step}, with a learning rate of {rate:g}"
        return ""

    @property
    def _command(self) -> str:
        return "dojo train" if self.kind in (TRAIN, "") else f"dojo finetune {self.kind}"

    @property
    def _address(self) -> str:
        return f"runs/{self.name}"

    def about(self, check: Callable[[Mapping[str, Any]], None] = settings.check) -> dict[str, Any]:
        """What the run was asked to do, and what it is made of. Raises DojoError where that cannot be read, or where
        `check` raises ValueError.
        """
        try:
            about = store.load(self._address, "run")
            check(about)
        except FileNotFoundError:
            raise DojoError(f"{store.shown(self.folder)} is not, or no longer, the folder of a run.") from None
        except store.Damaged as error:
            raise DojoError(f"{error}. {self.otherwise}") from None
        except ValueError as error:
            raise self.unusable(self.folder / "run.json", f"is damaged: {error}") from None
        return about

    @property
    def model(self) -> str:
        """Which model a run of `dojo train` holds. Raises DojoError where that cannot be read."""
        return settings.Settings.of_data(self.about()["settings"]).model

    @property
    def otherwise(self) -> str:
        """What to do where a run is of no more use."""
        return f"Choose another run, or start again with `{self._command}`."

    def unusable(self, path: Path, why: str) -> DojoError:
        """What to raise where one of its files cannot be used, and nothing but another run helps."""
        return DojoError(f"{store.shown(path)} {why}. {self.otherwise}")

    def unloadable(self, why: str) -> DojoError:
        """What to raise where its checkpoint cannot be used: without it, the run can begin again."""
        path = store.shown(self.checkpoint)
        why = why.replace(f"{self.checkpoint} ", "it ")
        return DojoError(f"{path} {why}. Remove it, and `{self.again}` begins this run again.")

    def note(self, about: dict[str, Any]) -> None:
        """Write what the run is about. From here on it is one, and others find it. Raises CannotSave."""
        store.write(self._address, "run", about)
        for mark in self.folder.glob(f"{BEGUN}*"):
            with contextlib.suppress(OSError):
                mark.unlink()

    def note_more(self, **more: Any) -> None:
        """Add to what the run is about. Raises CannotSave."""
        store.write(self._address, "run", store.read(self._address, "run") | more)

    def discard(self) -> None:
        """Remove it with all its files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def measured(self) -> dict[str, Any]:
        """The losses on the way so far. Raises FileNotFoundError, and store.Damaged."""
        return store.load(self._address, "history")

    def measure(self, history: dict[str, Any]) -> None:
        store.write(self._address, "history", history)

    def sweep(self) -> None:
        """Remove what a killed process has left half written beside the checkpoint."""
        for path in self.folder.glob(f"*{self.checkpoint.name}*"):
            if path != self.checkpoint:
                with contextlib.suppress(OSError):
                    path.unlink()


def new(name: str) -> Run:
    """A folder for a run, under a name of its own: nothing that was trained before is overwritten.

    It is a run, and can be found, once `note` is called. Raises UsageProblem for a name that is none, and CannotSave.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageProblem(f"'{name}' cannot be the name of a run: take letters, digits, dots and dashes.")
    _sweep()
    taken, number = name, 1
    while os.path.lexists(RUNS / taken):
        number += 1
        taken = f"{name}-{number}"
    run = Run(taken)
    try:
        run.folder.mkdir(parents=True)
        (run.folder / f"{BEGUN}{os.getpid()}").touch()
    except OSError as error:
        raise store.unwritten(run.folder, error) from None
    return run


def latest(name: str = "", kinds: Collection[str] = (TRAIN,), first: str = "dojo train --quick") -> Run:
    """The run of a name, or the last one that can be read, of some kinds.

    Raises a UsageProblem that says which there are, or how to have one first; DojoError where none can be read.
    """
    if os.path.lexists(RUNS) and not RUNS.is_dir():
        raise DojoError(f"{store.shown(RUNS)} is not a folder: move it away, and begin with `{first}`.")
    found = _found()
    wrong = {path.parent.name: why for path in found if (why := _unreadable(path.parent.name))}
    names = [path.parent.name for path in found if Run(path.parent.name).kind in kinds]
    if name and (RUNS / name).is_file():
        raise DojoError(f"{store.shown(RUNS / name)} is not a folder of a run: move it away, and begin with `{first}`.")
    damage = wrong.get(name, "") if name or names else next(iter(wrong.values()), "")
    if damage:
        raise DojoError(f"{damage}. Choose another run, or start again with `{first}`.")
    if not names:
        raise UsageProblem(f"there is no run to continue: begin with `{first}`.")
    if name and name not in names:
        others = ", ".join(reversed(names))
        raise UsageProblem(f"there is no run '{name}', only {others}. To have another, begin with `{first}`.")
    return Run(name or names[-1])


def all_of(kind: str) -> list[Run]:
    """The runs of a kind that can be read, the last one first."""
    return [run for path in reversed(_found()) if (run := Run(path.parent.name)).kind == kind]


def _found() -> list[Path]:
    return sorted(RUNS.glob("*/run.json"), key=lambda path: path.parent.stat().st_mtime)


def _unreadable(name: str) -> str:
    """What is wrong with what a run is about, if it cannot even be told which kind of run it is."""
    try:
        kind = store.load(f"runs/{name}", "run").get("kind")
    except (FileNotFoundError, store.Damaged) as error:
        return str(error)
    return (
        "" if isinstance(kind, str) and kind else f"{store.shown(RUNS / name / 'run.json')} is damaged: it has no kind"
    )


def _sweep() -> None:
    """Remove what was to become a run, and whose process was killed before that."""
    for mark in RUNS.glob(f"*/{BEGUN}*"):
        owner = mark.name.removeprefix(BEGUN)
        if owner.isdecimal() and store.gone(int(owner)) and not os.path.lexists(mark.parent / "run.json"):
            shutil.rmtree(mark.parent, ignore_errors=True)
