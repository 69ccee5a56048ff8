"""Low-rank adapters the book's way (appendix E), with our names, the paper's shapes, and its factor alpha / rank."""

import math

import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.linear, self.rank, self.alpha = linear, rank, alpha
        for parameter in linear.parameters():
            parameter.requires_grad = False
        self.A = nn.Parameter(torch.empty(rank, linear.in_features))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.merged = False

    def forward(self, x):
        if self.merged:
            return self.linear(x)
        return self.linear(x) + self.alpha / self.rank * (x @ self.A.T @ self.B.T)

    def merge(self):
        self.linear.weight.data += self.alpha / self.rank * (self.B @ self.A).data
        self.merged = True


def apply_lora(model, rank, alpha, targets):
    for parameter in model.parameters():
        parameter.requires_grad = False
    return put_in(model, rank, alpha, targets, "")


def put_in(module, rank, alpha, targets, prefix):
    names = []
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and name in targets:
            setattr(module, name, LoRALinear(child, rank, alpha))
            names.append(prefix + name)
        else:
            names += put_in(child, rank, alpha, targets, f"{prefix}{name}.")
    return names


def merge_lora(model):
    raise NotImplementedError


def lora_state_dict(model):
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}
    return {f"{name}.{part}": getattr(layer, part) for name, layer in layers.items() for part in "AB"}


def load_lora_state_dict(model, state):
    model.load_state_dict(state, strict=False)
