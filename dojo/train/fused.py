"""PyTorch's fused attention in place of a model's own, where both give the same."""

from typing import Any

import torch

from dojo.ladder.attention_gate import check, truth
from dojo.ladder.attention_rungs import Size, WeightSplit, deal
from dojo.ladder.fused_attention import fuse_blocks
from dojo.train import pieces
from dojo.train.ingredients import MODERN
from dojo.train.settings import Settings

MULTIHEAD = "attention/multihead"
BATCH = 2


def fuse(model: Any, settings: Settings, device: str) -> str:
    """Let every block compute attention by PyTorch's kernel, and return what keeps that kernel out, empty if nothing.

    The modules and their names stay. On a CPU the kernel knows no dropout: with it PyTorch computes the plain way, and
    a step of 6 x 384 had 0.98 of the speed of the reference's; without dropout it had 1.11.
    """
    if settings.model == MODERN:
        return "its heads share keys and values, and positions rotate them"
    if settings.drop_rate > 0 and device == "cpu":
        return "on a CPU it is no faster with dropout"
    heads = settings.n_heads
    if why := why_not(model, heads, settings.emb_dim // heads, settings.context_length):
        return why
    fuse_blocks(model, heads, settings.drop_rate)
    return ""


def why_not(model: Any, heads: int, head_dim: int, tokens: int) -> str:
    """What keeps fused attention out of a model; empty where the attention of all its blocks is proved equal to it.

    The proof is the gate of `dojo bench attention`, for the model's heads and its longest text: output, gradients and
    causality.
    """
    kind = pieces.module(MULTIHEAD).MultiHeadAttention
    if not all(type(block.att) is kind for block in model.trf_blocks):
        return "the attention of a block is not that of attention/multihead"
    size = Size(heads, head_dim, tokens)
    weights = deal(size, "cpu", torch.float32)
    try:
        with torch.random.fork_rng():
            check(WeightSplit(weights, size, kind), truth(weights, size, BATCH))
    except Exception as error:  # a learner's own code may fail in any way
        return f"{error}"
    return ""
