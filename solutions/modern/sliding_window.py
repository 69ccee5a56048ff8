"""Kata: sliding-window attention. The why, a figure and hints: docs/modern/sliding_window.md."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .grouped_query import GroupedQueryAttention


def sliding_window_mask(
    query_positions: Int[Tensor, " queries"], key_positions: Int[Tensor, " keys"], window: int
) -> Bool[Tensor, "queries keys"]:
    """Which keys each query sees: True for its own token and the window - 1 tokens before it.

    Clauses:
        example    With a window of 3 the token at position 4 sees positions 2, 3 and 4.
        itself     A token sees itself and no later token, whatever the window is.
        window     It sees the key at position p if p > its own position - window.
        positions  The positions are compared, not the places in the two lists: query_positions may begin after 0, and
                   there may be more keys than queries.

    Further clauses:
        refused    A window below 1 raises a ValueError with its value.

    Source: Child et al. 2019; Jiang et al. 2023 (Mistral 7B), section 2.
    """
    if window < 1:
        raise ValueError(f"a window must have at least 1 token, not {window}")
    distances = query_positions[:, None] - key_positions  # (queries, keys)
    return (distances >= 0) & (distances < window)


class SlidingWindowAttention(GroupedQueryAttention):
    """GroupedQueryAttention in which a token attends to itself and the window - 1 tokens before it.

    Shapes: input (batch, tokens, d_in), output (batch, tokens, d_out). A class of an earlier kata to import:

        from .grouped_query import GroupedQueryAttention

    Clauses:
        attention  The output is that of GroupedQueryAttention with the same weights, of which the scores outside of the
                   window are masked.
        chunks     With a cache, a text read in chunks gives the output of the whole text.
        wide       A window of context_length or more gives GroupedQueryAttention's output.

    Further clauses:
        keywords   head_dim, qkv_bias, qk_norm and angles are handed on to GroupedQueryAttention.
        no-window  A window below 1 raises a ValueError with its value when the module is made.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: Jiang et al. 2023 (Mistral 7B), section 2.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        context_length: int,
        num_heads: int,
        num_kv_heads: int,
        window: int,
        head_dim: int | None = None,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        angles: Float[Tensor, "context_length pairs"] | None = None,
    ) -> None:
        if window < 1:
            raise ValueError(f"a window must have at least 1 token, not {window}")
        super().__init__(d_in, d_out, context_length, num_heads, num_kv_heads, head_dim, qkv_bias, qk_norm, angles)
        self._window = window

    def visible(
        self, query_positions: Int[Tensor, " queries"], key_positions: Int[Tensor, " keys"]
    ) -> Bool[Tensor, "queries keys"]:
        """Which keys each query sees: those of sliding_window_mask."""
        return sliding_window_mask(query_positions, key_positions, self._window)
