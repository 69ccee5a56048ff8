"""Kata: training. The why, a figure and hints: docs/pretraining/training.md."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass
class History:
    """What was measured: five lists with one entry for each evaluation.

    steps: the number of the step just done, counted from 1. tokens_seen: the tokens of all inputs so far. train_losses
    and val_losses: in nats per token. learning_rates: the lr of the optimizer's first param group in that step.
    """

    steps: list[int] = field(default_factory=list)
    tokens_seen: list[int] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)


def train(
    model: nn.Module,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    eval_every: int,
    eval_batches: int | None,
    schedule: Callable[[int], float] | None = None,
    max_norm: float | None = None,
    accumulate: int = 1,
    start_step: int = 0,
    on_step: Callable[[int, float, History], object] | None = None,
) -> History:
    """Train a model on the batches of a loader, and measure its losses on the way.

    A loader is a list or a DataLoader of batches (inputs, targets): token ids with the axes batch and tokens. An epoch
    is one pass over train_loader. Steps are numbered from 1, through all epochs. Losses are in nats per token.

    Clauses:
        step           Each batch makes one step: the gradients of batch_loss, then optimizer.step().
        fresh          A step uses the gradients of its own batch, and none that are left from earlier steps.
        epochs         In each epoch, the loader is iterated over once more, and its batches are used in its order.
        training-mode  Every module of the model is in training mode in every step, also after an evaluation.
        clip           With a max_norm, clip_grad_norm clips the gradients of all parameters together, before
                       optimizer.step().
        schedule       In step n, the lr of every param group is schedule(n). Without a schedule it does not change.
        evaluated      After each step whose number is a multiple of eval_every, the History that is returned gets an
                       entry with this number and the learning rate.
        losses         The losses of an entry are the mean_loss of each loader over its first eval_batches batches, or
                       over all of them if eval_batches is None.
        tokens         tokens_seen of an entry counts the tokens of all inputs, its step included.
        on-step        After each step, and after its evaluation, on_step gets the step's number, its loss as a float,
                       and the History.

    Further clauses:
        last-step      The last step is followed by an evaluation, whatever its number.
        modes          In the end, also after an error, every module is in the mode that it had before.
        accumulate     The gradients of `accumulate` batches make one step: the same as one batch with all their rows,
                       where each target that is not -100 counts the same.
        remainder      The batches left at the end of an epoch make a smaller step.
        uncounted      A batch whose targets are all -100 changes neither model nor optimizer. A step of such batches
                       has the loss nan.
        partial        Parameters that the optimizer does not have do not change, and are not part of the norm.
        undisturbed    The trained weights are the same, bit for bit, however often the model is evaluated.
        resumed        With start_step=s, the first s steps are skipped. What follows is, bit for bit, what would have
                       followed, if model, optimizer and random states are as after step s.
        rewound        Whenever on_step is called, the generator of train_loader is in the state that it had when train
                       was called.
        no-order       With a start_step above 0, a DataLoader that shuffles without a generator raises a ValueError
                       that names the generator.
        empty          An epoch without a batch raises a ValueError that names train_loader and the epoch.
        numbers        epochs and start_step below 0, and eval_every, eval_batches and accumulate below 1, raise a
                       ValueError with name and value.

    Source: book section 5.2, and appendix D.4.
    """
    raise NotImplementedError
