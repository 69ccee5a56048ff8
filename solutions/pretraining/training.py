"""Kata: training. The why, a figure and hints: docs/pretraining/training.md."""

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import RandomSampler

from katas.modes import eval_mode

from .loss import batch_loss, mean_loss
from .schedule import clip_grad_norm


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
    _refuse_below(0, epochs=epochs, start_step=start_step)
    _refuse_below(1, eval_every=eval_every, eval_batches=eval_batches, accumulate=accumulate)
    generator = getattr(train_loader, "generator", None)
    if start_step > 0 and generator is None and isinstance(getattr(train_loader, "sampler", None), RandomSampler):
        raise ValueError("to start in the middle, a train_loader that shuffles needs a generator of its own")

    history = History()

    def evaluate(step: int, tokens_seen: int) -> None:
        with _random_states_kept():  # a loader may draw from Python's as well
            train_loss = mean_loss(model, train_loader, eval_batches)
            val_loss = mean_loss(model, val_loader, eval_batches)
        history.steps.append(step)
        history.tokens_seen.append(tokens_seen)
        history.train_losses.append(train_loss)
        history.val_losses.append(val_loss)
        history.learning_rates.append(float(optimizer.param_groups[0]["lr"]))

    steps = enumerate(_steps(train_loader, epochs, accumulate), start=1)
    generator = generator or torch.Generator()  # a list has none that needs to be kept
    began = generator.get_state()
    step, tokens_seen = start_step, 0
    with _random_states_kept():
        for _, batches in itertools.islice(steps, start_step):
            tokens_seen += _tokens(batches)

    with eval_mode(model):  # gives each module its mode back in the end
        for step, batches in steps:
            if schedule is not None:
                for group in optimizer.param_groups:
                    group["lr"] = schedule(step)
            model.train()
            loss = _take_step(model, optimizer, batches, max_norm)
            tokens_seen += _tokens(batches)
            if step % eval_every == 0:
                with _rewound(generator, began):
                    evaluate(step, tokens_seen)
            if on_step is not None:
                with _rewound(generator, began):
                    on_step(step, loss, history)
        if step > start_step and step % eval_every != 0:
            with _rewound(generator, began):
                evaluate(step, tokens_seen)
    return history


_Batch = tuple[Tensor, Tensor]


def _refuse_below(least: int, **arguments: int | None) -> None:
    for name, value in arguments.items():
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _steps(loader: Iterable[_Batch], epochs: int, accumulate: int) -> Iterator[list[_Batch]]:
    """The batches of each step of a run."""
    for epoch in range(1, epochs + 1):
        batches = iter(loader)
        group = list(itertools.islice(batches, accumulate))
        if not group:
            raise ValueError(f"train_loader has no batch in epoch {epoch}")
        while group:
            yield group
            group = list(itertools.islice(batches, accumulate))


def _take_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: list[_Batch], max_norm: float | None
) -> float:
    """Learn from some batches as from one, and return their loss."""
    counted = [int((targets != -100).sum()) for _, targets in batches]
    if sum(counted) == 0:
        return math.nan
    optimizer.zero_grad()
    mean = 0.0
    for (inputs, targets), count in zip(batches, counted, strict=True):
        if count > 0:  # otherwise the loss is nan, and 0 * nan is nan as well
            loss = batch_loss(model, inputs, targets) * (count / sum(counted))
            loss.backward()
            mean += loss.item()
    if max_norm is not None:
        clip_grad_norm([p for group in optimizer.param_groups for p in group["params"]], max_norm)
    optimizer.step()
    return mean


def _tokens(batches: list[_Batch]) -> int:
    return sum(inputs.numel() for inputs, _ in batches)


@contextmanager
def _rewound(generator: torch.Generator, began: Tensor) -> Iterator[None]:
    """Within, the generator is in the state `began`; afterwards it continues from where it was."""
    here = generator.get_state()
    generator.set_state(began)
    yield
    generator.set_state(here)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Whatever is drawn within, the random states are as before in the end."""
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(state)
