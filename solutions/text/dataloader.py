"""Kata: the data loader. The why, a figure and hints: docs/text/dataloader.md."""

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class SlidingWindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows that slide over a text: the tokens that a model reads, and the tokens that it should predict.

    token_ids is the text, n tokens. A window has context_length tokens, and starts stride tokens after the one before.

    Clauses:
        item   Item i is (inputs, targets): the context_length tokens from i * stride on, and those one token later.
        count  len() is the number of windows whose targets end within the text.

    Further clauses:
        index      A negative index counts from the end. Beyond either end, an IndexError names the index and len().
        sources    token_ids is a list, tuple, tensor or NumPy array of any integer dtype. Items are int64.
        on-demand  Over a tensor or an array, the constructor copies nothing and makes no window.
        separate   Changing the inputs or the targets of an item changes nothing else.
        pickled    A dataset that is pickled and loaded gives the same items, over any part of a mapped file too.
        by-name    The pickle of a dataset over consecutive tokens of a mapped file names the file, and holds no tokens.
        lengths    A context_length or a stride below 1 raises a ValueError that names it and its value.
        short      A text without a window raises a ValueError that names the number of tokens and context_length.
        integers   Ids that are not integers raise a TypeError that names their type.

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
        self._tokens = _as_array(token_ids)
        if len(self._tokens) <= context_length:
            raise ValueError(f"{len(self._tokens)} tokens hold no window with a context_length of {context_length}")
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

    Shapes: each batch is (inputs, targets), both (batch, context_length).

    Clauses:
        batches  A batch is batch_size windows. Without shuffle, they come in the order of the text.
        shuffle  With shuffle, which is the default, each epoch has every window once, in a new order.
        last     A last batch of fewer than batch_size windows is dropped. With drop_last=False it is kept.

    Further clauses:
        generator  The order is drawn from generator, or from torch's global random state where generator is None.
        workers    num_workers processes make the batches. They may be spawned.
        no-batch   Where drop_last would leave no batch, a ValueError names the number of windows and batch_size.

    Source: book section 2.6.
    """
    dataset = SlidingWindowDataset(token_ids, context_length, stride)
    if drop_last and len(dataset) < batch_size:
        raise ValueError(f"{len(dataset)} windows make no batch of {batch_size}, and drop_last drops what is left")
    return DataLoader(dataset, batch_size, shuffle, drop_last=drop_last, num_workers=num_workers, generator=generator)


_Array = np.ndarray[Any, np.dtype[Any]]


def _as_array(token_ids: Any) -> _Array:
    """The ids as an array. Those of a tensor, an array or a file stay where they are."""
    tokens: _Array = np.asanyarray(token_ids)
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"token_ids must be integers, not {tokens.dtype.name}")
    # A copy of a memory map is an np.memmap as well, and has no file.
    in_a_file = getattr(tokens, "filename", None) is not None and tokens.flags.c_contiguous
    return tokens.view(_TokenFile) if in_a_file else tokens


def _copied(tokens: _Array) -> Tensor:
    return torch.from_numpy(np.array(tokens, dtype=np.int64))


class _TokenFile(np.memmap[Any, Any]):
    """Consecutive tokens of a mapped file. Its pickle says where they are: np.memmap pickles the tokens themselves."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        whole: Any = self
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        # A slice has the offset of the whole map, so its own place is found from the two addresses in memory.
        offset = whole.offset + self.ctypes.data - whole.ctypes.data
        return _opened, (whole.filename, self.dtype, offset, self.shape)


def _opened(filename: Any, dtype: Any, offset: int, shape: Any) -> _TokenFile:
    return np.memmap(filename, dtype, "r", offset, shape).view(_TokenFile)
