"""Kata: checkpoints. The why, a figure and hints: docs/pretraining/checkpoint.md."""

import os
from typing import SupportsIndex

import torch
from torch import nn
from torch.optim import Optimizer


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    step: SupportsIndex,
    generator: torch.Generator | None = None,
) -> None:
    """Write all that training needs to go on later into one file, between two steps.

    That is: the parameters and buffers of model.state_dict(); the state of optimizer, and the options of its groups,
    all that they hold beside params; step, the number of steps done; and the random states of Python's random, of torch
    on the CPU, on CUDA where that is in use, and of generator. Left out are gradients, the mode of the model, and
    NumPy's random state.

    Clauses:
        file       path becomes one safetensors file. Each tensor of model.state_dict() is in it as model.<its name>,
                   with its shape, dtype and bits, however it lies in memory. What is no tensor, step among it, is JSON,
                   under the key checkpoint of the file's metadata.
        once       A tensor with several names in the model, as a tied one has, is in the file once, as model.<the first
                   of them in the state dict>.
        plain      Nothing is pickled, by whatever module: torch.save and torch.load pickle.
        pure       Saving changes nothing: not the model, its gradients or its mode, not optimizer, no random state.
        whole      A save that fails, or is interrupted, leaves what was at path before, and no other file beside it.
        synced     The file is written beside path, and takes its place, by os.replace, only when all of it is on the
                   disk, by os.fsync.
        no-folder  A folder that is not there raises a FileNotFoundError.
        steps      A step below 0 raises a ValueError that names it, one that is no integer a TypeError that names its
                   type.
        storable   State and options may be tensors, int, float, bool, str, None, and lists, tuples and dicts of these.
                   Anything else among them raises a TypeError that names its type.
        stranger   A parameter of optimizer that is not the model's raises a ValueError that names its shape.

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
    """Bring back what save_checkpoint wrote, into a model and an optimizer made as those were, and return step.

    Every ValueError names path, and beside it what its clause says.

    Clauses:
        step        The result is the step that was saved, an int.
        resumed     Training goes on as if it had never stopped, on a CPU to the bit: with dropout, momentum, changed
                    learning rates, and what generator shuffles.
        random      What is drawn next is what was drawn next after the save: from random, torch and generator.
        filled      The model's tensors are filled, not replaced: it has the same parameters, on the same devices, tied
                    where they were tied, and optimizer still has them.
        exact       State and options come back in value, type and dtype, however nested, and so do options that others
                    have added. A dtype may differ from the parameter's, and Optimizer.load_state_dict alone would not
                    keep it. A tensor that stood in two places still does.
        placed      A tensor of the state is on the device on which Optimizer.load_state_dict puts it, and one among the
                    options on that of the option before.
        own         What is done to the file later changes nothing that was loaded.
        names       A name in model.state_dict() that the checkpoint lacks, or the reverse: a ValueError with the name.
        shapes      Another shape or dtype of a tensor: a ValueError with its name, and both shapes or both dtypes.
        ties        Names of one tensor in the model that are two in the checkpoint, or the reverse: a ValueError with
                    one of them.
        optimizers  A class of another name: a ValueError with both names. Another number of groups: with both numbers.
                    Other parameters in a group, or in another order: with the name of one that stands elsewhere. An
                    option that optimizer.defaults and a group have and the checkpoint lacks: with the option.
        generators  A generator given and none saved, or the reverse: a ValueError with the word generator.
        no-file     A file that is no checkpoint, or not all of one, whatever it holds: a ValueError. No file at all: a
                    FileNotFoundError.
        kept        A load that is refused changes nothing: not the model, not optimizer, no random state.

    Source: book section 5.4.
    """
    raise NotImplementedError
