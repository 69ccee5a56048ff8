"""A run in this process: the model and all around it, taught by the kata's own loop, measured and saved on the way."""

import copy
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click
import torch
from torch import nn

from dojo.learner import store
from dojo.train import pieces, tokens
from dojo.train.folder import Run
from dojo.train.interrupts import Interrupts
from dojo.train.narrating import Narrator
from dojo.train.parallel import Autocast, Share, Team, own_device
from dojo.train.settings import Settings

EVALUATIONS = 12  # in a run
EVAL_BATCHES = 8
SAVE_SHARE = 20  # a save that takes long comes seldom: it takes at most this part of the time
LAST_IN_BLOCK = ("out_proj.weight", "layers.2.weight")
LISTS = ("steps", "tokens_seen", "train_losses", "val_losses", "learning_rates")


class Stopped(Exception):
    """The run was asked to stop, and has been saved."""


@dataclass
class Session:
    """A model, what trains it and what it is trained on, and where it is written down.

    learned and held_out are loaders, learned with a generator of its own; tokens_in_a_step counts those of all
    processes, and peak is the learning rate after a tenth of all steps.
    """

    run: Run
    team: Team
    model: nn.Module
    optimizer: torch.optim.Optimizer
    learned: Any
    held_out: Any
    device: torch.device
    epochs: int
    tokens_in_a_step: int
    peak: float
    max_norm: float
    seed: int
    again: str  # the command that takes the run up
    start: int = 0
    history: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*LISTS, "losses")})

    @property
    def total(self) -> int:
        """The number of steps."""
        return self.epochs * len(self.learned)

    def seen(self, model: nn.Module) -> nn.Module:
        """A model as it computes here: in bfloat16 on a GPU of NVIDIA's."""
        return Autocast(model, self.device) if self.device.type == "cuda" else model

    def take_up(self) -> None:
        """Bring back what the checkpoint of the run holds, if there is one. Raises ValueError where it does not fit."""
        if self.team.leads:
            self.run.sweep()
        if self.run.checkpoint.exists():
            load = pieces.module("pretraining/checkpoint").load_checkpoint
            self.start = load(self.run.checkpoint, self.model, self.optimizer, self.learned.generator)
        measured = self.run.measured()
        kept = sum(step <= self.start for step in measured.get("steps", []))
        self.history = {name: measured.get(name, [])[:kept] for name in LISTS}
        self.history["losses"] = measured.get("losses", [])[: self.start]
        if self.team.rank > 0:  # each process drops other numbers, and the leader those of a run alone
            torch.manual_seed(self.seed + 1000 * self.team.rank + self.start)


def open_session(run: Run, settings: Settings, config: dict[str, Any], device: str, team: Team) -> Session:
    """Build the model, the optimizer and the loaders of a run that learns a text, and take it up where it stands."""
    place = own_device(device)
    learned, held_out = tokens.read(run)
    seed(settings.seed)
    gpt = pieces.module("gpt/model")
    model = gpt.GPTModel(pieces.module("gpt/config").GPTConfig(**config)).to(place)
    if settings.init_std is not None:
        initialize(model, settings.init_std, settings.n_layers)
    optimizer = pieces.module("pretraining/optimizer").AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    loader = pieces.module("text/dataloader").create_dataloader
    windows, context = settings.batch_size, settings.context_length
    generator = torch.Generator().manual_seed(settings.seed)
    session = Session(
        run,
        team,
        model,
        optimizer,
        loader(learned, windows, context, context, shuffle=True, drop_last=True, generator=generator),
        loader(held_out, windows, context, context, shuffle=False, drop_last=False),
        place,
        settings.epochs,
        windows * context,
        settings.learning_rate,
        settings.max_norm,
        settings.seed,
        "dojo train --resume",
    )
    session.take_up()
    return session


def seed(number: int) -> None:
    random.seed(number)
    torch.manual_seed(number)


def initialize(model: nn.Module, std: float, layers: int) -> None:
    """Draw all weights as GPT-2's were: small, and the last ones of each block smaller the more blocks there are.

    So the sum on the residual stream, to which every block adds, begins with the same size at any depth.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, std / math.sqrt(2 * layers) if name.endswith(LAST_IN_BLOCK) else std)
            elif name.endswith("bias"):
                parameter.zero_()


def seconds_per_step(session: Session) -> float:
    """What a step takes here, measured on a copy of the model that is thrown away."""
    loss = pieces.module("pretraining/loss").batch_loss
    model = copy.deepcopy(session.model)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = pieces.module("pretraining/optimizer").AdamW(learning, lr=1e-3)
    order, times = session.learned.generator.get_state(), []
    with torch.random.fork_rng():
        inputs, targets = next(iter(Share(session.learned, session.team)))
        for _ in range(4):
            begun = time.perf_counter()
            optimizer.zero_grad()
            loss(session.seen(model), inputs, targets).backward()
            optimizer.step()
            learning[0].detach().sum().item()  # a GPU is asked for the result, so that it is there
            times.append(time.perf_counter() - begun)
    session.learned.generator.set_state(order)
    return min(times[1:])


def save(session: Session, step: int) -> None:
    """Write down all that it takes to go on from here. Raises CannotSave."""
    session.run.measure(session.history)
    try:
        pieces.module("pretraining/checkpoint").save_checkpoint(
            session.run.checkpoint, session.model, session.optimizer, step, session.learned.generator
        )
    except OSError as error:
        raise store.unwritten(session.run.checkpoint, error) from None


def learn(
    session: Session, narrator: Narrator, save_every: float, remark: Callable[[], str], remarks: int = EVALUATIONS
) -> bool:
    """Train from where the session stands to the end of the run, and save every so many seconds, and at the end.

    So many of the evaluations come with a remark: what the model says by then, or how good it is. The result is whether
    the end was reached: it is False where somebody asked to stop, after a save. Raises CannotSave, and ClickException
    where the loss is lost.
    """
    rate = pieces.module("pretraining/optimizer").learning_rate_at
    eval_every = -(-session.total // EVALUATIONS)
    clock = Clock(save_every)
    if session.team.leads and not session.run.checkpoint.exists():
        save(session, session.start)  # what cannot be saved is better known before than after
    narrator.begin(session.start, session.total)

    def on_step(step: int, loss: float, history: Any) -> None:
        mean, asked = session.team.mean(loss, interrupts.asked)
        session.history["losses"].append(mean)
        if not math.isfinite(mean):
            raise click.ClickException(f"the loss is {mean} at step {step}: a smaller --learning-rate may help.")
        narrator.step(step, mean, session.tokens_in_a_step)
        if history.steps and history.steps[-1] == step:
            evaluated(step, history)
        if asked or step == session.total or clock.rings():
            if session.team.leads:
                with clock:
                    save(session, step)
            if asked and step < session.total:
                raise Stopped

    def evaluated(step: int, history: Any) -> None:
        history.train_losses[-1], history.val_losses[-1] = session.team.mean(
            history.train_losses[-1], history.val_losses[-1]
        )
        for name in LISTS:
            session.history[name].append(getattr(history, name)[-1])
        session.history["tokens_seen"][-1] *= session.team.size
        narrator.evaluated(step, history.train_losses[-1], history.val_losses[-1])
        last = step == session.total
        if session.team.leads and (last or step // eval_every % (EVALUATIONS // remarks) == 0):
            narrator.remark(remark())

    seen = session.seen(session.model)
    try:
        with Interrupts() as interrupts:
            history = pieces.module("pretraining/training").train(
                session.team.together(seen, session.device),
                Share(session.learned, session.team),
                session.held_out,
                session.optimizer,
                session.epochs,
                eval_every,
                EVAL_BATCHES,
                schedule=lambda step: rate(step, session.peak, session.peak / 10, session.total // 10, session.total),
                max_norm=session.max_norm,
                start_step=session.start,
                on_step=on_step,
            )
            if history.steps[-1:] != session.history["steps"][-1:]:
                evaluated(session.total, history)
    except Stopped:
        narrator.end()
        narrator.stopped(len(session.history["losses"]), session.total, session.again)
        return False
    except store.CannotSave as error:
        raise store.CannotSave(f"{error}; `{session.again}` goes on from the last save") from None
    finally:
        narrator.end()
    if session.team.leads:
        session.run.measure(session.history)
    return True


class Clock:
    """When the next save is due: after so many seconds, and later where saving itself takes long."""

    def __init__(self, every: float) -> None:
        self.every, self.due = every, time.monotonic() + every

    def rings(self) -> bool:
        return time.monotonic() >= self.due

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self.due = now + max(self.every, SAVE_SHARE * (now - self.begun))


def final_loss(session: Session) -> float:
    """The loss on all that was held out, in nats per token."""
    return float(pieces.module("pretraining/loss").mean_loss(session.seen(session.model), session.held_out))
