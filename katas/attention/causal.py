"""Kata: causal attention. The why, a figure and hints: docs/attention/causal.md."""

from jaxtyping import Float
from torch import Tensor, nn


class CausalAttention(nn.Module):
    """Self-attention in which each token attends to itself and to earlier tokens only.

    Shapes: input (batch, tokens, d_in), output (batch, tokens, d_out), tokens up to context_length.

    Clauses:
        weights     W_query, W_key and W_value are nn.Linear(d_in, d_out, bias=qkv_bias).
        example     With equal scores, the values 2, 4, 6 become 2, 3, 4: each token averages itself and the earlier
                    ones.
        causal      Changing a later token does not change the output of an earlier one.
        sum-to-one  The attention weights of each token sum to 1.
        formula     The output is softmax(queries @ keys.mT / sqrt(d_out), with future positions masked) @ values.
        gradients   The gradients of input and weights are those of this formula.
        dropout     In training mode nn.Dropout(dropout) is applied to the attention weights; in eval mode nothing is
                    dropped.
        buffer      The mask is not a parameter, and moves with the module to another device.

    Further clauses:
        state-dict  The mask is not saved in the state dict.
        too-long    More than context_length tokens raise a ValueError that names both numbers.
        extreme     Scores of 40 000 and -40 000 give neither nan nor inf, in output and gradients.
        hidden      A later token has a weight of exactly 0, even if its score is the highest number of the dtype and
                    all visible scores are the lowest.
        dtype       float64, bfloat16 and float16 inputs give outputs of the same dtype, with its precision.
        pure        A call changes neither the input nor the module.
        seed        The layers are created in the order query, key, value, so a seed gives the book's numbers.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: book section 3.5; Vaswani et al. 2017, section 3.2.3.
    """

    def __init__(self, d_in: int, d_out: int, context_length: int, dropout: float, qkv_bias: bool = False) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch tokens d_in"]) -> Float[Tensor, "batch tokens d_out"]:
        raise NotImplementedError
