"""A run in this process: the model, what trains it, what it is trained on, and where it is written down."""

import copy
import math
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dojo.learner import store
from dojo.train import fused, models, pieces, saved, tokens
from dojo.train.history import History, begun, until
from dojo.train.parallel import Autocast, Share, Team, own_device
from dojo.train.runs import Run
from dojo.train.settings import Settings
from dojo.train.teaching import Teaching

LAST_IN_BLOCK = ("out_proj.weight", "layers.2.weight", "down_proj.weight")


@dataclass(kw_only=True)
class Session:
    """What the loop of pretraining needs, and the losses on the way so far.

    learned and held_out are loaders, learned with a generator of its own; tokens_in_a_step counts those of all
    processes. unfused says why the attention of the model is not PyTorch's fused kernel; it is empty where it is.
    """

    run: Run
    teaching: Teaching
    model: nn.Module
    learned: Any
    held_out: Any
    tokens_in_a_step: int
    team: Team = field(default_factory=Team)
    optimizer: torch.optim.Optimizer = field(init=False)
    unfused: str | None = None
    start: int = 0
    last_save: int = 0  # its step
    history: History = field(default_factory=begun)
    lost: str = ""  # what of the losses on the way could not be read

    def __post_init__(self) -> None:
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = pieces.optimizer(
            learning, lr=self.teaching.learning_rate, weight_decay=self.teaching.weight_decay
        )

    @property
    def total(self) -> int:
        """The number of steps."""
        return self.teaching.epochs * len(self.learned)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def share(self) -> Share:
        """The batches that this process learns from."""
        return Share(self.learned, self.team, self.device)

    def watched(self) -> Share:
        """The batches that the loss is measured on, whole in every process."""
        return Share(self.held_out, Team(), self.device)

    def seen(self, model: nn.Module) -> nn.Module:
        """A model as it computes here: in bfloat16 on CUDA."""
        return Autocast(model, self.device) if self.device.type == "cuda" else model

    def take_up(self) -> "Session":
        """Bring back what the checkpoint of the run holds, if there is one. Raises DojoError where it does not fit."""
        if self.team.leads:
            self.run.sweep()
        if os.path.lexists(self.run.checkpoint):
            saved.tensors(self.run, self.model)
            load = pieces.module("pretraining/checkpoint").load_checkpoint
            try:
                self.start = self.last_save = load(
                    self.run.checkpoint, self.model, self.optimizer, self.learned.generator
                )
            except Exception as error:  # of a damaged file a learner's own function may make anything
                raise self.run.unloadable(f"cannot be loaded: {saved.why(error)}") from None
            if type(self.start) is not int or not 0 <= self.start <= self.total or not self._remembers():
                raise self.run.unloadable("is damaged: it does not fit the run")
        try:
            self.history = until(self.run.measured(), self.start)
        except (FileNotFoundError, ValueError, store.Damaged) as error:
            self.history = begun(self.start)
            where = store.shown(self.run.folder / "history.json")
            if self.start:
                why = str(error) if isinstance(error, store.Damaged) else f"{where} is missing or damaged"
                self.lost = f"{why}. The losses before step {self.start + 1} are lost, and the run goes on."
        if self.team.rank > 0:  # each process drops other numbers, and the leader those of a run alone
            torch.manual_seed(self.teaching.seed + 1000 * self.team.rank + self.start)
        return self

    def settle(self, about: dict[str, Any]) -> None:
        """Save the run at its start, so that commands find it, and a disk that cannot be written is known at once."""
        if not os.path.lexists(self.run.checkpoint):
            self.save(self.start)
        self.run.note(about)

    def _remembers(self) -> bool:
        """Whether all that the optimizer remembers of a parameter has its shape."""
        states = self.optimizer.state.items()
        return all(
            not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape == parameter.shape
            for parameter, state in states
            for value in state.values()
        )

    def sound(self) -> bool:
        """Whether every weight is a finite number."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())

    def save(self, step: int) -> None:
        """Write down all that it takes to go on from here. Raises CannotSave."""
        self.run.measure(self.history)
        try:
            pieces.module("pretraining/checkpoint").save_checkpoint(
                self.run.checkpoint, self.model, self.optimizer, step, self.learned.generator
            )
        except OSError as error:
            raise store.unwritten(self.run.checkpoint, error) from None
        self.last_save = step


def open_session(run: Run, settings: Settings, config: dict[str, Any], device: str, team: Team) -> Session:
    """Build the model, the optimizer and the loaders of a run that learns a text, as of its last checkpoint."""
    learned, held_out = tokens.read(run, config["vocab_size"])
    seed(settings.seed)
    model = models.build(config).to(own_device(device))
    unfused = fused.fuse(model, settings, own_device(device).type)
    if settings.init_std is not None:
        initialize(model, settings.init_std, settings.n_layers)
    loader = pieces.module("text/dataloader").create_dataloader
    windows, context = settings.batch_size, settings.context_length
    generator = torch.Generator().manual_seed(settings.seed)
    return Session(
        run=run,
        teaching=settings,
        model=model,
        learned=loader(learned, windows, context, context, shuffle=True, drop_last=True, generator=generator),
        held_out=loader(held_out, windows, context, context, shuffle=False, drop_last=False),
        tokens_in_a_step=windows * context,
        team=team,
        unfused=unfused,
    ).take_up()


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
    optimizer = pieces.optimizer(learning, lr=1e-3)
    order, times = session.learned.generator.get_state(), []
    with torch.random.fork_rng():
        inputs, targets = next(iter(session.share()))
        for _ in range(4):
            begun = time.perf_counter()
            optimizer.zero_grad()
            loss(session.seen(model), inputs, targets).backward()
            optimizer.step()
            learning[0].detach().sum().item()  # a GPU is asked for the result, so that it is there
            times.append(time.perf_counter() - begun)
    session.learned.generator.set_state(order)
    return min(times[1:])


def final_loss(session: Session) -> float:
    """The loss on all that was held out, in nats per token.

    Batch by batch, and without gradients: only further clauses of the kata are about these, and about batches of
    different sizes.
    """
    mean_loss = pieces.module("pretraining/loss").mean_loss
    model, total, count = session.seen(session.model), 0.0, 0
    with torch.no_grad():
        for inputs, targets in session.watched():
            total += float(mean_loss(model, [(inputs, targets)])) * targets.numel()
            count += targets.numel()
    return total / count
