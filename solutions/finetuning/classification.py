"""Kata: classification. The why, a figure and hints: docs/finetuning/classification.md."""

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..pretraining.loss import cross_entropy


def pad_or_truncate(token_ids: Sequence[int], length: int, pad_id: int) -> list[int]:
    """Bring a message to a given number of tokens.

    Clauses:
        padded     With a pad_id of 0, the tokens 5, 6 become 5, 6, 0, 0 at a length of 4: pad_id fills up the end.
        truncated  Of a message that is longer, the first length tokens are kept: 5, 6, 7 become 5, 6 at a length of 2.
        new        The result is a new list, also where nothing is to do, and token_ids stays as it was.
        no-length  A length below 1 raises a ValueError that names it.

    Source: book section 6.2.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, not {length}")
    return [*token_ids[:length], *[pad_id] * (length - len(token_ids))]


class ClassificationDataset(Dataset[tuple[Tensor, int, int]]):
    """Messages, all brought to max_length tokens, each with the number of its own tokens and with its class.

    labels[i] is the class of texts[i], an int from 0 on. encode turns a text into token ids. max_length, in tokens, is
    also an attribute.

    Clauses:
        item        Item i is (token_ids, length, label): text i as encode and pad_or_truncate make it, an int64 tensor
                    of shape (max_length,), and two ints. len() is the number of texts. Of such items a plain DataLoader
                    makes batches (inputs, lengths, labels), int64 tensors.
        max-length  A max_length of None becomes the number of tokens of the longest text; any other stays as it is,
                    also where every text is shorter. Below 1 it raises a ValueError that names it.
        length      The length of an item is the number of tokens in it that come from the text: what was cut off does
                    not count, and pad_id within the text does.
        index       -1 is the last item. Beyond either end an IndexError is raised, so that a for loop ends.
        once        encode is called once for each text, while the dataset is made and never again, and it is not kept:
                    a dataset can be pickled whatever encode is.
        own         The tensor of an item has numbers of its own: a change of it shows nowhere else, also not when the
                    item is read again; and no later change of the list labels shows in an item.
        no-token    A text that encode gives no tokens for has no last token to decide by: a ValueError names its index.
        counts      texts and labels of unequal number, and none of either, raise a ValueError that names both numbers.

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
        if len(texts) != len(labels) or len(texts) == 0:
            raise ValueError(f"{len(texts)} texts and {len(labels)} labels: there must be some, and a label for each")
        encoded = [encode(text) for text in texts]
        counts = [len(token_ids) for token_ids in encoded]
        if 0 in counts:
            raise ValueError(f"text {counts.index(0)} has no tokens, and so no last one to decide by")
        self.max_length = max(counts) if max_length is None else max_length
        # pad_or_truncate refuses a length below 1.
        rows = [pad_or_truncate(token_ids, self.max_length, pad_id) for token_ids in encoded]
        self._inputs = torch.tensor(rows)  # (texts, max_length)
        self._lengths = [min(count, self.max_length) for count in counts]
        self._labels = list(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: SupportsIndex) -> tuple[Tensor, int, int]:
        return self._inputs[index].clone(), self._lengths[index], self._labels[index]


def add_classification_head(model: nn.Module, num_classes: int, trainable_blocks: int = 1) -> None:
    """Give a GPT a score for each class in place of one for each token, and freeze all that is not to be learned anew.

    The model has the parts of gpt/model: tok_emb, pos_emb, drop_emb, trf_blocks, final_norm, and out_head, a Linear.

    Clauses:
        head       out_head becomes a new nn.Linear with num_classes outputs, a bias, and the inputs, the dtype and the
                   device of the old one; in float32, after the same seed, it has nn.Linear's numbers.
        trainable  The parameters of the new head, of final_norm and of the last trainable_blocks blocks are trainable
                   and no others, whatever was before, an earlier call too; with trainable_blocks=0 those of no block.
        frozen     Every other parameter has no gradient left from before: steps of an optimizer that
                   has all parameters of the model leave it, bit for bit, as it was before the call.
        unfit      A num_classes below 2 raises a ValueError that names it; a trainable_blocks below 0 or above the
                   number of blocks one that names it and that number. The model stays as it was.

    Source: book section 6.5.
    """
    gpt: Any = model
    number = len(gpt.trf_blocks)
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, not {num_classes}")
    if not 0 <= trainable_blocks <= number:
        raise ValueError(f"trainable_blocks must be 0 to {number}, the number of blocks, not {trainable_blocks}")
    for parameter in gpt.parameters():
        parameter.requires_grad = False
        parameter.grad = None  # an optimizer would still take a step with it
    old = gpt.out_head
    gpt.out_head = nn.Linear(old.in_features, num_classes, device=old.weight.device, dtype=old.weight.dtype)
    for part in [gpt.final_norm, *gpt.trf_blocks[number - trainable_blocks :]]:
        part.requires_grad_(True)


def last_token_logits(
    model: nn.Module, inputs: Int[Tensor, "batch tokens"], lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch num_classes"]:
    """What a model says of each message: its logits at the last token, which alone has seen the whole message.

    inputs are token ids, padded at the end; the model gives logits (batch, tokens, num_classes) for them. lengths has
    the number of tokens of each message without the padding. Both are int64.

    Clauses:
        last       Row r of the result is what the model gives for row r at position lengths[r] - 1, counted from 0;
                   without lengths, at the last position.
        padding    Behind a causal model the result does not depend on the padding: not on its ids, and not on whether
                   there is any.
        call       The model is called once, in the mode that it is in, and gradients flow back from the result.
        device     inputs, and the labels of classification_loss, are moved to the device of the model's first
                   parameter; for a model without parameters they stay where they are. lengths may be there or on the
                   CPU.
        lengths    lengths of another shape than (batch,) raise a ValueError that names it; a length below 1 or above
                   the number of tokens raises one that names it and that number.

    Source: book sections 6.5 and 6.6.
    """
    batch, tokens = inputs.shape
    if lengths is not None:
        if lengths.shape != (batch,):
            raise ValueError(f"lengths of shape {tuple(lengths.shape)} are not one for each of {batch} rows")
        outside = lengths[(lengths < 1) | (lengths > tokens)]
        if len(outside) > 0:
            raise ValueError(f"a length of {outside[0]} does not fit {tokens} tokens")
    logits = model(_beside(model, inputs))  # (batch, tokens, num_classes)
    if lengths is None:
        return logits[:, -1]
    return logits[torch.arange(batch, device=lengths.device), lengths - 1]


def classification_loss(
    model: nn.Module,
    inputs: Int[Tensor, "batch tokens"],
    labels: Int[Tensor, " batch"],
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """How surprised a model is by the classes of some messages, in nats per message, to learn from.

    Clauses:
        loss    The result is the mean of -ln p over the messages, where p is the softmax of last_token_logits at the
                label; the parameters can get their gradients from it.
        labels  labels of another shape than (batch,) raise a ValueError that names it; a label below 0, -100 too, or
                not below num_classes raises one that names it and num_classes.

    Source: book section 6.6.
    """
    logits = last_token_logits(model, inputs, lengths)  # (batch, num_classes)
    if (labels == -100).any():  # a target of -100 would not count; every other that does not fit is refused below
        raise ValueError(f"label -100 does not fit a num_classes of {logits.shape[1]}")
    return cross_entropy(logits, _beside(model, labels))


def accuracy(model: nn.Module, loader: Iterable[Any], num_batches: int | None = None) -> float:
    """The share of messages that a model gives the right class, from 0 to 1.

    The batches of the loader are (inputs, lengths, labels) or, where every message ends at the last position, as those
    of the book do, (inputs, labels); tuples or lists of tensors, as for classification_loss.

    Clauses:
        share     A message is right if its label is the class of the greatest logit in last_token_logits; the result
                  is a float, the number of right messages divided by that of all, however they are dealt into batches.
        ties      Of classes with equal logits the lowest is the model's choice.
        nan       A message with a nan among its logits is not right.
        first     Only the first num_batches batches are taken from the loader, which needs no length; all of them are,
                  if num_batches is None or more than there are.
        empty     Where there is no message at all, or num_batches is 0, the result is nan.
        quiet     Meanwhile every submodule is in eval mode, and no gradients are recorded; gradients that the
                  parameters already have stay as they are.
        modes     Afterwards, also after an error, every submodule is in the mode it was in, and gradients are recorded
                  as before.
        random    Afterwards, also after an error, the global random states are what they were: Python's, and torch's
                  on the CPU and on CUDA devices that are in use.

    Source: book section 6.6.
    """
    right, messages = 0, 0
    with _looked_at(model):
        for inputs, *lengths, labels in itertools.islice(loader, num_batches):
            logits = last_token_logits(model, inputs, *lengths)  # (batch, num_classes)
            chosen = logits.argmax(dim=-1).masked_fill(logits.isnan().any(dim=-1), -1)  # (batch,); -1 is no class
            right += int((chosen == labels.to(chosen.device)).sum())
            messages += len(labels)
    return right / messages if messages > 0 else math.nan


def _beside(model: nn.Module, tensor: Tensor) -> Tensor:
    """The tensor on the device of the model."""
    parameter = next(model.parameters(), None)
    return tensor if parameter is None else tensor.to(parameter.device)


@contextmanager
def _looked_at(model: nn.Module) -> Iterator[None]:
    """Within, the model does not learn; afterwards nothing tells that it was looked at."""
    modes = {module: module.training for module in model.modules()}
    state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        model.eval()
        # A loader that shuffles draws from the global random state as soon as it is iterated over.
        with torch.no_grad(), torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(state)
        for module, training in modes.items():
            module.training = training
