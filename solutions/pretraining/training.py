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

from .loss import batch_loss, mean_loss
from .schedule import clip_grad_norm


@dataclass
class History:
    """What was measured on the way: five lists, each with an entry for every evaluation.

    steps has the number of the step that was just done, 1 for the first of the run. tokens_seen has the number of
    tokens in the inputs of all batches up to there. train_losses and val_losses are in nats per token. learning_rates
    has the rate of that step, which is that of the optimizer's first param group.
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
    """Teach a model to predict the targets of a loader's batches, and tell how it went.

    A loader gives batches (inputs, targets), token ids with the axes batch and tokens, where targets of -100 do not
    count. It may be a list of them or a DataLoader (without persistent_workers), and needs no length. An epoch is one
    pass over train_loader, a step one step of the optimizer; steps are numbered from 1, through all epochs. Losses are
    those of batch_loss and mean_loss, in nats per token. The random states are those of Python's random and of torch.

    Clauses:
        steps        In each epoch, each batch makes one step, in the order of the loader: optimizer.step(), with the
                     gradients of batch_loss.
        learns       A batch that comes again and again is learned by heart: its loss goes to nearly 0.
        fresh        Gradients from before a step, the caller's as well as those of the step before, take no part in it.
        training     Every module of the model is in training mode in every step, whatever on_step leaves behind; in the
                     end, also after an error, each is in the mode in which it came.
        accumulate   accumulate batches make one step: the one that a single batch with all their rows would make, also
                     where they hold different numbers of targets that count.
        rest         What is left at the end of an epoch makes a smaller step; no step takes batches of two epochs.
        uncounted    A step without a target that counts leaves the model and the optimizer's state as they are, and its
                     loss is nan; a batch without one changes nothing in a step with others.
        schedule     Before step n, the lr of every param group becomes schedule(n); without a schedule it stays.
        clip         With a max_norm, the gradients of all parameters that the optimizer has are clipped together, as by
                     clip_grad_norm: once a step, when those of all its batches have been added up.
        frozen       Frozen parameters, and those that the optimizer does not have, stay bit for bit as they are.
        evaluated    After each step whose number is a multiple of eval_every, and at the end after the last step in any
                     case, the History gets one entry, with mean_loss of each loader over its first eval_batches
                     batches, or over all if that is None.
        tokens       tokens_seen counts every token of the inputs, whether its target counts or not.
        undisturbed  An evaluation leaves the modes, the random states and the generators of both loaders as they were:
                     however often it comes, the model becomes the same, bit for bit.
        on-step      After each step, and after its evaluation where eval_every asks for one, on_step gets the step's
                     number, its loss as a float, from before the model changed, and the History that is returned.
        stopped      What on_step raises, KeyboardInterrupt too, ends the training and comes out, and model and
                     optimizer are as after that step.
        resumed      With start_step=s, the first s steps are not done again, and what follows is, bit for bit on a CPU,
                     what would have followed: if model, optimizer and random states are as they were after step s, and
                     the generator of train_loader is as it was when the run began. Numbers of steps, schedule and
                     tokens_seen go on, and where no step is left the History is empty.
        rewound      So that all of this can be saved at any time, the generator of train_loader stands as it did when
                     the run began whenever on_step is called, and after an error.
        no-order     With a start_step above 0, a DataLoader that shuffles without a generator of its own cannot repeat
                     its order: a ValueError says that it needs a generator.
        empty        An epoch without a batch raises a ValueError that names train_loader and the epoch, counted from 1.
        numbers      epochs and start_step below 0, eval_every, eval_batches and accumulate below 1, and a max_norm that
                     is not at least 0, raise a ValueError that names them and their value, before a batch is drawn.

    Source: book section 5.2, and appendix D.4.
    """
    least = {"epochs": 0, "eval_every": 1, "eval_batches": 1, "accumulate": 1, "start_step": 0, "max_norm": 0}
    given = (epochs, eval_every, eval_batches, accumulate, start_step, max_norm)
    for (name, bound), value in zip(least.items(), given, strict=True):
        if value is not None and not value >= bound:
            raise ValueError(f"{name} must be at least {bound}, not {value}")
    generators = [getattr(loader, "generator", None) for loader in (train_loader, val_loader)]
    if start_step > 0 and generators[0] is None and isinstance(getattr(train_loader, "sampler", None), RandomSampler):
        raise ValueError("to start in the middle, a train_loader that shuffles needs a generator of its own")

    history, tokens_seen, step = History(), 0, start_step
    began = [(generator, generator.get_state()) for generator in generators if generator is not None]
    modes = [(module, module.training) for module in model.modules()]
    groups = enumerate(_groups(train_loader, epochs, accumulate), start=1)

    def evaluate() -> None:
        with _set_back(began):
            losses = [mean_loss(model, loader, eval_batches) for loader in (train_loader, val_loader)]
        measured = (step, tokens_seen, *losses, float(optimizer.param_groups[0]["lr"]))
        for entries, value in zip(vars(history).values(), measured, strict=True):
            entries.append(value)

    try:
        with _random_states_kept():
            for _, batches in itertools.islice(groups, start_step):
                tokens_seen += _tokens(batches)
        for step, batches in groups:
            if schedule is not None:
                for param_group in optimizer.param_groups:
                    param_group["lr"] = schedule(step)
            model.train()
            loss = _take_step(model, optimizer, batches, max_norm)
            tokens_seen += _tokens(batches)
            if step % eval_every == 0:
                evaluate()
            if on_step is not None:
                with _set_back(began):
                    on_step(step, loss, history)
        if step > start_step and step % eval_every != 0:
            evaluate()
    except BaseException:
        _put(began)
        raise
    finally:
        for module, mode in modes:
            module.training = mode
    return history


_Batch = tuple[Tensor, Tensor]
_Standing = list[tuple[torch.Generator, Tensor]]  # generators, each with a state of it


def _groups(loader: Iterable[_Batch], epochs: int, accumulate: int) -> Iterator[list[_Batch]]:
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
    """Learn from some batches as from one, and give their loss."""
    counted = [int((targets != -100).sum()) for _, targets in batches]
    if sum(counted) == 0:
        return math.nan
    optimizer.zero_grad()
    mean = 0.0
    for (inputs, targets), count in zip(batches, counted, strict=True):
        if count > 0:  # the loss of nothing is nan, and 0 times nan as well
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
def _set_back(began: _Standing) -> Iterator[None]:
    """Within, generators stand as they did when the run began; afterwards they go on from where they were."""
    here = [(generator, generator.get_state()) for generator, _ in began]
    _put(began)
    try:
        yield
    finally:
        _put(here)


def _put(standing: _Standing) -> None:
    for generator, state in standing:
        generator.set_state(state)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Whatever is drawn within, the random states are as before in the end."""
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
