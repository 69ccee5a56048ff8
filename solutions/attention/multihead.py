"""Kata: multi-head attention. The why, a figure and hints: docs/attention/multihead.md."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .causal import CausalAttention


class MultiHeadAttentionWrapper(nn.Module):
    """Several causal attentions side by side, each with weights of its own, and their outputs joined.

    Axes: batch, tokens (1 to context_length), d_in features in, num_heads * d_out features out. Any floating dtype.
    The class of the kata before comes with: from .causal import CausalAttention

    Clauses:
        heads   heads is an nn.ModuleList of num_heads CausalAttention(d_in, d_out, context_length, dropout, qkv_bias),
                made one after the other, and nothing else is saved.
        joined  The outputs of the heads stand side by side in their order: (1, 2) and (3, 4) become (1, 2, 3, 4).
        apart   Every head reads all of the input, and its weights touch its own d_out features of the output alone.

    Source: book section 3.6.1.
    """

    def __init__(
        self, d_in: int, d_out: int, context_length: int, dropout: float, num_heads: int, qkv_bias: bool = False
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            [CausalAttention(d_in, d_out, context_length, dropout, qkv_bias) for _ in range(num_heads)]
        )

    def forward(self, x: Float[Tensor, "batch tokens d_in"]) -> Float[Tensor, "batch tokens width"]:
        return torch.cat([head(x) for head in self.heads], dim=-1)  # (batch, tokens, num_heads * d_out)


class MultiHeadAttention(nn.Module):
    """The same in one piece: one projection serves all heads, each head works on its slice, and a last layer mixes.

    Axes: batch, tokens (1 to context_length), d_in features in, d_out features out. Any floating dtype. The heads share
    d_out: each has head_dim = d_out / num_heads features.

    Clauses:
        weights    W_query, W_key and W_value are nn.Linear(d_in, d_out, bias=qkv_bias), out_proj is
                   nn.Linear(d_out, d_out) with a bias, made in that order, and nothing else is learned.
        divides    A num_heads that is below 1 or does not divide d_out raises a ValueError that names both numbers.
        example    Two heads of one feature, out_proj the identity: where head 0 averages its past and head 1 looks at
                   the first token alone, values (2, 20), (4, 40), (6, 60) become (2, 20), (3, 20), (4, 20).
        slices     Head h is made by the rows h * head_dim to (h + 1) * head_dim - 1 of W_query, W_key and W_value, and
                   by no others; what it gives is the same features of the joined heads.
        scale      The scores of a head are divided by sqrt(head_dim).
        projected  The output is out_proj of the joined heads.
        alike      With out_proj the identity, the output is that of a MultiHeadAttentionWrapper whose heads, head_dim
                   wide, have these rows; with one head it is out_proj of what CausalAttention gives.
        past       The output at position t depends on the inputs at positions 0..t only, however large later ones are.
        rows       Each sequence of a batch comes out as it would alone.
        agrees     The output is that of PyTorch's multi-head attention with the same weights and a causal mask: each
                   head gives softmax(queries keysᵀ / sqrt(head_dim), future hidden) values.
        gradients  Input and parameters get the gradients of that formula; under torch.no_grad the output is the same.
        pure       A call changes neither the input nor the module.
        dropout    While training, each attention weight of each head is dropped with probability dropout, on its own
                   and anew at each call, and the others are divided by 1 - dropout; in eval() nothing is dropped.
        dtype      The output has the dtype of input and parameters, with that dtype's precision.
        finite     Scores of 40 000 and of -40 000 give no nan and no inf, in output and gradients.
        length     More tokens than context_length raise a ValueError that names both numbers, before any projection.
        mask       The mask is no parameter, is not in the state dict, and moves with the module.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: book section 3.6.2; Vaswani et al. 2017, section 3.2.2.
    """

    _future: Tensor

    def __init__(
        self, d_in: int, d_out: int, context_length: int, dropout: float, num_heads: int, qkv_bias: bool = False
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_out % num_heads != 0:
            raise ValueError(f"a d_out of {d_out} cannot be shared by {num_heads} heads")
        self._num_heads = num_heads
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)
        self.dropout = nn.Dropout(dropout)
        future = torch.ones(context_length, context_length, dtype=torch.bool).triu(diagonal=1)
        # A buffer moves with the module; what can be derived need not be saved.
        self.register_buffer("_future", future, persistent=False)

    def forward(self, x: Float[Tensor, "batch tokens d_in"]) -> Float[Tensor, "batch tokens d_out"]:
        tokens, context_length = x.shape[1], len(self._future)
        if tokens > context_length:
            raise ValueError(f"{tokens} tokens do not fit a context_length of {context_length}")
        queries, keys, values = self._cut(self.W_query(x)), self._cut(self.W_key(x)), self._cut(self.W_value(x))
        # Squares cost the most: the queries are divided in their place, and what is hidden is overwritten.
        scores = queries / keys.shape[-1] ** 0.5 @ keys.mT  # (batch, heads, tokens, tokens): a square for each head
        scores = scores.masked_fill_(self._future[:tokens, :tokens], -torch.inf)
        weights = scores.softmax(dim=-1)
        mixed = self.dropout(weights) @ values  # (batch, heads, tokens, head_dim)
        joined = mixed.transpose(1, 2).flatten(2)  # (batch, tokens, d_out): each token's heads side by side again
        return self.out_proj(joined)

    def _cut(self, x: Tensor) -> Tensor:
        # Only a token's own features are cut; the heads then move in front of the tokens, to be a batch of their own.
        batch, tokens, d_out = x.shape
        cut = x.reshape(batch, tokens, self._num_heads, d_out // self._num_heads)
        return cut.transpose(1, 2)  # (batch, heads, tokens, head_dim)
