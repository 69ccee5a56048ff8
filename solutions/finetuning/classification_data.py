"""Kata: classification data. The why, a figure and hints: docs/finetuning/classification_data.md."""

from collections.abc import Callable, Sequence
from typing import SupportsIndex

import torch
from torch import Tensor
from torch.utils.data import Dataset


def pad_or_truncate(token_ids: Sequence[int], length: int, pad_id: int) -> list[int]:
    """Bring the tokens of a text to a given number.

    Clauses:
        padded     A shorter text is filled up with pad_id at the end: at a length of 4, the tokens 5, 6 become
                   5, 6, 0, 0 for a pad_id of 0.
        truncated  Of a longer text the first length tokens are kept: at a length of 2, the tokens 5, 6, 7 become 5, 6.

    Further clauses:
        new-list   The result is a new list and token_ids is not changed, even when its length is right already.
        no-length  A length below 1 raises a ValueError with this length.

    Source: book section 6.2.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, not {length}")
    kept = list(token_ids[:length])
    return kept + [pad_id] * (length - len(kept))


class ClassificationDataset(Dataset[tuple[Tensor, int, int]]):
    """Texts as rows of max_length token ids, each with its own number of tokens and its class.

    encode turns a text into a list of token ids. labels[i], an int, is the class of texts[i].

    Clauses:
        item        Item i is (token_ids, length, label): an int64 tensor of shape (max_length,), made from text i by
                    encode and pad_or_truncate, and two ints.
        size        len() is the number of texts.
        max-length  The attribute max_length is the number of tokens of the longest text if None was given, and
                    otherwise what was given.
        length      The length of an item counts its tokens from the text: not those that were cut off, and not the
                    padding. A token of the text that equals pad_id counts.

    Further clauses:
        index        -1 is the last item, and an index beyond either end raises an IndexError.
        encode-once  encode is called once for each text, while the dataset is made, and not for each item.
        pickle       The dataset can be pickled for a worker process, even if encode cannot.
        separate     Changing the tensor of an item changes neither the dataset nor another item.
        no-token     A text without tokens has no last token to classify by: a ValueError names its index.
        counts       Texts and labels of different number raise a ValueError with both numbers.

    Source: book sections 6.2 and 6.3.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[int],
        encode: Callable[[str], list[int]],
        pad_id: int,
        max_length: int | None = None,
    ) -> None:
        if len(texts) != len(labels):
            raise ValueError(f"there are {len(texts)} texts and {len(labels)} labels")
        encoded = [encode(text) for text in texts]
        counts = [len(token_ids) for token_ids in encoded]
        if 0 in counts:
            raise ValueError(f"text {counts.index(0)} has no tokens")
        self.max_length = max(counts) if max_length is None else max_length
        rows = [pad_or_truncate(token_ids, self.max_length, pad_id) for token_ids in encoded]
        self._inputs = torch.tensor(rows)  # (texts, max_length)
        self._lengths = [min(count, self.max_length) for count in counts]
        self._labels = list(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: SupportsIndex) -> tuple[Tensor, int, int]:
        return self._inputs[index].clone(), self._lengths[index], self._labels[index]
