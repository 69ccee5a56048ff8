"""Kata: the configuration. The why, a figure and hints: docs/gpt/config.md."""

from dataclasses import dataclass
from typing import Any, Self

_SIZES = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers")
_SHARED = {"vocab_size": 50_257, "context_length": 1_024, "drop_rate": 0.1, "qkv_bias": False}
_PRESETS = {
    "gpt2-small": {"emb_dim": 768, "n_heads": 12, "n_layers": 12},
    "gpt2-medium": {"emb_dim": 1_024, "n_heads": 16, "n_layers": 24},
    "gpt2-large": {"emb_dim": 1_280, "n_heads": 20, "n_layers": 36},
    "gpt2-xl": {"emb_dim": 1_600, "n_heads": 25, "n_layers": 48},
}


@dataclass(frozen=True)
class GPTConfig:
    """All that tells one GPT from another, in a value that can be built from, and that does not change.

    vocab_size is the number of tokens in the vocabulary, context_length how many the model reads at most. A token is a
    vector of emb_dim features, shared by n_heads attention heads. n_layers blocks follow each other. drop_rate is the
    probability with which dropout drops, and qkv_bias tells whether queries, keys and values have a bias.

    Clauses:
        values    Each field holds what it was given, by keyword or by position, in the order above; none has a default.
        sizes     vocab_size, context_length, emb_dim, n_heads or n_layers below 1 raises a ValueError that names the
                  field and its value. 1 will do.
        integers  One of these five that is no int raises a TypeError that names the field and its value. A bool is none
                  here, nor is a float such as 768.0, a numeric str, None, or an integer of NumPy's own.
        divides   An emb_dim that n_heads do not share evenly raises a ValueError that names both numbers.
        rate      A drop_rate below 0, above 1 or nan raises a ValueError that names the field and its value. 0 and 1
                  will do, as they do for nn.Dropout.
        number    A drop_rate that is neither a float nor an int raises a TypeError that names the field and its value.
                  A bool is no number here either.
        flag      A qkv_bias that is neither True nor False, such as 0, 1, None or "False", raises a TypeError that
                  names the field and its value.
        head-dim  head_dim is the number of features of one head, emb_dim / n_heads, as an int. It is read from the
                  other two and is no field: it is neither given nor set.
        frozen    To set or to delete an attribute raises a dataclasses.FrozenInstanceError, and changes nothing.
        equal     Two configurations are equal where all fields are, and equal ones have the same hash. A tuple or a
                  dict of the same values is not equal to one.
        replace   dataclasses.replace gives a new configuration, refuses what could not have been built, and leaves the
                  old one as it was.
        plain     dataclasses.asdict gives a dict of the seven fields, in their order, and nothing else. From it, by way
                  of JSON too, an equal configuration is made.
        copies    Pickled and loaded, copied or deep-copied, a configuration equals the original.
    """

    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float
    qkv_bias: bool

    def __post_init__(self) -> None:
        for name in _SIZES:
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int):  # to Python, a bool is an int
                raise TypeError(f"{name} must be an int, not {size!r}")
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        if self.emb_dim % self.n_heads != 0:
            raise ValueError(f"an emb_dim of {self.emb_dim} cannot be shared evenly by {self.n_heads} heads")
        if isinstance(self.drop_rate, bool) or not isinstance(self.drop_rate, (float, int)):
            raise TypeError(f"drop_rate must be a number, not {self.drop_rate!r}")
        if not 0 <= self.drop_rate <= 1:  # asked this way round, nan is refused too
            raise ValueError(f"drop_rate must be between 0 and 1, not {self.drop_rate}")
        if not isinstance(self.qkv_bias, bool):
            raise TypeError(f"qkv_bias must be True or False, not {self.qkv_bias!r}")

    @property
    def head_dim(self) -> int:
        return self.emb_dim // self.n_heads

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Give the configuration of a published GPT-2 by its name, with changes by keyword.

        Clauses:
            small     "gpt2-small" has a vocab_size of 50 257, a context_length of 1 024, an emb_dim of 768, 12 heads,
                      12 layers, a drop_rate of 0.1 and no qkv_bias.
            siblings  In "gpt2-medium" emb_dim, n_heads and n_layers are 1 024, 16 and 24, in "gpt2-large" 1 280, 20
                      and 36, in "gpt2-xl" 1 600, 25 and 48, and all else is as in "gpt2-small".
            changes   A change takes the place of the preset's value, in this call and no other. What comes out is
                      refused if it cannot be built.
            unknown   A name that is no preset's raises a ValueError that names it and the four that there are.
            no-field  A change of something that is no field raises a TypeError that names it.
            class     Asked of a subclass, preset gives one of that.

        Source: book section 4.1; Radford et al. 2019, table 2.
        """
        if name not in _PRESETS:
            raise ValueError(f"there is no preset {name!r}; there are {', '.join(_PRESETS)}")
        settings: dict[str, Any] = {**_SHARED, **_PRESETS[name], **changes}
        return cls(**settings)
