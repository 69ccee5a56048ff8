"""Kata: preferences. The why, a figure and hints: docs/finetuning/preference.md."""

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn


def sequence_log_prob(
    model: nn.Module,
    inputs: Int[Tensor, "batch tokens"],
    targets: Int[Tensor, "batch tokens"],
    mask: Shaped[Tensor, "batch tokens"],
) -> Float[Tensor, " batch"]:
    """Return for each sequence the logarithm of the probability that a model gives to its answer, in nats.

    The model returns logits (batch, tokens, vocab_size) for inputs. Targets are shifted already: each is the id of the
    token after the input at its place. mask is True where the target belongs to the answer, and False elsewhere.

    Clauses:
        example       Logits of 0 and ln 3 are probabilities of 1/4 and 3/4. The answer 1, 0 gives ln(3/4) + ln(1/4).
        log-prob      The result is the sum over the places of a row of ln p(target), where p is the softmax of the
                      logits at the same place.
        answer-only   Only places where mask is True are part of the sum.
        gradients     The parameters of the model get the gradients of this sum.

    Further clauses:
        any-target    Where mask is False, the target may be any number, such as -100.
        int-mask      A mask of ones and zeros means the same as one of True and False.
        one-call      The model is called once, in the mode that it is in.
        precision     float16 and bfloat16 logits give a float32 result, computed in float32.
        shapes        If targets or mask do not have the shape of inputs, a ValueError names both shapes.

    Source: Rafailov et al. 2023, section 4.
    """
    raise NotImplementedError


def dpo_loss(
    policy_chosen: Float[Tensor, " batch"],
    policy_rejected: Float[Tensor, " batch"],
    reference_chosen: Float[Tensor, " batch"],
    reference_rejected: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, ""]:
    """The loss of direct preference optimization: of two answers to each prompt, make the chosen one more likely.

    The four are log-probabilities of answers: under the policy, which is trained, and under the reference, the model it
    started from. The margin of a pair is (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected).

    Clauses:
        one-pair      A pair with a margin of ln 3 costs -ln(3/4) if beta is 1.
        start         A policy that equals its reference costs ln 2, whatever beta is.
        loss          The loss is the mean of -ln sigmoid(beta * margin) over the pairs.
        direction     policy_chosen gets the gradient -beta * sigmoid(-beta * margin) / batch, and policy_rejected the
                      same with the opposite sign.

    Further clauses:
        reference     No gradient flows to reference_chosen and reference_rejected: their grad stays None.
        extreme       Margins of 10 000 and -10 000 give the loss and the gradients of the formula.
        unequal       If the four do not have one shape, a ValueError names that of policy_chosen and another.
        beta          A beta that is not above 0 raises a ValueError with its value.

    Source: Rafailov et al. 2023, section 4, equation 7.
    """
    raise NotImplementedError
