"""From a text to files of token ids: a tokenizer of the run's own, or that of GPT-2."""

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


def tokenizer_for(text: Text, settings: Settings) -> Any:
    """The tokenizer of a run, made of the katas that are served."""
    if settings.tokenizer == GPT2:
        return gpt2()
    kata = pieces.module("text/bpe_tokenizer")
    train_bpe = pieces.module("text/bpe_training").train_bpe
    return kata.BPETokenizer(*train_bpe(text.text, settings.vocab_size, [END_OF_TEXT]), [END_OF_TEXT])


def gpt2() -> Any:
    """The tokenizer of GPT-2. Raises DojoError where its vocabulary is not on this machine."""
    try:
        return pieces.module("text/bpe_tokenizer").BPETokenizer.from_ranks(vocabulary.ranks(), {END_OF_TEXT: 50_256})
    except FileNotFoundError as error:
        raise DojoError(str(error)) from None


def tokenizer_of(run: Run) -> Any:
    """The tokenizer of a run, as it was saved. Raises DojoError where it cannot be loaded."""
    try:
        return pieces.module("text/bpe_tokenizer").BPETokenizer.load(run.tokenizer)
    except (OSError, ValueError) as error:
        raise DojoError(f"{store.shown(run.tokenizer)} cannot be loaded: {error}") from None


def vocab_size_of(tokenizer: Any) -> int:
    """How many ids a tokenizer has: its end-of-text token is the last one."""
    return int(tokenizer.encode(END_OF_TEXT)[0]) + 1


def write(run: Run, text: Text, tokenizer: Any, settings: Settings) -> None:
    """Write the ids of a text, those to learn from and those held out. Raises CannotSave, and DojoError."""
    dtype = np.uint16 if vocab_size_of(tokenizer) <= 2**16 else np.uint32
    ids = np.fromiter(tokenizer.encode_iterable(text.text.splitlines(keepends=True)), dtype)
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
        tokenizer.save(run.tokenizer)
    except OSError as error:
        raise store.unwritten(run.folder, error) from None


def read(run: Run) -> tuple[Any, Any]:
    """The ids to learn from and those held out, mapped into memory and not read."""
    return np.load(run.learned, mmap_mode="r"), np.load(run.held_out, mmap_mode="r")
