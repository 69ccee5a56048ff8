"""Kata: the optimizer. The why, a figure and hints: docs/pretraining/optimizer.md."""

from collections.abc import Callable, Iterable
from typing import Any

import torch


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay, as a PyTorch optimizer.

    params are parameters, or dicts (param groups) that hold parameters under "params" beside settings of their own. t
    counts the steps of a parameter from 1; m and v are the averages that the optimizer keeps for it.

    Clauses:
        example      A parameter of 1 with a gradient of 0.5 becomes 0.985 in its first step, with lr 0.01 and
                     weight_decay 0.5: the gradient takes 0.01, decay takes 0.005.
        averages     m becomes beta1 * m + (1 - beta1) * gradient, and v becomes beta2 * v + (1 - beta2) * gradient**2,
                     number by number.
        correction   m and v start at 0, so m_hat = m / (1 - beta1**t) and v_hat = v / (1 - beta2**t) are used.
        update       The gradient's part of a step is -lr * m_hat / (sqrt(v_hat) + eps).
        decay        Weight decay takes lr * weight_decay of each number of the parameter, and does not enter m and v.
        groups       Each param group has its own settings, and a step uses those that are in param_groups then.
        no-gradient  A parameter whose grad is None, such as a frozen one, does not change.
        trains       The model's own parameters change and keep requires_grad, so that a training loop works.

    Further clauses:
        exact        The parameters are those of torch.optim.AdamW to float64's precision: decay comes first, and eps
                     is added after the correction.
        own-steps    A step in which a parameter has no gradient changes neither its averages nor its t.
        in-place     The new numbers are written into the parameter's memory, so a view of it shows them.
        gradients    A step does not change the gradients.
        closure      step(closure) calls closure once, before the update and with gradients enabled, and returns its
                     result.
        state        state[parameter] holds exp_avg (m), exp_avg_sq (v) and step (t), as in PyTorch.
        dtype        The averages have the parameter's dtype.
        state-dict   Training goes on as before after a state_dict is loaded into a new AdamW or into
                     torch.optim.AdamW, and the other way around.
        sparse       A sparse gradient raises a RuntimeError with the parameter's shape.
        refused      A negative lr, eps or weight_decay, or a beta outside 0 <= beta < 1, raises a ValueError that names
                     it and its value.

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
