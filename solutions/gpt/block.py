"""Kata: the transformer block. The why, a figure and hints: docs/gpt/block.md."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from ..attention.multihead import MultiHeadAttention
from .config import GPTConfig
from .feedforward import FeedForward
from .layernorm import LayerNorm


class TransformerBlock(nn.Module):
    """One layer of a GPT: attention, then a feedforward part, each after a layer norm and beside a shortcut.

    Shapes: input and output (batch, tokens, emb_dim). emb_dim, n_heads, drop_rate and the other sizes are those of
    config. Two classes of earlier katas to import:

        from .feedforward import FeedForward
        from .layernorm import LayerNorm

    Clauses:
        parts        The parameters are those of att, the attention, of ff, a FeedForward(emb_dim), and of norm1 and
                     norm2, each a LayerNorm(emb_dim).
        heads        att is MultiHeadAttention from emb_dim to emb_dim features, with n_heads heads and qkv_bias.
        example      If att gives (1, 2) and ff gives (10, 20), the token (100, 200) becomes (111, 222).
        formula      The output is h + ff(norm2(h)), where h is x + att(norm1(x)).
        gradients    The gradients of input and parameters are those of this formula.
        dropout      In training mode, each number that att and ff give is dropped with probability drop_rate, and the
                     others are divided by 1 - drop_rate.
        independent  Each number is dropped on its own: other tokens, features, texts, the other half and other calls
                     have draws of their own.
        shortcut     What is added past att and ff is never dropped: if both give zeros, the output is the input.
        eval         In eval mode nothing is dropped.

    Further clauses:
        attention      att is what the argument attention gives, called once with the keywords d_in, d_out,
                       context_length, dropout, num_heads and qkv_bias, whose values are those of config.
        any-attention  The module that attention gives may be of any class and take any number of tokens.
        seed           att is created before ff, so a seed gives the book's numbers.
        dtype          The output has the dtype of input and parameters, with that dtype's precision.
        pure           A call changes neither the input nor the module.

    Not allowed: TransformerEncoderLayer, TransformerDecoderLayer.
    Source: book sections 4.4 and 4.5; He et al. 2016; Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPTConfig, attention: Callable[..., nn.Module] = MultiHeadAttention) -> None:
        super().__init__()
        self.att = attention(
            d_in=config.emb_dim,
            d_out=config.emb_dim,
            context_length=config.context_length,
            dropout=config.drop_rate,
            num_heads=config.n_heads,
            qkv_bias=config.qkv_bias,
        )
        self.ff = FeedForward(config.emb_dim)
        self.norm1 = LayerNorm(config.emb_dim)
        self.norm2 = LayerNorm(config.emb_dim)
        self.drop_shortcut = nn.Dropout(config.drop_rate)

    def forward(self, x: Float[Tensor, "batch tokens emb_dim"]) -> Float[Tensor, "batch tokens emb_dim"]:
        x = x + self.drop_shortcut(self.att(self.norm1(x)))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))
