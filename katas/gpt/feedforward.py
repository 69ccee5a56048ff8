"""Kata: the feedforward part. The why, a figure and hints: docs/gpt/feedforward.md."""

from jaxtyping import Float
from torch import Tensor, nn


class GELU(nn.Module):
    """Keep large numbers, bring those far below 0 to 0, and bend smoothly in between, as GPT-2 does.

    Shapes: input and output (...), any axes.

    Clauses:
        gelu   x becomes 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))): 0 stays 0, 1 becomes 0.8412 and -1 becomes
               -0.1588.
        slope  The gradient of x is the slope of this curve, also below 0.

    Further clauses:
        extreme     Numbers from 300 to 60 000 keep their values, and their opposites become 0, with gradients 1 and 0,
                    also in float16.
        gelu-dtype  The result has the dtype of x, with that dtype's precision.
        gelu-pure   A call does not change x, and the module has nothing to learn or to save.

    Not allowed: nn.GELU, gelu.
    Source: book section 4.3; Hendrycks and Gimpel 2016, section 2.
    """

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        raise NotImplementedError


class FeedForward(nn.Module):
    """Work on each token by itself: to four times as many features, through GELU, and back to as many as before.

    Shapes: input and output (..., emb_dim), with any axes before emb_dim, such as batch and tokens.

    Clauses:
        layers     The parameters are layers.0.weight (4 * emb_dim, emb_dim), layers.0.bias, layers.2.weight
                   (emb_dim, 4 * emb_dim) and layers.2.bias, those of two linear layers.
        output     The output is layers.2 of GELU of layers.0 of x, in training and in eval mode.
        gradients  A backward pass gives gradients to the input and to all four parameters.

    Further clauses:
        seed   The two layers are created as nn.Linear in this order, so a seed gives the book's numbers.
        axes   There may be any number of axes before emb_dim, and none; a view is as good as a copy.
        dtype  The output has the dtype of input and parameters, with that dtype's precision.
        pure   A call changes neither the input nor the module.

    Source: book section 4.3; Vaswani et al. 2017, section 3.3.
    """

    def __init__(self, emb_dim: int) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "*axes emb_dim"]) -> Float[Tensor, "*axes emb_dim"]:
        raise NotImplementedError
