"""What a run is asked to do: sizes, rates and the seed, by name or one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dojo.train import models, teaching
from dojo.train.ingredients import GPT2, MODELS
from dojo.train.teaching import Teaching

BPE = "bpe"  # a vocabulary of the run's own; GPT2 is that of GPT-2


@dataclass(frozen=True, kw_only=True)
class Settings(Teaching):
    """All that a run depends on beside its text and its pieces.

    model is GPT2 or MODERN. vocab_size and context_length are in tokens, batch_size in windows of context_length
    tokens. Dropout is drop_rate. held_out is the share of the text, at its end, that is not learned but predicted.
    Weights begin with the standard deviation init_std, as GPT-2's did; without one they begin as PyTorch has them.
    """

    model: str = GPT2
    tokenizer: str = BPE
    vocab_size: int = 1024
    context_length: int = 64
    emb_dim: int = 128
    n_heads: int = 4
    n_layers: int = 4
    drop_rate: float = 0.1
    batch_size: int = 16
    epochs: int = 9
    learning_rate: float = 2e-3
    held_out: float = 0.1
    init_std: float | None = 0.02

    def config(self, vocab_size: int) -> dict[str, Any]:
        """The model's configuration; a text may have too few pairs to fill a vocabulary, so its size is given."""
        names = ("context_length", "emb_dim", "n_heads", "n_layers", "drop_rate")
        return models.config_of(self.model, vocab_size, **{name: getattr(self, name) for name in names})

    @property
    def why_not(self) -> str:
        """What of the sizes does not fit the model, in a sentence; empty where all does."""
        return models.why_not(self.model, self.emb_dim, self.n_heads, self.drop_rate)

    def least_bytes(self, vocab_size: int) -> int:
        """The memory that training takes at least: each weight four times, with its gradient and two averages."""
        weights = self.emb_dim * (2 * vocab_size + self.context_length + 12 * self.n_layers * self.emb_dim)
        return 4 * 4 * weights


def check(about: Mapping[str, Any]) -> None:
    """Raise ValueError if the description of a pretraining run, read from a file, is wrong; the message says where."""
    teaching.check(about, {"text": str, "sha256": str, "pieces": dict, "settings": dict, "config": dict})
    settings = Settings.of_data(about["settings"])
    if settings.model not in MODELS:
        raise ValueError(f"model is {settings.model!r:.40}")
    size = about["config"].get("vocab_size")
    if type(size) is not int or size < 1 or settings.config(size) != about["config"]:
        raise ValueError("config and settings do not match")
    if why := settings.why_not:
        raise ValueError(why)


# small is for half a megabyte in three minutes on two cores; quick, for the story with messages, and story, for the
# story alone, take one. book is the setting of the book's section 5.2, whose model has 163 million parameters.
PRESETS = {
    "quick": Settings(
        context_length=96,
        emb_dim=96,
        n_layers=3,
        drop_rate=0.2,
        batch_size=8,
        epochs=13,
    ),
    "story": Settings(
        vocab_size=512,
        context_length=96,
        emb_dim=96,
        n_layers=3,
        drop_rate=0.3,
        batch_size=8,
        epochs=40,
        learning_rate=1e-3,
    ),
    "small": Settings(),
    "medium": Settings(vocab_size=4096, context_length=256, emb_dim=384, n_heads=6, n_layers=6, learning_rate=1e-3),
    "book": Settings(
        tokenizer=GPT2,
        vocab_size=50_257,
        context_length=256,
        emb_dim=768,
        n_heads=12,
        n_layers=12,
        batch_size=2,
        epochs=10,
        learning_rate=4e-4,
        init_std=None,
    ),
}
