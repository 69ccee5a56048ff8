"""Kata: the configuration. The why, a figure and hints: docs/gpt/config.md."""

from dataclasses import dataclass
from typing import Any, Self

_SHARED = {"vocab_size": 50_257, "context_length": 1_024, "drop_rate": 0.1, "qkv_bias": False}
_PRESETS = {
    "gpt2-small": {"emb_dim": 768, "n_heads": 12, "n_layers": 12},
    "gpt2-medium": {"emb_dim": 1_024, "n_heads": 16, "n_layers": 24},
    "gpt2-large": {"emb_dim": 1_280, "n_heads": 20, "n_layers": 36},
    "gpt2-xl": {"emb_dim": 1_600, "n_heads": 25, "n_layers": 48},
}


@dataclass(frozen=True)
class GPTConfig:
    """The seven values that a GPT is built from.

    vocab_size is the number of tokens in the vocabulary, context_length the greatest number of tokens in an input,
    emb_dim the number of features of a token, n_heads the number of attention heads, n_layers the number of blocks,
    drop_rate the probability of dropout, and qkv_bias says whether queries, keys and values have a bias.

    Clauses:
        fields    Each field holds the value that was given for it, by keyword or by position in the order below.
        head-dim  head_dim is a property: the number of features of each head, emb_dim / n_heads, as an int.

    Further clauses:
        no-default  No field has a default.
        sizes       A vocab_size, context_length, emb_dim, n_heads or n_layers below 1 raises a ValueError that names
                    the field and its value.
        integers    One of these five that is not an int raises a TypeError that names the field and its value. A bool
                    does not count as an int.
        divisible   An emb_dim that is not a multiple of n_heads raises a ValueError that names both numbers.
        rate        A drop_rate below 0, above 1 or nan raises a ValueError that names the field and its value.
        number      A drop_rate that is neither a float nor an int, or is a bool, raises a TypeError that names the
                    field and its value.
        flag        A qkv_bias that is not a bool raises a TypeError that names the field and its value.
        frozen      A field cannot be set: this raises a dataclasses.FrozenInstanceError.
        as-dict     dataclasses.asdict gives the seven fields in their order and nothing else.
    """

    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float
    qkv_bias: bool

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int):  # a bool is an int in Python
                raise TypeError(f"{name} must be an int, not {size!r}")
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        if self.emb_dim % self.n_heads != 0:
            raise ValueError(f"emb_dim {self.emb_dim} must be a multiple of n_heads {self.n_heads}")
        if isinstance(self.drop_rate, bool) or not isinstance(self.drop_rate, (float, int)):
            raise TypeError(f"drop_rate must be a number, not {self.drop_rate!r}")
        if not 0 <= self.drop_rate <= 1:  # False for nan too
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
            gpt2-small  "gpt2-small" has a vocab_size of 50 257, a context_length of 1 024, an emb_dim of 768, 12 heads,
                        12 layers, a drop_rate of 0.1 and no qkv_bias.
            gpt2-sizes  emb_dim, n_heads and n_layers are 1 024, 16, 24 in "gpt2-medium", 1 280, 20, 36 in "gpt2-large"
                        and 1 600, 25, 48 in "gpt2-xl"; the rest is as in "gpt2-small".
            changes     A change takes the place of the preset's value, in this call only.

        Further clauses:
            unknown   An unknown name raises a ValueError that names it.
            no-field  A change of something that is not a field raises a TypeError that names it.

        Source: book section 4.1; Radford et al. 2019, table 2.
        """
        if name not in _PRESETS:
            raise ValueError(f"there is no preset {name!r}; there are {', '.join(_PRESETS)}")
        settings: dict[str, Any] = {**_SHARED, **_PRESETS[name], **changes}
        return cls(**settings)
