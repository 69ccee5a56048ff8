"""How a model is taught, whatever it learns: what training on a text and fine-tuning have in common."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, get_origin

LARGEST = 2**63 - 1  # a seed that torch takes, and a number of anything else that no machine reaches
MAY_BE_ZERO = ("seed", "weight_decay", "drop_rate", "trainable_blocks")
SHARES = ("drop_rate", "held_out")  # below 1


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Batches, rates and the seed. learning_rate is the peak of its schedule, reached after a tenth of all steps."""

    batch_size: int
    epochs: int
    learning_rate: float
    weight_decay: float = 0.1
    max_norm: float = 1.0
    seed: int = 123

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_data`, for what was read from a file. Raises ValueError with what is wrong."""
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        kinds = {one.name: one.type for one in fields(cls)}
        if unknown := sorted(given.keys() - kinds.keys()):
            raise ValueError(f"it has the unknown entry {unknown[0]}")
        for name, value in given.items():
            kind: Any = tuple if get_origin(kinds[name]) is tuple else kinds[name]
            of_kind = isinstance(value, kind) or (kind is float and isinstance(value, int))
            if isinstance(value, bool) or not of_kind or not _fits(name, value):
                raise ValueError(f"{name} is {value!r:.40}")
        try:
            return cls(**given)  # type: ignore[arg-type]
        except TypeError:
            raise ValueError("something is missing in it") from None

    def as_data(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _fits(name: str, value: object) -> bool:
    """Whether a value can be what the name says: sizes and rates are positive, and finite."""
    match value:
        case int() | float():
            least = value >= 0 if name in MAY_BE_ZERO else value > 0
            return math.isfinite(value) and least and (name not in SHARES or value < 1) and value <= LARGEST
        case tuple():
            return all(isinstance(one, str) for one in value)
    return True


def check(about: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Raise ValueError with the first name of a dict from a file whose value is missing, or of another kind."""
    for name, kind in kinds.items():
        if name not in about:
            raise ValueError(f"it has no {name}")
        if not isinstance(about[name], kind):
            raise ValueError(f"{name} is {about[name]!r:.40}")
