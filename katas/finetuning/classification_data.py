"""Kata: classification data. The why, a figure and hints: docs/finetuning/classification_data.md."""

from collections.abc import Callable, Sequence
from typing import SupportsIndex

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
    raise NotImplementedError


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
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: SupportsIndex) -> tuple[Tensor, int, int]:
        raise NotImplementedError
