"""The GPT model as section 4.6 of the book describes it, and its lines that count as a function."""

import torch
from torch import nn

from katas.gpt.block import TransformerBlock
from katas.gpt.layernorm import LayerNorm


class GPTModel(nn.Module):
    def __init__(self, config, attention=None):
        super().__init__()
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.Sequential(*(TransformerBlock(config) for _ in range(config.n_layers)))
        self.final_norm = LayerNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, token_ids):
        _, length = token_ids.shape
        summed = self.tok_emb(token_ids) + self.pos_emb(torch.arange(length, device=token_ids.device))
        worked = self.trf_blocks(self.drop_emb(summed))
        return self.out_head(self.final_norm(worked))


def count_parameters(model, tied=False):
    total = sum(parameter.numel() for parameter in model.parameters())
    if tied:
        total -= sum(parameter.numel() for name, parameter in model.out_head.named_parameters() if name == "weight")
    return total
