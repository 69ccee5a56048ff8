"""Kata: preferences. The why, a figure and hints: docs/finetuning/preference.md."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional


def sequence_log_prob(
    model: nn.Module,
    inputs: Int[Tensor, "batch tokens"],
    targets: Int[Tensor, "batch tokens"],
    mask: Shaped[Tensor, "batch tokens"],
) -> Float[Tensor, " batch"]:
    """Tell for each sequence of a batch how likely a model finds its answer, as a logarithm, in nats.

    The model gives logits (batch, tokens, vocab_size) for inputs, and all is on its device. Each target is the id of
    the token that comes after the input at its place: they are shifted already. mask has True or 1 where the target
    belongs to the answer, and False or 0 at the prompt and at padding.

    Clauses:
        answer     The result is the sum, over the places of a row where mask is true, of ln p of the target, where p is
                   the softmax of the logits there, over the vocabulary. It is no mean: longer answers are less likely.
        masked     Where mask is false nothing counts: the target may be anything, as -100, and the logits nan.
        none       A row without a true place gives 0.
        once       The model is called once, with inputs, in the mode that it is in.
        gradients  The parameters get the gradients of that sum; logits where mask is false get zeros.
        extreme    Logits of 10 000 and of -10 000 give what they give on paper, as do gradients.
        wide       Half precision is not enough for a sum: from float16 and bfloat16 logits the result is float32, and
                   computed in it; from other ones it has their dtype and their precision.
        pure       inputs, targets and mask are not changed.
        shapes     targets or mask of another shape than inputs raise a ValueError that names both shapes, as tuples.
        range      A target that counts, and is below 0 or not below vocab_size, raises a ValueError with its value and
                   that of vocab_size.

    Source: Rafailov et al. 2023, section 4.
    """
    for given in (targets, mask):
        if given.shape != inputs.shape:
            raise ValueError(f"a shape of {tuple(given.shape)} does not fit inputs of {tuple(inputs.shape)}")
    logits, counted = model(inputs), mask.bool()  # (batch, tokens, vocab_size), (batch, tokens)
    tokens, vocab_size = targets[counted], logits.shape[-1]  # (counted)
    outside = tokens[tokens != tokens.clamp(0, vocab_size - 1)]
    if len(outside) > 0:
        raise ValueError(f"target {outside[0]} does not fit a vocab_size of {vocab_size}")
    # Only the lines that count are looked at, so that no nan elsewhere finds its way into a gradient.
    lines = logits[counted].to(torch.promote_types(logits.dtype, torch.float32))  # (counted, vocab_size)
    found = lines.log_softmax(dim=-1).gather(-1, tokens[:, None])  # (counted, 1)
    return found.new_zeros(counted.shape).masked_scatter(counted, found).sum(dim=-1)


def dpo_loss(
    policy_chosen: Float[Tensor, " batch"],
    policy_rejected: Float[Tensor, " batch"],
    reference_chosen: Float[Tensor, " batch"],
    reference_rejected: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, ""]:
    """The loss of direct preference optimization: of two answers to each prompt, make the chosen one likelier.

    The four hold log-probabilities of the answers, in nats: under the policy, the model that learns, and under the
    reference, the model that it started from. The margin of a pair is how much more the policy prefers the chosen
    answer than the reference does: (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected).

    Clauses:
        by-hand    One pair with a margin of ln 3 and beta 1 costs -ln(3/4). policy_chosen gets the gradient -1/4,
                   policy_rejected 1/4.
        start      A policy that is its reference still costs ln 2, whatever beta is.
        pairs      A pair costs -ln sigmoid(beta · margin); beta is 0.1 unless it is given.
        mean       The loss is the mean of what the pairs cost, and not the cost of their mean margin.
        swap       With chosen and rejected answers swapped, for both models, the loss is greater by beta times the mean
                   margin.
        direction  Per pair policy_chosen gets the gradient -beta · sigmoid(-beta · margin) / batch, policy_rejected the
                   same with the other sign: a pair counts most while it is wrong.
        reference  No gradient flows to the reference's two, also where they require one: their grad stays None.
        far        Margins of 10 000 and of -10 000 give the loss and the gradients that they give on paper.
        unequal    If the four do not have one shape, a ValueError names that of policy_chosen and another, as tuples.
        beta       A beta that is not above 0 raises a ValueError with the word beta and its value.

    Source: Rafailov et al. 2023, section 4, equation 7.
    """
    if not beta > 0:
        raise ValueError(f"beta must be above 0, and not {beta}")
    for other in (policy_rejected, reference_chosen, reference_rejected):
        if other.shape != policy_chosen.shape:
            raise ValueError(f"log-probabilities of {tuple(other.shape)} do not fit {tuple(policy_chosen.shape)}")
    preferred = policy_chosen - policy_rejected  # (batch)
    margin = preferred - (reference_chosen - reference_rejected).detach()
    # log(sigmoid) would take the logarithm of a 0 where the margin is far below zero.
    return -functional.logsigmoid(beta * margin).mean()
