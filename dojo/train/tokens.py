"""From a text to files of token ids: a tokenizer of the run's own, or that of GPT-2."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dojo.datasets.texts import Text
from dojo.errors import DojoError
from dojo.learner import store
from dojo.system import vocabulary
from dojo.train import pieces
from dojo.train.ingredients import END_OF_TEXT
from dojo.train.runs import Run
from dojo.train.settings import GPT2, Settings


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer is made of: the bytes of each id, the last of which is the end of text, and the merges."""

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]

    @property
    def tokenizer(self) -> Any:
        """The kata's tokenizer. Only what its core asks for is used: dojo keeps the vocabulary by itself."""
        return pieces.module("text/bpe_tokenizer").BPETokenizer(self.vocab, self.merges, [END_OF_TEXT])

    def save(self, path: Path) -> None:
        """Write it as JSON. Raises CannotSave."""
        content = {
            "vocab": {token_id: token.hex() for token_id, token in self.vocab.items()},
            "merges": [[left.hex(), right.hex()] for left, right in self.merges],
        }
        store.replace(path, json.dumps(content).encode())

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """What `save` wrote. Raises DojoError where it cannot be read."""
        try:
            content = json.loads(path.read_bytes())
            vocab = {int(token_id): bytes.fromhex(token) for token_id, token in content["vocab"].items()}
            return cls(vocab, [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in content["merges"]])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DojoError(f"{store.shown(path)} cannot be loaded: {error}") from None


def vocabulary_for(text: Text, settings: Settings) -> Vocabulary:
    """The vocabulary of a run, trained by the kata that is served, or GPT-2's."""
    if settings.tokenizer == GPT2:
        return gpt2()
    train_bpe = pieces.module("text/bpe_training").train_bpe
    vocab, merges = train_bpe(text.text, settings.vocab_size - 1)
    return Vocabulary(vocab | {max(vocab) + 1: END_OF_TEXT.encode()}, merges)


def gpt2() -> Vocabulary:
    """The vocabulary of GPT-2. Raises DojoError where it is not on this machine."""
    try:
        vocab = {token_id: token for token, token_id in vocabulary.ranks().items()}
        return Vocabulary(vocab | {len(vocab): END_OF_TEXT.encode()}, vocabulary.merges())
    except FileNotFoundError as error:
        raise DojoError(str(error)) from None


def tokenizer_of(run: Run) -> Any:
    """The tokenizer of a run, from the vocabulary that was saved. Raises DojoError where it cannot be loaded."""
    return Vocabulary.load(run.tokenizer).tokenizer


def write(run: Run, text: Text, made_of: Vocabulary, settings: Settings) -> None:
    """Write the ids of a text, those to learn from and those held out. Raises CannotSave, and DojoError."""
    dtype = np.uint16 if max(made_of.vocab) < 2**16 else np.uint32
    ids = np.array(made_of.tokenizer.encode(text.text), dtype)
    border = round(len(ids) * (1 - settings.held_out))
    least = settings.context_length + 1
    windows = (border - 1) // settings.context_length
    if len(ids) - border < least or windows < settings.batch_size:
        needed = round(max(settings.batch_size * settings.context_length + 1, least / settings.held_out)) + least
        raise DojoError(
            f"{text.name} is too short: it has {len(ids)} tokens, and batches of {settings.batch_size} windows of "
            f"{settings.context_length} tokens, with a tenth held out, take some {needed}. Try a smaller "
            "--context-length or --batch-size."
        )
    try:
        np.save(run.learned, ids[:border])
        np.save(run.held_out, ids[border:])
        made_of.save(run.tokenizer)
    except OSError as error:
        raise store.unwritten(run.folder, error) from None


def read(run: Run) -> tuple[Any, Any]:
    """The ids to learn from and those held out, mapped into memory and not read."""
    return np.load(run.learned, mmap_mode="r"), np.load(run.held_out, mmap_mode="r")
