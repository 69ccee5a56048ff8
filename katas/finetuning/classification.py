"""Kata: classification. The why, a figure and hints: docs/finetuning/classification.md."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsIndex

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset


def pad_or_truncate(token_ids: Sequence[int], length: int, pad_id: int) -> list[int]:
    """Bring a message to a given number of tokens.

    Clauses:
        padded     With a pad_id of 0, the tokens 5, 6 become 5, 6, 0, 0 at a length of 4: pad_id fills up the end.
        truncated  Of a message that is longer, the first length tokens are kept: 5, 6, 7 become 5, 6 at a length of 2.
        new        The result is a new list, also where nothing is to do, and token_ids stays as it was.
        no-length  A length below 1 raises a ValueError that names it.

    Source: book section 6.2.
    """
    raise NotImplementedError


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
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: SupportsIndex) -> tuple[Tensor, int, int]:
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
