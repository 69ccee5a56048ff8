"""GELU and the feedforward part as section 4.3 of the book describes them, with emb_dim in place of cfg."""

import torch
from torch import nn


class GELU(nn.Module):
    def forward(self, x):
        factor = torch.sqrt(torch.tensor(2.0 / torch.pi))
        return 0.5 * x * (1 + torch.tanh(factor * (x + 0.044715 * torch.pow(x, 3))))


class FeedForward(nn.Module):
    def __init__(self, emb_dim):
        super().__init__()
        wide = 4 * emb_dim
        self.layers = nn.Sequential(nn.Linear(emb_dim, wide), GELU(), nn.Linear(wide, emb_dim))

    def forward(self, x):
        return self.layers(x)
