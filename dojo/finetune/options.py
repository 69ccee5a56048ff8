"""What a fine-tuning is asked to do."""

from dataclasses import asdict, dataclass
from typing import Any

CLASSIFY, LORA = "classify", "lora"


@dataclass(frozen=True)
class Settings:
    """All that a fine-tuning hangs on beside its base, its data and its pieces.

    classify trains the head, the last norm and the last trainable_blocks blocks; lora trains the head, and beside every
    layer called one of targets an update of that rank. learning_rate is the peak, reached after a tenth of all steps.
    """

    kind: str = CLASSIFY
    trainable_blocks: int = 1
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("W_query", "W_value")
    batch_size: int = 16
    epochs: int = 12
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    max_norm: float = 1.0
    seed: int = 123

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"targets": list(self.targets)}

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> "Settings":
        return cls(**data | {"targets": tuple(data["targets"])})


DEFAULTS = {CLASSIFY: Settings(), LORA: Settings(kind=LORA, epochs=15, learning_rate=3e-3)}
