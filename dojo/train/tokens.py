"""From a text to files of token ids: a tokenizer of the run's own, or that of GPT-2."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dojo.datasets.texts import Text
from dojo.errors import DojoError
from dojo.learner import store
from dojo.system import vocabulary
from dojo.system.files import NotRegular, check_regular, read_regular
from dojo.train import pieces
from dojo.train.ingredients import END_OF_TEXT, GPT2
from dojo.train.runs import Run
from dojo.train.settings import Settings


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
        """What `save` wrote. Raises ValueError where it is something else, and OSError where it cannot be read."""
        try:
            content = json.loads(read_regular(path, store.MOST))
            vocab = {int(token_id): bytes.fromhex(token) for token_id, token in content["vocab"].items()}
            merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in content["merges"]]
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise ValueError("it holds no vocabulary") from None
        known, bytes_alone = set(vocab.values()), {bytes([one]) for one in range(256)}
        if sorted(vocab) != list(range(len(vocab))) or vocab[len(vocab) - 1] != END_OF_TEXT.encode():
            raise ValueError("its ids do not go from 0 to the end of a text")
        if not bytes_alone <= known or any(left + right not in known for left, right in merges):
            raise ValueError("tokens are missing")
        return cls(vocab, merges)


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


def tokenizer_of(run: Run, vocab_size: int) -> Any:
    """The tokenizer of a run, from the vocabulary that was saved. Raises DojoError where it cannot be loaded."""
    with _usable(run, run.tokenizer):
        made_of = Vocabulary.load(run.tokenizer)
        if len(made_of.vocab) != vocab_size:
            raise ValueError(f"it has {len(made_of.vocab)} tokens, and the model {vocab_size}")
    return made_of.tokenizer


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


def read(run: Run, vocab_size: int) -> tuple[Any, Any]:
    """The ids to learn from and those held out, mapped into memory. Raises DojoError where they cannot be used."""
    learned, held_out = (_ids(run, path, vocab_size) for path in (run.learned, run.held_out))
    return learned, held_out


def _ids(run: Run, path: Path, vocab_size: int) -> Any:
    with _usable(run, path):
        check_regular(path)
        try:
            ids = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception:  # numpy has many names for a file that is none of its own
            raise ValueError("it holds no array") from None
        if ids.ndim != 1 or ids.dtype.kind != "u" or len(ids) < 2:
            raise ValueError("it holds no row of ids")
        if ids.max() >= vocab_size:
            raise ValueError(f"it has the id {ids.max()}, and the vocabulary {vocab_size} tokens")
    return ids


@contextlib.contextmanager
def _usable(run: Run, path: Path) -> Iterator[None]:
    """Within, what is wrong with a file of a run becomes a DojoError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise run.unusable(path, "is missing") from None
    except NotRegular as error:
        raise run.unusable(path, str(error).removeprefix(path.name).strip()) from None
    except OSError as error:
        raise run.unusable(path, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise run.unusable(path, f"is damaged: {error}") from None
