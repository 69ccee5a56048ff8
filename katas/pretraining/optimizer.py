"""Kata: the optimizer. The why, a figure and hints: docs/pretraining/optimizer.md."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay: each number of a parameter moves at a pace of its own, and shrinks a little.

    params are parameters, or dicts that each hold some under "params" beside settings for them, as every optimizer of
    PyTorch takes them. t is the number of steps that a parameter has taken, the present one included.

    Clauses:
        example     A number 1 with a gradient of 0.5 becomes 0.85 in its first step, at an lr of 0.1 and a weight_decay
                    of 0.5: 0.05 goes by decay, and 0.1 by the gradient.
        decay       A step takes lr * weight_decay of each number from it, and the averages know nothing of that.
        averages    exp_avg is beta1 of what it was, and 1 - beta1 of the gradient; exp_avg_sq is beta2 of what it was,
                    and 1 - beta2 of the gradient's square. Both begin at 0.
        correction  Divided by 1 - beta1 ** t and 1 - beta2 ** t, the two become mean and square; a number goes down by
                    lr * mean / (root of square + eps). So a first step is lr long, whatever the gradient.
        eps         eps is added to the root, not under it: a first gradient as great as eps moves its number by half of
                    lr.
        agrees      With the same gradients, parameters are those of torch.optim.AdamW after every step, in float32 and
                    in float64, with inf and nan among the gradients too.
        groups      The settings of a param group are its own, the arguments are those of groups that name none, and
                    what is written into param_groups counts from the next step on.
        skipped     A parameter without a gradient, such as a frozen one, is left out of the step: it does not shrink,
                    its averages stay, and t does not grow.
        in-place    The numbers change where they lie in memory, the gradients stay as they are, and a model can be
                    trained on: parameters and averages belong to no graph.
        closure     step(closure) first calls closure, once, with gradients switched on, and returns what it returned;
                    step() returns None.
        state       state[parameter] has exp_avg and exp_avg_sq, each of the parameter's shape and dtype, and step,
                    which is t as a number or as a tensor without axes.
        travels     A state_dict, loaded into a new AdamW of other settings or into torch.optim.AdamW, goes on there
                    exactly as here, and so does one of torch.optim.AdamW that is loaded here.
        sparse      A sparse gradient raises a RuntimeError, with the word sparse and the parameter's shape, before
                    any parameter has moved.
        settings    lr, eps and weight_decay have to be at least 0, both betas at least 0 and below 1, in a group of
                    params too; else a ValueError names the setting and its value.

    Not allowed: Adam, AdamW, Adamax, NAdam, RAdam, adam, adamw, _functional, _fused_adam_, _fused_adamw_.
    Source: Loshchilov and Hutter 2019, algorithm 2; Kingma and Ba 2015, algorithm 1; book section 5.2, which uses it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        raise NotImplementedError


def clip_grad_norm(parameters: Iterable[Tensor] | Tensor, max_norm: float) -> Float[Tensor, ""]:
    """Shorten all gradients together, so that their joint length is at most max_norm.

    parameters are any number of them, or a single one; the norm of their gradients is the root of the sum of the
    squares of all their numbers, as if they were one long vector.

    Clauses:
        clip        Every gradient is multiplied, where it lies, by the smaller of 1 and max_norm / (norm + 1e-6), so
                    that 3, 0 and 4 with the norm 5 become 0.6, 0 and 0.8 at a max_norm of 1.
        norm        The result is the norm as it was before, a tensor without axes, in the dtype of the gradients.
        whose       Parameters come as a list, as a generator or as one tensor; those without a gradient take no part,
                    and where there is no gradient at all the norm is 0.
        not-finite  An infinite norm makes finite gradients 0 and infinite ones nan, and a norm of nan makes all nan, as
                    that product says.
        negative    A max_norm that is not at least 0 raises a ValueError that names it, and leaves the gradients alone.

    Not allowed: clip_grad_norm_, clip_grad_norm, get_total_norm, clip_grads_with_norm_.
    Source: Pascanu et al. 2013, algorithm 1; book appendix D.3, which uses it.
    """
    raise NotImplementedError


def learning_rate_at(step: int, peak: float, minimum: float, warmup_steps: int, total_steps: int) -> float:
    """How fast to learn in a step: up in a straight line, then down like half a wave.

    Clauses:
        warmup   Below warmup_steps, the rate is step / warmup_steps of peak, so that it is 0 at step 0.
        cosine   From warmup_steps, where it is peak, to total_steps, where it is minimum, it falls as a cosine does
                 from its top to its bottom: a third of the way takes a quarter of the fall, half of it a half.
        after    From total_steps on it is minimum, also where the warmup ends there.
        nothing  warmup_steps may be 0, and the rate begins at peak; total_steps may be 0 as well, and it is minimum.
        refused  A ValueError names what does not fit and its value: a step or warmup_steps below 0; warmup_steps above
                 total_steps, with both; a minimum below 0; a minimum above peak, with both.

    Source: Loshchilov and Hutter 2017, equation 5; Goyal et al. 2017, section 2.2; book appendix D.1 and D.2.
    """
    raise NotImplementedError
