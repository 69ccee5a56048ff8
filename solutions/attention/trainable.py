"""Kata: trainable attention. The why, a figure and hints: docs/attention/trainable.md."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def scaled_dot_product_attention(
    queries: Float[Tensor, "*batch queries d_k"],
    keys: Float[Tensor, "*batch keys d_k"],
    values: Float[Tensor, "*batch keys d_v"],
    mask: Bool[Tensor, "..."] | Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch queries d_v"]:
    """Give each query the mean of the values, weighted by how well their keys answer it.

    Axes: any number before the last two, the same in all three; as many values as keys; d_v need not be d_k.
    Queries, keys and values have one floating dtype. A score is a dot product, divided.

    Clauses:
        example    With d_k 4, the query (2, 0, 0, 0) meets the keys (0, 0, 0, 0) and (ln 3, 0, 0, 0), gives their
                   values 4 and 8 the weights 1/4 and 3/4, and gets 7.
        agrees     Without a mask the result is softmax(queries keysᵀ / sqrt(d_k)) values, each softmax over the keys.
        seen       Where a boolean mask is True, the query of the row may see the key of the column; where it is False,
                   the weight is exactly 0, however large the score.
        added      A floating mask, of any floating dtype, is added to the scores, after the division.
        fits       A mask is broadcast to (*batch, queries, keys); one that cannot be raises a ValueError that names
                   its shape and that one.
        kind       A mask that is neither boolean nor floating raises a TypeError that names its dtype.
        blind      A query that may see nothing, its row all False or all -inf, gets zeros; the gradients that come
                   from it are 0, and not nan.
        gradients  Queries, keys, values and a floating mask get the gradients of the formula.
        finite     Scores of 40 000 and of -40 000 give no nan and no inf, in result and gradients.
        dtype      The result has the dtype of queries, with that dtype's precision, whatever the mask is.
        device     Everything happens on the device of the arguments, also on meta, where tensors have no values.
        pure       No argument is changed.

    Not allowed: torch.nn.functional.scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward,
        flex_attention.
    Source: book section 3.4.1; Vaswani et al. 2017, section 3.2.1.
    """
    scores = queries @ keys.mT / keys.shape[-1] ** 0.5  # (*batch, queries, keys): a row asks, a column answers
    if mask is not None:
        scores = _masked(scores, mask)
    # exp(-inf) is 0, and a row of nothing else would divide 0 by 0: it gets a softmax of zeros, and then no weight.
    blind = (scores == -torch.inf).all(dim=-1, keepdim=True)  # (*batch, queries, 1)
    weights = scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return weights @ values  # (*batch, queries, d_v)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """The scores with -inf where a boolean mask is False, or with a floating mask added."""
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise TypeError(f"a mask is boolean or floating, and this one is {mask.dtype}")
    try:
        mask = mask.expand(scores.shape)  # spreads the mask, and never the scores
    except RuntimeError:
        shapes = f"{[*mask.shape]} cannot be broadcast to {[*scores.shape]}"
        raise ValueError(f"a mask of shape {shapes}, (*batch, queries, keys)") from None
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, -torch.inf)
    return scores + mask.to(scores.dtype)


class SelfAttention(nn.Module):
    """Let every token of a sequence ask all of them, with learned queries, keys and values.

    Axes: any number, then tokens, d_in features in, d_out features out. Any floating dtype.

    Clauses:
        weights     W_query, W_key and W_value are nn.Linear(d_in, d_out, bias=qkv_bias), made in that order.
        projects    The output is scaled_dot_product_attention(W_query(x), W_key(x), W_value(x)), in values and
                    gradients.
        all         Every token sees all tokens of its sequence, later ones too, and none of another sequence.
        reorder     Reordering the tokens reorders the output in the same way, and changes nothing else.
        self-dtype  The output has the dtype of input and parameters, with that dtype's precision.
        self-pure   A call changes neither the input nor the module.

    Source: book sections 3.4.1 and 3.4.2, the class SelfAttention_v2.
    """

    def __init__(self, d_in: int, d_out: int, qkv_bias: bool = False) -> None:
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)

    def forward(self, x: Float[Tensor, "*batch tokens d_in"]) -> Float[Tensor, "*batch tokens d_out"]:
        return scaled_dot_product_attention(self.W_query(x), self.W_key(x), self.W_value(x))
