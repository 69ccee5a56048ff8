"""Kata: clipping and the schedule. The why, a figure and hints: docs/pretraining/schedule.md."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor


def clip_grad_norm(parameters: Iterable[Tensor] | Tensor, max_norm: float) -> Float[Tensor, ""]:
    """Scale the gradients of all parameters by one factor, so that their joint norm is at most max_norm.

    The joint norm is the root of the sum of the squares of all numbers in all gradients. The result has no axes.

    Clauses:
        norm         The result is the joint norm before clipping: gradients of 3, 0 and 4, in two tensors, give 5.
        clip         A norm above max_norm multiplies every gradient, in place, by max_norm / norm: with a max_norm of
                     1, 3, 0 and 4 become 0.6, 0 and 0.8.
        below        Gradients with a norm of at most max_norm do not change.
        no-gradient  Parameters whose grad is None are left out.
        generator    parameters may be a generator, such as model.parameters().

    Further clauses:
        single       parameters may be one tensor.
        nothing      Without any gradient the norm is 0.
        dtype        The norm has the dtype and the precision of the gradients.
        max-norm     A negative max_norm raises a ValueError that names it.

    Not allowed: clip_grad_norm_, clip_grad_norm, get_total_norm, clip_grads_with_norm_.
    Source: Pascanu et al. 2013, algorithm 1; book appendix D.3, which uses it.
    """
    raise NotImplementedError


def learning_rate_at(step: int, peak: float, minimum: float, warmup_steps: int, total_steps: int) -> float:
    """The learning rate of a step: a linear warmup from 0 to peak, then half a cosine down to minimum.

    Clauses:
        warmup       Before step warmup_steps the rate is peak * step / warmup_steps, which is 0 at step 0.
        cosine       From there to total_steps it is minimum + (peak - minimum) * (1 + cos(pi * progress)) / 2, where
                     progress goes linearly from 0 to 1.
        after        From step total_steps on it is minimum.
        no-warmup    With warmup_steps = 0 the rate at step 0 is peak.

    Further clauses:
        only-warmup  With warmup_steps = total_steps, 0 among them, the rate from there on is minimum.
        step-range   A negative step raises a ValueError that names it.
        warmup-range Unless 0 <= warmup_steps <= total_steps, a ValueError names warmup_steps and its value.
        minimum-range  Unless 0 <= minimum <= peak, a ValueError names minimum and its value.

    Source: Loshchilov and Hutter 2017, equation 5; Goyal et al. 2017, section 2.2; book appendix D.1 and D.2.
    """
    raise NotImplementedError
