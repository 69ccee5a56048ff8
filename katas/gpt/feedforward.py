"""Kata: the feedforward part. The why, a figure and hints: docs/gpt/feedforward.md."""

from jaxtyping import Float
from torch import Tensor, nn


class GELU(nn.Module):
    """Let large numbers through, hold back those below 0, bend smoothly in between: the form with tanh, as in GPT-2.

    Axes: any number of them, none too. Any floating dtype.

    Clauses:
        formula     x becomes 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³))): 0 stays 0, 1 becomes 0.8412, and -1
                    becomes -0.1588.
        each        Each number comes out as it would alone, and the axes stay as they are.
        slopes      x gets the gradient of that formula, for numbers below 0 too.
        tails       Numbers from 300 to 60 000 stay what they are and their opposites become 0, with gradients 1 and 0,
                    also in float16, where the square of 300 is inf.
        gelu-dtype  The result has the dtype of x, with that dtype's precision.
        gelu-pure   A call changes neither x nor the module, which has no parameters.

    Not allowed: nn.GELU, gelu.
    Source: book section 4.3; Hendrycks and Gimpel 2016, section 2.
    """

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        raise NotImplementedError


class FeedForward(nn.Module):
    """Work on each token by itself: to four times as many features, through GELU, and back to as many as before.

    Axes: any before emb_dim, such as batch and tokens; emb_dim features in and out. Any floating dtype.

    Clauses:
        layers     The parameters are layers.0.weight, (4 * emb_dim, emb_dim), layers.0.bias, layers.2.weight, (emb_dim,
                   4 * emb_dim), and layers.2.bias. Nothing else is learned or saved, for layers.1 is a GELU.
        made       They hold the numbers of two nn.Linear, made in that order after the same seed.
        output     The output is layers.2 of GELU of layers.0 of x, in train() as in eval().
        token      The output of a token depends on no other token.
        axes       There may be any number of axes before emb_dim, none too, of any size, and emb_dim may be 1. A
                   transposed or thinned view is as good as a copy.
        gradients  Input and parameters get the gradients of the output's formula.
        dtype      The output has the dtype of input and parameters, with that dtype's precision.
        pure       A call changes neither the input nor the module.

    Source: book section 4.3; Vaswani et al. 2017, section 3.3.
    """

    def __init__(self, emb_dim: int) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "*axes emb_dim"]) -> Float[Tensor, "*axes emb_dim"]:
        raise NotImplementedError
