"""A GPT as nanoGPT describes its own: what a plain fast model in PyTorch looks like. Written from that description."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class LikeNanoGPT(nn.Module):
    """One product for queries, keys and values, and PyTorch's own norm, GELU, fused attention and dropout.

    It has the weights of a kata's GPTModel of n_heads heads, with those of its three projections joined.
    """

    def __init__(self, model: Any, n_heads: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.n_heads, self.drop_rate = n_heads, drop_rate
        self.tok_emb, self.pos_emb, self.out_head = model.tok_emb, model.pos_emb, model.out_head
        self.blocks: Any = nn.ModuleList(_Block(block) for block in model.trf_blocks)
        self.final_norm = model.final_norm

    def forward(self, ids: Tensor) -> Tensor:
        """The logits (batch, tokens, vocab_size) of all positions, for training."""
        return self.out_head(self.read(ids))

    def read(self, ids: Tensor) -> Tensor:
        """What the last norm gives: (batch, tokens, emb_dim)."""
        x = self.drop(self.tok_emb(ids) + self.pos_emb(torch.arange(ids.shape[1], device=ids.device)))
        dropped = self.drop_rate if self.training else 0.0
        for block in self.blocks:
            parts = functional.linear(_norm(block.norm1, x), block.joined).chunk(3, dim=-1)
            queries, keys, values = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts)
            mixed = functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropped, is_causal=True)
            x = x + self.drop(block.out_proj(mixed.transpose(1, 2).flatten(2)))
            wide = functional.gelu(block.wide(_norm(block.norm2, x)), approximate="tanh")
            x = x + self.drop(block.narrow(wide))
        return _norm(self.final_norm, x)

    def drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.drop_rate, self.training)

    def generate(self, ids: Tensor, new: int, context_length: int) -> Tensor:
        """Continue a text greedily; the logits are those of the last position only."""
        for _ in range(new):
            last = self.read(ids[:, -context_length:])[:, -1:]
            ids = torch.cat([ids, self.out_head(last).argmax(dim=-1)], dim=1)
        return ids


class _Block(nn.Module):
    """The layers of a kata's block, without the three projections of its attention."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        three = (block.att.W_query, block.att.W_key, block.att.W_value)
        self.joined = nn.Parameter(torch.cat([layer.weight.detach() for layer in three]))  # (3 * emb_dim, emb_dim)
        self.out_proj, self.norm1, self.norm2 = block.att.out_proj, block.norm1, block.norm2
        self.wide, _, self.narrow = block.ff.layers


def _norm(norm: Any, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], norm.scale, norm.shift, 1e-5)
