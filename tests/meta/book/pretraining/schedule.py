"""Clipping and the schedule as appendix D goes about them; clipping as PyTorch's function, which the book calls."""

import math

import torch


def clip_grad_norm(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads]))
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for grad in grads:
        grad.mul_(factor)
    return norm


def learning_rate_at(step, peak, minimum, warmup_steps, total_steps):
    if step < warmup_steps:
        return step * (peak / warmup_steps)
    if step > total_steps:
        return minimum
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return minimum + (peak - minimum) * 0.5 * (1 + math.cos(math.pi * progress))
