"""Kata: the data loader. The why, a figure and hints: docs/text/dataloader.md."""

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class SlidingWindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows that slide over a text: in each, the tokens that a model reads and those that it should predict.

    token_ids is the text, n tokens; context_length, the length of a window, and stride, the way from the start of one
    window to the start of the next, are counted in tokens.

    Clauses:
        item       Item i is (inputs, targets), both of shape (context_length,): inputs are the tokens from i * stride
                   on, and targets are as many tokens, from one token later on.
        count      Every window whose targets end within the text is there, once: their number, which len() gives, is
                   len(range(0, n - context_length, stride)).
        overlap    Two neighbours share context_length - stride inputs: none if the stride is context_length, and with a
                   greater stride the tokens between them are skipped.
        index      Any integer is an index, NumPy's too, and -1 is the last window. Beyond either end an IndexError
                   names the index and the number of windows, so that a for loop over the dataset ends.
        sources    token_ids is a list, a tuple or a range of ints, NumPy's too, or a tensor or NumPy array with one
                   axis and any integer dtype, such as a read-only np.memmap of uint16. Items are int64, and nothing is
                   warned of.
        on-demand  Making a dataset takes no memory that grows with the tensor or array: nothing is copied, and no
                   window made, before it is asked for. What changes later shows in the items that are read after.
        own        Inputs and targets have numbers of their own: a change of either shows neither in the other, nor in
                   token_ids, nor when the item is read again.
        pickled    A dataset that is pickled and loaded gives the same items.
        by-name    The pickle of a dataset over a memory-mapped file, or over consecutive tokens of one, takes less than
                   2 000 bytes: it tells where the tokens lie, and loading it maps the file again.
        reopened   The file is found again from any working directory, and opened for reading only, in whatever mode it
                   was mapped before.
        lengths    A context_length or a stride below 1 raises a ValueError that names it and its value.
        short      A text of fewer than context_length + 1 tokens raises a ValueError that names the number of tokens
                   and context_length.
        axes       A tensor or an array that has not exactly one axis raises a ValueError that names its shape.
        integers   Ids that are no integers, bools among them, raise a TypeError that names the dtype of the tensor or
                   array, or the type of the id in a list.
        no-ids     Anything else as token_ids raises a TypeError that names its type; if it is a str, the message says
                   that it has to be encoded first, with the word encode in it.

    Source: book section 2.6.
    """

    def __init__(
        self,
        token_ids: Integer[Tensor, " n"] | Integer[np.ndarray, " n"] | Sequence[SupportsIndex],
        context_length: int,
        stride: int,
    ) -> None:
        for name, value in (("context_length", context_length), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self._tokens = _readable(token_ids)
        if len(self._tokens) <= context_length:
            raise ValueError(
                f"{len(self._tokens)} tokens are too few: a context_length of {context_length} takes one token more, "
                "the last target"
            )
        self._context_length = context_length
        self._starts = range(0, len(self._tokens) - context_length, stride)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: SupportsIndex) -> tuple[Tensor, Tensor]:
        try:
            start = self._starts[index]
        except IndexError:
            raise IndexError(f"there is no window {index}: there are {len(self)}") from None
        end = start + self._context_length
        return _copied(self._tokens[start:end]), _copied(self._tokens[start + 1 : end + 1])


def create_dataloader(
    token_ids: Integer[Tensor, " n"] | Integer[np.ndarray, " n"] | Sequence[SupportsIndex],
    batch_size: int,
    context_length: int,
    stride: int,
    shuffle: bool = True,
    drop_last: bool = True,
    num_workers: int = 0,
    generator: torch.Generator | None = None,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of windows, for training: a torch.utils.data.DataLoader over a SlidingWindowDataset.

    Each batch is (inputs, targets), int64 tensors with the axes batch and context_length.

    Clauses:
        batches     Row r of a batch is one window, in inputs as in targets, and batch_size windows are a batch. Without
                    shuffle the windows come in the order of the text.
        shuffle     With shuffle, which is the default, each epoch has every window once, in a new order: the one that a
                    DataLoader draws from generator, or from torch's global random state where generator is None.
        last        A last batch of fewer than batch_size windows is left out, by default, and kept if drop_last is
                    False.
        workers     num_workers processes, by default none, make the batches. They may be spawned, not forked, and the
                    text may be a memory-mapped file.
        no-batch    If drop_last would leave no batch at all, a ValueError names the number of windows and batch_size.
        batch-size  A batch_size below 1 raises a ValueError that names it.

    Source: book section 2.6.
    """
    dataset = SlidingWindowDataset(token_ids, context_length, stride)
    if drop_last and len(dataset) < batch_size:
        raise ValueError(f"{len(dataset)} windows make no batch of {batch_size}, and drop_last leaves out what is less")
    # A batch_size below 1 is refused by DataLoader itself.
    return DataLoader(dataset, batch_size, shuffle, drop_last=drop_last, num_workers=num_workers, generator=generator)


_Array = np.ndarray[Any, np.dtype[Any]]
_INTEGERS = {
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip


def _readable(token_ids: object) -> _Array:
    """The ids as an array, in the memory or file where they are; what is no row of integers is refused."""
    if isinstance(token_ids, (list, tuple, range)):
        for token_id in token_ids:
            if isinstance(token_id, bool) or not isinstance(token_id, (int, np.integer)):
                raise TypeError(f"a token id must be an int, not {type(token_id).__name__}")
        return np.array(token_ids, dtype=np.int64)
    if isinstance(token_ids, str):
        raise TypeError("token_ids is a str: encode it first, a tokenizer makes the ids")
    if not isinstance(token_ids, (Tensor, np.ndarray)):
        raise TypeError(f"token_ids must be a list, a tuple, a tensor or an array, not {type(token_ids).__name__}")
    if token_ids.ndim != 1:
        raise ValueError(f"token_ids must have one axis, and its shape is {tuple(token_ids.shape)}")
    if not (token_ids.dtype in _INTEGERS if isinstance(token_ids, Tensor) else token_ids.dtype.kind in "iu"):
        raise TypeError(f"token_ids must be integers, not {token_ids.dtype}")
    if isinstance(token_ids, Tensor):
        return token_ids.numpy()
    # A copy of a memory map is an np.memmap as well, and has no file.
    in_a_file = getattr(token_ids, "filename", None) is not None and token_ids.flags.c_contiguous
    return token_ids.view(_TokenFile) if in_a_file else token_ids


def _copied(tokens: _Array) -> Tensor:
    return torch.from_numpy(np.array(tokens, dtype=np.int64))


class _TokenFile(np.memmap[Any, Any]):
    """Consecutive tokens of a mapped file. Pickled, it is the place where they lie: np.memmap pickles all of them."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        whole: Any = self
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        # A slice has its whole's offset: how far the slice lies behind that, only its address in memory tells.
        offset = whole.offset + self.ctypes.data - whole.ctypes.data
        return _opened, (whole.filename, self.dtype, offset, self.shape)


def _opened(filename: Any, dtype: Any, offset: int, shape: Any) -> _TokenFile:
    return np.memmap(filename, dtype, "r", offset, shape).view(_TokenFile)
