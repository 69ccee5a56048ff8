"""Messages as batches that a model is trained and tested with."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from dojo.datasets.messages import LABELS, Message
from dojo.train import pieces

AT_ONCE = 64  # messages in a batch that is only looked at


def dataset(messages: Sequence[Message], tokenizer: Any, pad_id: int, max_length: int) -> Any:
    """The kata's dataset of messages: token ids, lengths and classes."""
    return pieces.module("finetuning/classification_data").ClassificationDataset(
        [message.text for message in messages],
        [LABELS.index(message.label) for message in messages],
        tokenizer.encode,
        pad_id,
        max_length,
    )


def to_learn(items: Any, batch_size: int, generator: torch.Generator) -> Any:
    """Batches for the loop of pretraining, in a new order in every epoch."""
    return DataLoader(items, batch_size, shuffle=True, generator=generator, collate_fn=with_targets)


def to_watch(items: Any) -> Any:
    """The same without an order, to measure the loss on."""
    return DataLoader(items, AT_ONCE, collate_fn=with_targets)


def to_test(items: Any, device: torch.device) -> Iterator[list[Tensor]]:
    """Batches (inputs, lengths, labels) on a device, to count right answers in."""
    for batch in DataLoader(items, AT_ONCE):
        yield [part.to(device) for part in batch]


def with_targets(items: list[Any]) -> tuple[Tensor, Tensor]:
    """A batch as in pretraining, as long as its longest message: the class is the target of every real token.

    So a classifier is trained by the very loop, and by the loss, that trained the model, and each beginning of a
    message is an example too. An answer is read at the last token alone. Padding has no target.
    """
    inputs, lengths, labels = default_collate(items)
    inputs = inputs[:, : int(lengths.max())]  # (batch, tokens)
    real = torch.arange(inputs.shape[1]) < lengths[:, None]  # (batch, tokens)
    return inputs, torch.where(real, labels[:, None], -100)
