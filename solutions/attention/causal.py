"""Kata: causal attention. The why, a figure and hints: docs/attention/causal.md."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CausalAttention(nn.Module):
    """Self-attention in which a token sees itself and its past, never its future.

    Axes: batch, tokens (1 to context_length), d_in features in, d_out features out. Any floating dtype.

    Clauses:
        weights    W_query, W_key and W_value are nn.Linear(d_in, d_out, bias=qkv_bias), made in that order.
        average    Tokens without a preference average their past: values 2, 4, 6 become 2, 3, 4.
        past       The output at position t depends on the inputs at positions 0..t only, however large later ones are.
        convex     The attention weights of a position sum to 1.
        rows       Each sequence of a batch comes out as it would alone.
        agrees     The output is softmax(queries keysᵀ / sqrt(d_out), future hidden) values.
        gradients  Input and parameters get the gradients of that formula.
        pure       A call changes neither the input nor the module.
        dropout    While training, each attention weight is dropped with probability dropout, on its own and anew at
                   each call, and the others are divided by 1 - dropout.
        eval       In eval() nothing is dropped.
        dtype      The output has the dtype of input and parameters, with that dtype's precision.
        finite     Scores of 40 000 and of -40 000 give no nan and no inf, in output and gradients.
        length     More tokens than context_length raise a ValueError that names both numbers, before any projection.
        mask       The mask is no parameter, is not in the state dict, and moves with the module.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: book section 3.5; Vaswani et al. 2017, section 3.2.3.
    """

    _future: Tensor

    def __init__(self, d_in: int, d_out: int, context_length: int, dropout: float, qkv_bias: bool = False) -> None:
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.dropout = nn.Dropout(dropout)
        future = torch.ones(context_length, context_length, dtype=torch.bool).triu(diagonal=1)
        # A buffer moves with the module; what can be derived need not be saved.
        self.register_buffer("_future", future, persistent=False)

    def forward(self, x: Float[Tensor, "batch tokens d_in"]) -> Float[Tensor, "batch tokens d_out"]:
        tokens, context_length = x.shape[1], len(self._future)
        if tokens > context_length:
            raise ValueError(f"{tokens} tokens do not fit a context_length of {context_length}")
        queries, keys, values = self.W_query(x), self.W_key(x), self.W_value(x)  # (batch, tokens, d_out)
        scores = queries @ keys.mT / keys.shape[-1] ** 0.5  # (batch, tokens, tokens): a row asks, a column answers
        # Hide before the softmax: exp(-inf) is 0, and the row shares its whole weight among its own past.
        scores = scores.masked_fill(self._future[:tokens, :tokens], -torch.inf)
        weights = scores.softmax(dim=-1)
        return self.dropout(weights) @ values  # (batch, tokens, d_out)
