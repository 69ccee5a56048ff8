"""How long a step takes with a learner's own pieces, beside one with the reference's, and which piece is slow."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.ladder.measuring import Step, in_turn, median
from dojo.serving.finder import served
from dojo.train import fused, models, pieces, tokens
from dojo.train.ingredients import MODELS
from dojo.train.runs import Run
from dojo.train.settings import Settings

OF_ANY_STEP = ("text/dataloader", "pretraining/loss", "pretraining/optimizer")
SLOW = 1.5  # times the reference's step
BLOCKS = 2  # enough to compare
BUDGET = 1.0  # seconds for both, but each is timed three times at least


def slow_pieces(run: Run, settings: Settings, config: Mapping[str, Any], rooms: Mapping[str, str]) -> dict[Kata, float]:
    """The learner's pieces that make a step long, and how many times as long as with the reference's."""
    of_a_step = (*MODELS[settings.model], *OF_ANY_STEP)
    own = [address for address in of_a_step if rooms.get(address, rooms.get("*", "katas")) == "katas"]
    if not own or _times(run, settings, config, rooms, {"*": pieces.SOLUTIONS}) < SLOW:
        return {}
    found = {a: _times(run, settings, config, rooms, {**rooms, a: pieces.SOLUTIONS}) for a in own}
    slow = {curriculum.find(address): times for address, times in found.items() if times >= SLOW}
    return dict(sorted(slow.items(), key=lambda item: -item[1]))


def _times(
    run: Run, settings: Settings, config: Mapping[str, Any], rooms: Mapping[str, str], others: Mapping[str, str]
) -> float:
    """The time of a step with the katas of some rooms, divided by that with the katas of others."""
    steps = {name: Step(_step(run, settings, config, {**of})) for name, of in (("own", rooms), ("other", others))}
    rounds = in_turn(steps, "cpu", BUDGET)
    return median(rounds["own"]) / median(rounds["other"])


def _step(run: Run, settings: Settings, config: Mapping[str, Any], rooms: dict[str, str]) -> Callable[[], None]:
    """A step of training on the CPU, with at most BLOCKS blocks."""
    learned, _ = tokens.read(run, config["vocab_size"])
    with served(rooms), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        shallow = replace(settings, n_layers=min(settings.n_layers, BLOCKS))
        model = models.build(shallow.config(config["vocab_size"]))
        fused.fuse(model, settings, "cpu")
        optimizer = pieces.optimizer(model.parameters(), lr=1e-3)
        context = settings.context_length
        how = {"shuffle": True, "drop_last": True, "generator": torch.Generator().manual_seed(settings.seed)}
        loader = pieces.module("text/dataloader").create_dataloader(
            learned, settings.batch_size, context, context, **how
        )
        batch_loss = pieces.module("pretraining/loss").batch_loss

    def step() -> None:
        with torch.random.fork_rng():
            inputs, targets = next(iter(loader))
            optimizer.zero_grad()
            batch_loss(model, inputs, targets).backward()
            optimizer.step()

    return step
