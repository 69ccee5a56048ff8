"""Kata: the loss. The why, a figure and hints: docs/pretraining/loss.md."""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from katas.modes import eval_mode


def cross_entropy(
    logits: Float[Tensor, "*axes vocab_size"], targets: Int[Tensor, "*axes"], ignore_index: int = -100
) -> Float[Tensor, ""]:
    """The mean loss of a model's predictions, in nats per token.

    Each target is the id of the token that came next. There may be any number of axes before vocab_size. Write the
    log-softmax here, or import your own from foundations/softmax.

    Clauses:
        example         Logits 0 and ln 3 are probabilities of 1/4 and 3/4: target 0 costs ln 4, target 1 ln 4 - ln 3.
        formula         The loss is the mean over all targets of -ln p, where p is the softmax of the logits over the
                        last axis, at the target.
        ignored         A target equal to ignore_index counts neither in the sum nor in the number that divides it.
        gradients       The gradients of the logits are those of this formula.

    Further clauses:
        nothing         If every target is ignored, the loss is nan.
        ignored-logits  The logits at an ignored target change nothing, even if they are nan.
        extreme         Logits of 10 000 and -10 000 give the exact loss, and neither inf nor nan.
        dtype           The loss has the dtype of the logits, with its precision.
        pure            A call changes neither the logits nor the targets.
        shapes          Targets whose shape is not that of the logits without vocab_size raise a ValueError that names
                        both shapes.

    Not allowed: cross_entropy, CrossEntropyLoss, nll_loss, NLLLoss, log_softmax, LogSoftmax,
        AdaptiveLogSoftmaxWithLoss.
    Source: book section 5.1.2; Shannon 1948.
    """
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"targets of shape {tuple(targets.shape)} do not fit logits of shape {tuple(logits.shape)}")
    counted = targets != ignore_index
    logits, targets = logits[counted], targets[counted]  # (counted, vocab_size), (counted,)
    # Softmax does not change when a number is subtracted from all logits, and exp() does not overflow at 0 or below.
    logits = logits - logits.amax(dim=-1, keepdim=True)
    log_probabilities = logits - logits.exp().sum(dim=-1, keepdim=True).log()
    return -log_probabilities.gather(-1, targets[:, None]).mean()


def perplexity(loss: float | Float[Tensor, ""]) -> float | Float[Tensor, ""]:
    """The number of equally likely tokens among which a choice costs as much as a loss in nats.

    Clauses:
        perplexity      The perplexity is exp(loss), so a loss of ln 8 gives 8.

    Further clauses:
        float           A float gives a float, which is inf where exp(loss) is too large for one.

    Source: book section 5.1.2; Jelinek et al. 1977.
    """
    if isinstance(loss, Tensor):
        return loss.exp()
    return torch.tensor(loss, dtype=torch.float64).exp().item()


def batch_loss(
    model: nn.Module, inputs: Int[Tensor, "batch tokens"], targets: Int[Tensor, "batch tokens"]
) -> Float[Tensor, ""]:
    """The loss of a model on one batch. The model maps ids (batch, tokens) to logits (batch, tokens, vocab_size).

    Clauses:
        batch           The loss is the cross_entropy of model(inputs) and targets, and the model's parameters can get
                        gradients from it.
        mode            The model is called in the mode, training or eval, that it is in.

    Further clauses:
        device          Inputs and targets are moved to the device of the model's parameters.

    Source: book section 5.1.3.
    """
    for parameter in model.parameters():
        inputs, targets = inputs.to(parameter.device), targets.to(parameter.device)
        break
    return cross_entropy(model(inputs), targets)


def mean_loss(model: nn.Module, loader: Iterable[Any], num_batches: int | None = None) -> float:
    """The loss of a model on the batches of a loader, as a float. A batch is a pair of inputs and targets.

    Clauses:
        mean            For batches of the same size, the result is the mean of their losses.
        num-batches     Only the first num_batches batches count; with None all of them do.
        eval-mode       The model is in eval mode meanwhile, so dropout is off.

    Further clauses:
        weighted        Each target that is not -100 has the same weight, as if all batches were one.
        no-grad         No gradients are recorded meanwhile.
        modes           Afterwards every submodule is in the mode in which it was before.
        random          Afterwards torch's random state is what it was before.

    Source: book section 5.1.3.
    """
    total, count = 0.0, 0
    with eval_mode(model), torch.no_grad(), torch.random.fork_rng():  # a loader that shuffles draws random numbers
        for inputs, targets in itertools.islice(loader, num_batches):
            counted = int((targets != -100).sum())
            if counted > 0:
                total += batch_loss(model, inputs, targets).item() * counted
                count += counted
    return total / count if count > 0 else math.nan
