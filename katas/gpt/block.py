"""Kata: the transformer block. The why, a figure and hints: docs/gpt/block.md."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from ..attention.multihead import MultiHeadAttention
from .config import GPTConfig


class TransformerBlock(nn.Module):
    """One layer of a GPT: attention, then a feedforward part, each behind a layer norm and beside a shortcut.

    Axes: batch, tokens, emb_dim features in and out. Any floating dtype. emb_dim, drop_rate and the other sizes are
    those of config. Two classes of earlier katas come with:

        from .feedforward import FeedForward
        from .layernorm import LayerNorm

    Clauses:
        parts        att is what attention gives, ff is FeedForward(emb_dim), norm1 and norm2 are LayerNorm(emb_dim),
                     drop_shortcut is nn.Dropout(drop_rate), made in that order, and there are no other parts.
        attention    attention, a class or any other function, is called once, with keywords only: d_in and d_out, both
                     emb_dim, context_length, dropout, which is drop_rate, num_heads, which is n_heads, and qkv_bias.
                     The module that it gives may be of any class.
        example      Where att gives (1, 2) and ff gives (10, 20), a token (100, 200) becomes (111, 222).
        attends      Where ff gives zeros, the output is x + att(norm1(x)).
        feeds        Where att gives zeros, the output is x + ff(norm2(x)).
        in-turn      The second half works on what the first one made: it is this that norm2 reads and that is added.
        pre-norm     The norms stand in the branches and nowhere else: a number that is added to all features of a token
                     comes out added to all features of that token, and does nothing else.
        past         The output at position t depends on the inputs at positions 0..t of its own sequence only.
        agrees       The output is that of PyTorch's transformer layer with the same parameters, norms first, the tanh
                     form of GELU and a causal mask.
        gradients    Input and parameters get the gradients of that formula; under torch.no_grad the output is the same.
        dropout      While training, drop_shortcut thins what att gives and what ff gives, before they are added: each
                     number is dropped with probability drop_rate, on its own and anew at each call, and the others are
                     divided by 1 - drop_rate.
        shortcut     What is added past att and ff is never dropped: where both give zeros, the output is the input.
        eval         In eval() nothing is dropped.
        pure         A call changes neither the input nor the module.
        dtype        The output has the dtype of input and parameters, with that dtype's precision.
        length       What att refuses is refused, with att's own error: of MultiHeadAttention a ValueError that names
                     the number of tokens and context_length. The block itself takes any number of tokens.

    Not allowed: TransformerEncoderLayer, TransformerDecoderLayer.
    Source: book sections 4.4 and 4.5; He et al. 2016; Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPTConfig, attention: Callable[..., nn.Module] = MultiHeadAttention) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch tokens emb_dim"]) -> Float[Tensor, "batch tokens emb_dim"]:
        raise NotImplementedError
