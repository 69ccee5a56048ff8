"""PyTorch's fused attention in the place of a model's own, where both give the same."""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dojo.ladder.attention_gate import check, truth
from dojo.ladder.attention_rungs import Size, WeightSplit, deal
from dojo.train import pieces
from dojo.train.settings import Settings

MULTIHEAD = "attention/multihead"
BATCH = 2


def fuse(model: Any, settings: Settings, device: str) -> str:
    """Let every block compute attention by PyTorch's kernel, and return what keeps that kernel out, empty if nothing.

    The modules and their names stay. On a CPU the kernel knows no dropout: with it PyTorch computes the plain way, and
    a step of 6 x 384 had 0.98 of the speed of the reference's; without dropout it had 1.11.
    """
    if settings.drop_rate > 0 and device == "cpu":
        return "on a CPU it is no faster with dropout"
    heads = settings.n_heads
    if why := why_not(model, heads, settings.emb_dim // heads, settings.context_length):
        return why
    for block in model.trf_blocks:
        block.att.forward = MethodType(_Forward(heads, settings.drop_rate), block.att)
    return ""


def why_not(model: Any, heads: int, head_dim: int, tokens: int) -> str:
    """What keeps fused attention out of a model; empty where the attention of all its blocks is proved equal to it.

    The proof is the gate of `dojo bench attention`, for the model's heads and its longest text: output, gradients and
    causality.
    """
    kind = pieces.module(MULTIHEAD).MultiHeadAttention
    if not all(type(block.att) is kind for block in model.trf_blocks):
        return "a block has another attention than that of attention/multihead"
    size = Size(heads, head_dim, tokens)
    weights = deal(size, "cpu", torch.float32)
    try:
        with torch.random.fork_rng():
            check(WeightSplit(weights, size, kind), truth(weights, size, BATCH))
    except Exception as error:  # a learner's own code may fail in any way
        return f"{error}"
    return ""


class _Forward:
    """What is called in the place of an attention's forward."""

    def __init__(self, heads: int, drop_rate: float) -> None:
        self.heads, self.drop_rate = heads, drop_rate

    def __call__(self, att: nn.Module, x: Tensor) -> Tensor:
        layers: Any = att
        queries, keys, values = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (layers.W_query, layers.W_key, layers.W_value)
        )  # (batch, heads, tokens, head_dim)
        dropped = self.drop_rate if att.training else 0.0
        mixed = functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropped, is_causal=True)
        joined: Tensor = layers.out_proj(mixed.transpose(1, 2).flatten(2))
        return joined
