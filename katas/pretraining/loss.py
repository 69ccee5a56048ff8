"""Kata: the loss. The why, a figure and hints: docs/pretraining/loss.md."""

from collections.abc import Iterable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn


def cross_entropy(
    logits: Float[Tensor, "*axes vocab_size"], targets: Int[Tensor, "*axes"], ignore_index: int = -100
) -> Float[Tensor, ""]:
    """Tell how surprised a model is by the tokens that really came, in nats per token.

    Axes: any number of them before vocab_size, none too. Each target is the id of a token, int64. Any floating dtype.
    The log_softmax of foundations/softmax may be imported; what is not allowed below is PyTorch's.

    Clauses:
        example    Logits 0 and ln 3 are probabilities of 1/4 and 3/4: target 0 costs ln 4, target 1 costs ln 4 - ln 3.
        uniform    Equal logits cost ln(vocab_size), whatever the target.
        agrees     The loss is the mean of -ln p over all targets, where p is the softmax of a target's line of logits,
                   along the last axis, at that target.
        ignored    A target equal to ignore_index, which may be any int, counts neither in the sum nor in the number
                   that divides it, whatever its logits are, nan among them.
        nothing    If no target counts, the loss is nan.
        stable     Logits of 10 000 and of -10 000 cost what they cost on paper; a logit of -inf is a probability of 0,
                   which costs inf at the target and changes nothing elsewhere.
        gradients  The logits get the gradients of that formula, finite ones also beside a logit of -inf.
        dtype      The loss has the dtype of logits, with that dtype's precision, also in float16 for 20 000 targets and
                   for a vocabulary of 100 000.
        pure       Neither logits nor targets are changed.
        shapes     If targets do not have the shape of logits without vocab_size, a ValueError names both shapes.
        range      A target that counts, and is below 0 or not below vocab_size, raises a ValueError that names it and
                   vocab_size.

    Not allowed: cross_entropy, CrossEntropyLoss, nll_loss, NLLLoss, log_softmax, LogSoftmax,
        AdaptiveLogSoftmaxWithLoss.
    Source: book section 5.1.2; Shannon 1948.
    """
    raise NotImplementedError


def perplexity(loss: float | Float[Tensor, ""]) -> float | Float[Tensor, ""]:
    """Tell among how many equally likely tokens one would choose to be surprised as much as by a loss in nats.

    Clauses:
        choices   A loss of ln 8 is a perplexity of 8: it is exp(loss), a float for a float, and for a tensor a tensor,
                  with its gradient.
        overflow  A float whose exp is more than a float can hold, such as 1 000.0, gives inf and no error.

    Source: book section 5.1.2; Jelinek et al. 1977.
    """
    raise NotImplementedError


def batch_loss(
    model: nn.Module, inputs: Int[Tensor, "batch tokens"], targets: Int[Tensor, "batch tokens"]
) -> Float[Tensor, ""]:
    """The loss of a model on one batch, to learn from: the model gives logits (batch, tokens, vocab_size) for inputs.

    Clauses:
        batch   The result is the cross-entropy of model(inputs) and targets, from one call of the model, in the mode
                that it is in; the parameters can get their gradients from it.
        device  Inputs and targets are moved to the device of the model's first parameter; for a model without
                parameters they stay where they are.

    Source: book section 5.1.3.
    """
    raise NotImplementedError


def mean_loss(model: nn.Module, loader: Iterable[Any], num_batches: int | None = None) -> float:
    """The loss of a model on the batches of a loader, to look at: each batch is a pair of inputs and targets.

    Clauses:
        weighted  The result is a float: the mean over all targets of all batches that are not -100, as if they were
                  one batch, so that each of them weighs the same.
        first     Only the first num_batches batches are taken from the loader, which needs no length; all of them are,
                  if num_batches is None or more than there are.
        empty     A batch without a target that counts adds nothing; if there is no other, or no batch at all, or if
                  num_batches is 0, the result is nan.
        quiet     Meanwhile every submodule is in eval mode, and no gradients are recorded; gradients that the
                  parameters already have stay as they are.
        modes     Afterwards, also after an error, every submodule is in the mode it was in, and gradients are recorded
                  as before.
        random    Afterwards, also after an error, the global random states are what they were: Python's, and torch's
                  on the CPU and on CUDA devices that are in use.

    Source: book section 5.1.3.
    """
    raise NotImplementedError
