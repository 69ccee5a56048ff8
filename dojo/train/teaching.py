"""How a model is taught, whatever it learns: what training on a text and fine-tuning have in common."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Batches, rates and the seed. learning_rate is the peak of its schedule, reached after a tenth of all steps."""

    batch_size: int
    epochs: int
    learning_rate: float
    weight_decay: float = 0.1
    max_norm: float = 1.0
    seed: int = 123
