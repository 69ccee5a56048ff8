"""What a fine-tuning is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dojo.train import teaching
from dojo.train.teaching import Teaching

CLASSIFY, LORA = "classify", "lora"


@dataclass(frozen=True, kw_only=True)
class Recipe(Teaching):
    """All that a fine-tuning depends on beside its base, its data and its pieces.

    classify trains the head, the last norm and the last trainable_blocks blocks; lora trains the head, and beside every
    layer called one of targets an update of that rank.
    """

    kind: str = CLASSIFY
    trainable_blocks: int = 1
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("W_query", "W_value")
    batch_size: int = 16
    epochs: int = 12
    learning_rate: float = 1e-3


def misfit(about: Mapping[str, Any]) -> str:
    """What is wrong with what a file says about a fine-tuning; empty where it is right."""
    kinds = {"base": str, "data": str, "path": str, "sha256": str, "pieces": dict, "recipe": dict, "max_length": int}
    if wrong := teaching.misfit(about, kinds):
        return wrong
    try:
        recipe = Recipe.of_data(about["recipe"])
    except ValueError as error:
        return f"of the recipe, {error}"
    if recipe.kind != about.get("kind"):
        return f"the recipe is one of {recipe.kind}"
    return "" if about["max_length"] > 0 else f"max_length is {about['max_length']}"


DEFAULTS = {CLASSIFY: Recipe(), LORA: Recipe(kind=LORA, epochs=15, learning_rate=3e-3)}
