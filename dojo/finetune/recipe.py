"""What a fine-tuning is asked to do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dojo.train import teaching
from dojo.train.teaching import Teaching

CLASSIFY, LORA = "classify", "lora"
WHOLE, LAST = "the whole model", "the last blocks"


@dataclass(frozen=True, kw_only=True)
class Recipe(Teaching):
    """All that a fine-tuning depends on beside its base, its data and its pieces.

    classify trains the whole model where learns is WHOLE, else the head, the last norm and the last trainable_blocks
    blocks; lora trains the head, and beside every layer called one of targets an update of that rank.
    """

    kind: str = CLASSIFY
    learns: str = WHOLE
    trainable_blocks: int = 1
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("W_query", "W_value")
    batch_size: int = 16
    epochs: int = 3
    learning_rate: float = 1e-3


def check(about: Mapping[str, Any]) -> None:
    """Raise ValueError with what is wrong in what a file says about a fine-tuning."""
    kinds = {"base": str, "data": str, "path": str, "sha256": str, "pieces": dict, "recipe": dict, "max_length": int}
    teaching.check(about, kinds)
    recipe = Recipe.of_data(about["recipe"])
    if recipe.kind != about.get("kind"):
        raise ValueError(f"the recipe is one of {recipe.kind}")
    if recipe.learns not in (WHOLE, LAST):
        raise ValueError(f"learns is {recipe.learns!r:.40}")
    temperature = about.get("temperature", 1.0)
    if not (isinstance(temperature, float) and 0 < temperature < math.inf):
        raise ValueError(f"temperature is {temperature!r:.40}")
    if about["max_length"] < 1:
        raise ValueError(f"max_length is {about['max_length']}")


DEFAULTS = {CLASSIFY: Recipe(), LORA: Recipe(kind=LORA, epochs=5, learning_rate=3e-3)}
