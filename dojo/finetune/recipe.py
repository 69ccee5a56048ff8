"""What a fine-tuning is asked to do."""

from dataclasses import asdict, dataclass
from typing import Any

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

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"targets": list(self.targets)}

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> "Recipe":
        return cls(**data | {"targets": tuple(data["targets"])})


DEFAULTS = {CLASSIFY: Recipe(), LORA: Recipe(kind=LORA, epochs=15, learning_rate=3e-3)}
