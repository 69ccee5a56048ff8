"""Kata: grouped-query attention. The why, a figure and hints: docs/modern/grouped_query.md."""

from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    """Causal attention in which several query heads share one head of keys and values, with rotation and a cache.

    Shapes: input (batch, tokens, d_in), output (batch, tokens, d_out). There are num_heads heads of queries and
    num_kv_heads of keys and values, with head_dim features each; a head_dim of None is d_out / num_heads. angles are
    those of rotary_angles(head_dim, context_length). Two names of earlier katas to import:

        from .rmsnorm import RMSNorm
        from .rope import apply_rotary

    A cache holds what one layer has computed of the text so far. cache.length is its number of tokens, and
    cache.append(keys, values), each (batch, num_kv_heads, tokens, head_dim), adds those of x and gives all keys and
    all values.

    Clauses:
        weights    W_query has num_heads * head_dim outputs, W_key and W_value num_kv_heads * head_dim, with bias if
                   qkv_bias; out_proj goes from num_heads * head_dim to d_out without bias.
        groups     Key-value head g serves the query heads g * groups to (g + 1) * groups - 1, where groups is
                   num_heads / num_kv_heads.
        formula    The output is out_proj of the joined heads, each softmax(queries @ keys.mT / sqrt(head_dim), with
                   future positions masked) @ values.
        gradients  The gradients of input and weights are those of this formula.
        rotation   With angles, queries and keys, not values, are rotated by apply_rotary before the scores.
        qk-norm    With qk_norm, query_norm and key_norm, each RMSNorm(head_dim), normalize every head of queries and
                   of keys before the rotation.
        cache      With a cache, new tokens begin at position cache.length, attend to all cached ones and causally to
                   each other: chunks give the output of the whole text.
        stored     The cache is given the rotated keys, and the values, of the tokens of x, once, with num_kv_heads
                   heads.
        visible    Which keys a query sees is what visible(query_positions, key_positions) gives, also in a subclass.

    Further clauses:
        indivisible  Query heads that num_kv_heads does not divide, or, without head_dim, a d_out that num_heads does
                     not divide, raise a ValueError that names both numbers.
        too-long     Tokens that end after context_length, cached ones counted, raise a ValueError that names their
                     number and context_length.
        dtype        float64 and bfloat16 inputs give outputs of the same dtype, with its precision.
        angles       The angles stay float32 when the module is moved to bfloat16.
        device       Moved to another device, the module works there.
        state-dict   The state dict has the parameters and nothing else.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: Ainslie et al. 2023; the query and key norm from Qwen3 (2025).
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        context_length: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int | None = None,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        angles: Float[Tensor, "context_length pairs"] | None = None,
    ) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch tokens d_in"], cache: Any = None) -> Float[Tensor, "batch tokens d_out"]:
        raise NotImplementedError

    def visible(
        self, query_positions: Int[Tensor, " queries"], key_positions: Int[Tensor, " keys"]
    ) -> Bool[Tensor, "queries keys"]:
        """Which keys each query sees: those at its own position and before it. A subclass may show others."""
        raise NotImplementedError
