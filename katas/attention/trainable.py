"""Kata: trainable attention. The why, a figure and hints: docs/attention/trainable.md."""

from jaxtyping import Bool, Float
from torch import Tensor, nn


def scaled_dot_product_attention(
    queries: Float[Tensor, "*batch queries d_k"],
    keys: Float[Tensor, "*batch keys d_k"],
    values: Float[Tensor, "*batch keys d_v"],
    mask: Bool[Tensor, "..."] | Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch queries d_v"]:
    """Give each query the average of the values, weighted by how well their keys match it.

    Shapes: queries (queries, d_k), keys (keys, d_k), values (keys, d_v), output (queries, d_v).

    Clauses:
        example    With d_k 4, the query (2, 0, 0, 0) gives the keys (0, 0, 0, 0) and (ln 3, 0, 0, 0) the weights 1/4
                   and 3/4.
        formula    Without a mask, the result is softmax(queries @ keys.mT / sqrt(d_k)) @ values.
        gradients  The gradients of queries, keys and values are those of this formula.

    Further clauses:
        batch         Any axes may stand before the last two, the same in all three; each place gives what it gives
                      alone. So too for SelfAttention.
        boolean-mask  Where a boolean mask is True, the query of the row sees the key of the column; where it is False,
                      the weight is 0.
        float-mask    A floating mask is added to the scores, after the division.
        mask-shape    A mask is broadcast to (*batch, queries, keys). One that cannot be raises a ValueError that names
                      its shape.
        mask-dtype    A mask that is neither boolean nor floating raises a TypeError that names its dtype.
        all-masked    A query that sees no key, its row all False or all -inf, gets zeros, and gradients of 0, not nan.
        hidden        A hidden key has a weight of exactly 0, even if its score is the highest number of the dtype and
                      all visible scores are the lowest.
        extreme       Scores of 40 000 and -40 000 give neither nan nor inf, in result and gradients.
        dtype         The result has the dtype of the queries (or of x), with its precision, whatever the mask is.
        device        Tensors that a call creates are on the device of the queries, and no value of a tensor is asked
                      for, so it works on the meta device.
        pure          No argument is changed, and no call of SelfAttention changes the module.

    Not allowed: torch.nn.functional.scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward,
        flex_attention.
    Source: book section 3.4.1; Vaswani et al. 2017, section 3.2.1.
    """
    raise NotImplementedError


class SelfAttention(nn.Module):
    """Attention of every token of a sequence to all of them, with learned queries, keys and values.

    Shapes: input (tokens, d_in), output (tokens, d_out).

    Clauses:
        weights   W_query, W_key and W_value are nn.Linear(d_in, d_out, bias=qkv_bias).
        projects  The output and its gradients are those of scaled_dot_product_attention(W_query(x), W_key(x),
                  W_value(x)).

    Further clauses:
        seed  The layers are created in the order query, key, value, so a seed gives the book's numbers.

    Source: book sections 3.4.1 and 3.4.2, the class SelfAttention_v2.
    """

    def __init__(self, d_in: int, d_out: int, qkv_bias: bool = False) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "*batch tokens d_in"]) -> Float[Tensor, "*batch tokens d_out"]:
        raise NotImplementedError
