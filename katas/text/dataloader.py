"""Kata: the data loader. The why, a figure and hints: docs/text/dataloader.md."""

from collections.abc import Sequence
from typing import SupportsIndex

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
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: SupportsIndex) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


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
    raise NotImplementedError
