"""Kata: rotary positions. The why, a figure and hints: docs/modern/rope.md."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class RotaryScaling:
    """How Llama 3 slows rotations down, so that a model that was trained on short texts can read longer ones.

    original_context_length is the number of tokens that the model was first trained with. turns, for a pair, is how
    often it goes round within that length. A pair of more than high_freq_factor turns keeps its speed, one of less than
    low_freq_factor has its speed divided by factor, and those between get something in between.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context_length: int


def rotary_angles(
    head_dim: int, context_length: int, base: float = 10_000.0, scaling: RotaryScaling | None = None
) -> Float[Tensor, "context_length pairs"]:
    """Give the angle, in radians, by which each pair of features is turned at each position.

    Shapes: (context_length, head_dim / 2), a row for each position from 0 on.

    Clauses:
        table        rotary_angles(4, 3, base=100) is [[0, 0], [1, 0.1], [2, 0.2]].
        frequencies  At position p, pair i has the angle p * base ** (-2 i / head_dim).

    Further clauses:
        odd          A head_dim that is odd or below 2 raises a ValueError that names it.
        float32      The angles are computed in float32, whatever torch's default dtype is.
        scaling      With scaling, frequencies are multiplied by s + (1 - s) / factor, where s is
                     (turns - low_freq_factor) / (high_freq_factor - low_freq_factor), limited to 0 and 1.

    Source: Su et al. 2021, section 3.4.2; for scaling Llama Team 2024 (Llama 3), section 3.4.3.
    """
    if head_dim < 2 or head_dim % 2 != 0:
        raise ValueError(f"a head_dim of {head_dim} cannot be split into pairs")
    even = torch.arange(0, head_dim, 2, dtype=torch.float32)  # (pairs,)
    frequencies = base ** (-even / head_dim)
    if scaling is not None:
        frequencies = _slowed(frequencies, scaling)
    positions = torch.arange(context_length, dtype=torch.float32)
    return positions[:, None] * frequencies  # (context_length, pairs)


def _slowed(frequencies: Tensor, scaling: RotaryScaling) -> Tensor:
    turns = scaling.original_context_length * frequencies / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)  # 1: the frequency stays, 0: it is divided by factor
    return kept * frequencies + (1 - kept) * frequencies / scaling.factor


def apply_rotary(
    x: Float[Tensor, "*axes tokens head_dim"],
    angles: Float[Tensor, "context_length pairs"],
    positions: Int[Tensor, "*rows tokens"] | None = None,
) -> Float[Tensor, "*axes tokens head_dim"]:
    """Turn the features of each token, pair by pair, by the angles of the token's position.

    Shapes: input and output (..., tokens, head_dim). positions is (tokens,), or (batch, tokens) for an x of
    (batch, heads, tokens, head_dim). Without it the tokens stand at 0, 1, 2 and so on. angles come from rotary_angles.

    Clauses:
        example      Where the angle is a quarter turn, the pair (1, 0) becomes (0, 1).
        halves       Feature i is paired with feature i + head_dim / 2.
        rotation     A pair (a, b) becomes (a cos - b sin, a sin + b cos), with the angle of its position and its pair.
        positions    With positions, token t gets the angles of positions[t]; without, those of t.
        distance     The dot product of a turned query and a turned key depends on the distance of their positions only.
        gradients    The gradient of x is that of this formula.

    Further clauses:
        each-row     positions of (batch, tokens) give each text of a batch positions of its own.
        dtype        The result has the dtype of x, with that dtype's precision.
        half         For an x in bfloat16 or float16, cosine and sine are taken of the angles in float32.
        too-long     Without positions, more tokens than angles has rows raise a ValueError that names both numbers.
        pure         A call does not change x.

    Source: Su et al. 2021, section 3.4.2.
    """
    tokens, context_length = x.shape[-2], len(angles)
    if positions is None:
        if tokens > context_length:
            raise ValueError(f"{tokens} tokens do not fit a context_length of {context_length}")
        positions = torch.arange(tokens, device=angles.device)
    # float16 and bfloat16 have too few digits for angles; float64 stays what it is.
    turns = angles[positions].to(torch.promote_types(x.dtype, torch.float32))  # (..., tokens, pairs)
    if positions.dim() == 2:
        turns = turns.unsqueeze(1)  # (batch, 1, tokens, pairs): the same for all heads
    cos, sin = turns.cos(), turns.sin()
    a, b = x.chunk(2, dim=-1)  # each (..., tokens, pairs)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)
