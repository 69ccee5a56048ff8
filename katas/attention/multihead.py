"""Kata: multi-head attention. The why, a figure and hints: docs/attention/multihead.md."""

from jaxtyping import Float
from torch import Tensor, nn


class MultiHeadAttentionWrapper(nn.Module):
    """Several causal attentions side by side, with their outputs concatenated.

    Shapes: input (batch, tokens, d_in), output (batch, tokens, num_heads * d_out), tokens up to context_length.

    Clauses:
        heads   heads is an nn.ModuleList of num_heads separate CausalAttention(d_in, d_out, context_length, dropout,
                qkv_bias).
        joined  The outputs of the heads are concatenated in their order: (1, 2) and (3, 4) become (1, 2, 3, 4).

    Source: book section 3.6.1.
    """

    def __init__(
        self, d_in: int, d_out: int, context_length: int, dropout: float, num_heads: int, qkv_bias: bool = False
    ) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch tokens d_in"]) -> Float[Tensor, "batch tokens width"]:
        raise NotImplementedError


class MultiHeadAttention(nn.Module):
    """The same with one projection for all heads, which is split into heads, and with a last layer that mixes them.

    Shapes: input (batch, tokens, d_in), output (batch, tokens, d_out), tokens up to context_length. Each head has
    head_dim = d_out / num_heads features.

    Clauses:
        weights    W_query, W_key and W_value are nn.Linear(d_in, d_out, bias=qkv_bias), and out_proj is
                   nn.Linear(d_out, d_out) with a bias.
        split      Head h uses the rows h * head_dim to (h + 1) * head_dim - 1 of W_query, W_key and W_value, and its
                   result has the same place.
        causal     Changing a later token does not change the output of an earlier one.
        formula    The output is out_proj of the joined heads, each softmax(queries @ keys.mT / sqrt(head_dim), with
                   future positions masked) @ values.
        gradients  The gradients of input and weights are those of this formula.
        dropout    In training mode nn.Dropout(dropout) is applied to the attention weights of each head; in eval mode
                   nothing is dropped.
        buffer     The mask is not a parameter, and moves with the module to another device.

    Further clauses:
        indivisible  A num_heads that is below 1 or does not divide d_out raises a ValueError that names both numbers.
        state-dict   The mask is not saved in the state dict.
        too-long     More than context_length tokens raise a ValueError that names both numbers.
        extreme      Scores of 40 000 and -40 000 give neither nan nor inf, in output and gradients.
        hidden       A later token has a weight of exactly 0, even if its score is the highest number of the dtype and
                     all visible scores are the lowest.
        dtype        float64, bfloat16 and float16 inputs give outputs of the same dtype, with its precision.
        pure         A call changes neither the input nor the module.
        seed         The layers are created in the order query, key, value, out_proj, so a seed gives the book's
                     numbers.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: book section 3.6.2; Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(
        self, d_in: int, d_out: int, context_length: int, dropout: float, num_heads: int, qkv_bias: bool = False
    ) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch tokens d_in"]) -> Float[Tensor, "batch tokens d_out"]:
        raise NotImplementedError
