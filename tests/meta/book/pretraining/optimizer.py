"""AdamW as a widespread course has it: the step size is corrected in place of the averages, and decay comes last.

The book calls PyTorch's. The end of section 2 of the Adam paper gives this order too; eps is corrected with the root.
"""

import math

import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def step(self, closure=None):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, grad = self.state[p], p.grad.data
                t = state.get("t", 1)
                m = beta1 * state.get("m", torch.zeros_like(grad)) + (1 - beta1) * grad
                v = beta2 * state.get("v", torch.zeros_like(grad)) + (1 - beta2) * grad**2
                rate = group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
                p.data -= rate * m / (torch.sqrt(v) + group["eps"])
                p.data -= group["lr"] * group["weight_decay"] * p.data
                state["t"], state["m"], state["v"] = t + 1, m, v
