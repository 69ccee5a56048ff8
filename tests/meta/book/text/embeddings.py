"""The book's way, sections 2.7 and 2.8: nn.Embedding is a lookup in its weight, and the input is a sum of two lookups.

nn.Embedding itself is not allowed in this kata.
"""

import torch
from torch import nn


class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size, emb_dim):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, emb_dim).normal_())

    def forward(self, token_ids):
        return self.weight[token_ids]


class InputEmbedding(nn.Module):
    def __init__(self, vocab_size, context_length, emb_dim):
        super().__init__()
        self.tok_emb = TokenEmbedding(vocab_size, emb_dim)
        self.pos_emb = TokenEmbedding(context_length, emb_dim)

    def forward(self, in_idx):
        _, seq_len = in_idx.shape
        return self.tok_emb(in_idx) + self.pos_emb(torch.arange(seq_len, device=in_idx.device))
