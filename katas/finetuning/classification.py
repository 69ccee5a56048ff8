"""Kata: classification. The why, a figure and hints: docs/finetuning/classification.md."""

from collections.abc import Iterable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn


def add_classification_head(model: nn.Module, num_classes: int, trainable_blocks: int = 1) -> None:
    """Replace the output layer of a GPT by one with an output for each class, and freeze most of the model.

    The model has the parts of gpt/model: tok_emb, pos_emb, drop_emb, trf_blocks, final_norm and out_head.

    Clauses:
        head       out_head becomes a new nn.Linear with num_classes outputs and the inputs of the old one.
        trainable  The new head, final_norm and the last trainable_blocks blocks are trainable, and no other parameter
                   is.

    Further clauses:
        bias           The new head has a bias and starts as nn.Linear does, so a seed gives the book's numbers.
        dtype-device   The new head has the dtype and the device of the old one.
        old-gradients  No frozen parameter keeps a gradient from before, with which an optimizer would still move it.
        settings       A num_classes below 2, and a trainable_blocks below 0 or above the number of blocks, raise a
                       ValueError with the argument and its value.

    Source: book section 6.5.
    """
    raise NotImplementedError


def last_token_logits(
    model: nn.Module, inputs: Int[Tensor, "batch tokens"], lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch num_classes"]:
    """The logits of each text at its last token, the only one that attends to the whole text.

    inputs are token ids, padded at the end, and lengths the numbers of tokens without padding. The model maps (batch,
    tokens) to (batch, tokens, num_classes).

    Clauses:
        last           Row r of the result is what the model gives for row r at position lengths[r] - 1.
        last-position  Without lengths, it is what the model gives at the last position.
        gradients      Gradients flow back from the result to the parameters of the model.

    Further clauses:
        one-call        The model is called once for the whole batch, in the mode that it is in.
        device          inputs, and the labels of classification_loss, are moved to the device of the model.
        wrong-lengths   A length below 1 or above the number of tokens raises a ValueError with this length.

    Source: book sections 6.5 and 6.6.
    """
    raise NotImplementedError


def classification_loss(
    model: nn.Module,
    inputs: Int[Tensor, "batch tokens"],
    labels: Int[Tensor, " batch"],
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """The loss to train a classifier with, in nats per text.

    Clauses:
        loss  The result is the mean over the texts of -ln p, where p is the softmax of last_token_logits at the label.

    Further clauses:
        wrong-labels  A label below 0, also -100, or not below num_classes, raises a ValueError with this label.

    Source: book section 6.6.
    """
    raise NotImplementedError


def accuracy(model: nn.Module, loader: Iterable[Any], num_batches: int | None = None) -> float:
    """The share of texts to which a model gives the right class, from 0 to 1.

    The batches of loader are (inputs, lengths, labels), or (inputs, labels) as in the book.

    Clauses:
        share        The result is a float: the number of texts whose label has the greatest of the last_token_logits,
                     divided by the number of texts.
        pairs        In a batch (inputs, labels), every text ends at the last position.
        num-batches  Only the first num_batches batches are counted, and all of them if num_batches is None or more than
                     there are.
        eval-mode    The model is in eval mode meanwhile.

    Further clauses:
        no-gradients    No gradients are recorded meanwhile.
        modes           Afterwards, also after an error, every submodule has the mode that it had.
        empty           The result for no texts, also for num_batches=0, is nan.
        nan             A text with a nan among its logits is not right.

    Source: book section 6.6.
    """
    raise NotImplementedError
