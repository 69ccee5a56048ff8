"""Causal attention tile by tile, with the softmax carried along: what fused kernels do, in plain PyTorch.

The scores of all pairs of tokens are never there at once. A tile of queries walks over the tiles of keys before it and
keeps three things: the largest score so far, the sum of the exponentials, and the sum of the values weighted by them.
When a larger score comes, what was summed up is scaled down. The backward pass computes the tiles a second time instead
of keeping them, so that memory grows with the length and not with its square.

Source: Milakov and Gimelshein 2018; Rabe and Staats 2021; Dao 2023, section 3.
"""

from typing import Any

import torch
from torch import Tensor

TILE = 256


def tiled_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention of (batch, heads, tokens, head_dim), with memory linear in the number of tokens."""
    attend: Any = _Tiled.apply
    return attend(queries, keys, values)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        out, lse = torch.empty_like(queries), queries.new_empty(queries.shape[:-1])  # lse: the log of the sum
        for mine in _tiles(queries.shape[-2]):
            q = queries[..., mine, :] * queries.shape[-1] ** -0.5
            largest = q.new_full(q.shape[:-1], -torch.inf)  # (batch, heads, tile)
            total, summed = torch.zeros_like(largest), torch.zeros_like(q)
            for theirs in _tiles(mine.stop):
                scores = _scores(q, keys, mine, theirs)  # (batch, heads, tile, tile)
                before, largest = largest, torch.maximum(largest, scores.amax(dim=-1))
                weights = (scores - largest[..., None]).exp_()
                smaller = (before - largest).exp_()
                total = total * smaller + weights.sum(dim=-1)
                summed = summed * smaller[..., None] + weights @ values[..., theirs, :]
            out[..., mine, :] = summed / total[..., None]
            lse[..., mine] = largest + total.log()
        ctx.save_for_backward(queries, keys, values, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values, out, lse = ctx.saved_tensors
        scale = queries.shape[-1] ** -0.5
        grad_q, grad_k, grad_v = (torch.zeros_like(x) for x in (queries, keys, values))
        # What the softmax subtracts from the gradient of each score of a row.
        shared = (grad * out).sum(dim=-1, keepdim=True)  # (batch, heads, tokens, 1)
        for mine in _tiles(queries.shape[-2]):
            q, grad_out = queries[..., mine, :] * scale, grad[..., mine, :]
            for theirs in _tiles(mine.stop):
                k, v = keys[..., theirs, :], values[..., theirs, :]
                weights = (_scores(q, keys, mine, theirs) - lse[..., mine, None]).exp_()
                grad_v[..., theirs, :] += weights.mT @ grad_out
                grad_scores = weights.mul_((grad_out @ v.mT).sub_(shared[..., mine, :]))
                grad_q[..., mine, :] += (grad_scores @ k).mul_(scale)
                grad_k[..., theirs, :] += grad_scores.mT @ q
        return grad_q, grad_k, grad_v


def _scores(q: Tensor, keys: Tensor, mine: slice, theirs: slice) -> Tensor:
    """The scores of one tile; only the tile on the diagonal has a future to hide."""
    scores = q @ keys[..., theirs, :].mT
    if mine == theirs:
        tile = scores.shape[-1]
        scores.masked_fill_(torch.ones(tile, tile, dtype=torch.bool, device=q.device).triu(1), -torch.inf)
    return scores


def _tiles(tokens: int) -> list[slice]:
    return [slice(start, min(start + TILE, tokens)) for start in range(0, tokens, TILE)]
