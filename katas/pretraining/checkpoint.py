"""Kata: checkpoints. The why, a figure and hints: docs/pretraining/checkpoint.md."""

import os

import torch
from torch import nn
from torch.optim import Optimizer


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    step: int,
    generator: torch.Generator | None = None,
) -> None:
    """Write what training needs to continue later into one file: the model, the optimizer and the number of steps done.

    Further clauses:
        safetensors  The file is a safetensors file. Each tensor of model.state_dict() is stored in it as model.<name>,
                     a tied one only once, under its first name.
        unchanged    Saving does not change the model, its gradients and its mode, the optimizer, or a random state.
        atomic       A save that fails, or is interrupted, raises that error, and leaves the file that was at path
                     before, and no other file.
        synced       The whole file is written beside path and passed to os.fsync, before os.replace moves it to path.

    Not allowed: pickle, cloudpickle, dill, marshal, shelve.
    Source: book section 5.4.
    """
    raise NotImplementedError


def load_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    generator: torch.Generator | None = None,
) -> int:
    """Load what save_checkpoint wrote into a model and an optimizer made in the same way, and return the step.

    Clauses:
        example     A step with gradient 1, momentum 0.9 and lr 0.1 takes a parameter from 1 to 0.9. Saved, loaded and
                    stepped once more, it is 0.71.
        step        The result is the step that was saved.
        parameters  Each parameter of the model has the value that was saved.
        buffers     Each buffer of model.state_dict() has the value that was saved.
        state       The optimizer has the state that was saved for each parameter, such as averages and step counts.
        options     Each param group of the optimizer has the options that were saved, such as lr.
        in-place    The model keeps its parameter objects, so that the optimizer still trains them.

    Further clauses:
        random      After loading, Python's random, torch and generator draw the numbers that followed the save.
        generators  If a generator was saved and none is given, or the reverse, a ValueError has the word generator.
        names       A tensor that only the model has, or only the checkpoint, raises a ValueError with its name.
        shapes      A tensor with another shape or dtype than the model's raises a ValueError with its name.
        ties        Names that are one tensor in the model and two in the checkpoint, or the reverse, raise a ValueError
                    with one of them.
        optimizers  An optimizer of another class, or with other parameters or another order of them, raises a
                    ValueError.
        damaged     A file that is no checkpoint, or not a whole one, raises a ValueError with path.
        refused     A load that raises an error changes neither model, optimizer nor random states.

    Source: book section 5.4.
    """
    raise NotImplementedError
