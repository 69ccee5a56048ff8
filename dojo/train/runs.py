"""Where a run lives: .dojo/runs/NAME/, with all that it takes to go on with it, to speak with it and to show it."""

import contextlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dojo.errors import DojoError, UsageProblem
from dojo.learner import store

RUNS = store.FOLDER / "runs"
TRAIN = "train"


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
        return str(store.read(f"runs/{self.name}", "run").get("kind", ""))

    @property
    def again(self) -> str:
        """The command that takes it up."""
        return "dojo train --resume" if self.kind == TRAIN else f"dojo finetune {self.kind} --resume"

    def about(self) -> dict[str, Any]:
        """What the run was asked to do, and what it is made of. Raises DojoError where that cannot be read."""
        about = store.read(f"runs/{self.name}", "run")
        if not about:
            raise DojoError(f"{store.shown(self.folder)} is not, or no longer, the folder of a run.")
        return about

    def note(self, about: dict[str, Any]) -> None:
        store.write(f"runs/{self.name}", "run", about)

    def measured(self) -> dict[str, Any]:
        """The losses on the way so far."""
        return store.read(f"runs/{self.name}", "history")

    def measure(self, history: dict[str, Any]) -> None:
        store.write(f"runs/{self.name}", "history", history)

    def sweep(self) -> None:
        """Remove what a killed process has left half written beside the checkpoint."""
        for path in self.folder.glob(f"*{self.checkpoint.name}*"):
            if path != self.checkpoint:
                with contextlib.suppress(OSError):
                    path.unlink()


def new(name: str) -> Run:
    """A folder for a run, under a name of its own: nothing that was trained before is overwritten.

    Raises UsageProblem for a name that is none, and CannotSave.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageProblem(f"'{name}' cannot be the name of a run: take letters, digits, dots and dashes.")
    taken, number = name, 1
    while (RUNS / taken).exists():
        number += 1
        taken = f"{name}-{number}"
    run = Run(taken)
    try:
        run.folder.mkdir(parents=True)
    except OSError as error:
        raise store.unwritten(run.folder, error) from None
    return run


def latest(name: str = "", kinds: Collection[str] = (TRAIN,), first: str = "dojo train --quick") -> Run:
    """The run of a name, or the last one, of some kinds.

    Raises a UsageProblem that says which there are, or how to have one first.
    """
    found = sorted((path.parent for path in RUNS.glob("*/run.json")), key=lambda folder: folder.stat().st_mtime)
    names = [folder.name for folder in found if Run(folder.name).kind in kinds]
    if not names:
        raise UsageProblem(f"there is no run to go on with: begin with `{first}`.")
    if name and name not in names:
        raise UsageProblem(f"there is no run '{name}', only {', '.join(reversed(names))}.")
    return Run(name or names[-1])
