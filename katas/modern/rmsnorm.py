"""Kata: RMS normalization. The why, a figure and hints: docs/modern/rmsnorm.md."""

from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divide the features of each token by the root of their mean square, then give each feature a learned scale.

    Shapes: input and output (..., emb_dim), with any axes before emb_dim, such as batch and tokens.

    Clauses:
        parameters  weight, a parameter of emb_dim ones, is all that is learned: there is no shift.
        example     With a fresh module, the features 1 and 7, whose mean square is 25, become 0.2 and 1.4.
        per-token   The output of a token depends on its own features only, not on other tokens.
        weight      Each normalized feature is multiplied by its own number of weight.
        eps         eps, 1e-6 unless it is given, is added to the mean square before the square root is taken.
        formula     The output is x / sqrt(mean(x ** 2) + eps) * weight.
        gradients   The gradients of x and weight are those of this formula.

    Further clauses:
        axes        There may be any number of axes before emb_dim, and none.
        zeros       A token of zeros stays zeros, with finite gradients.
        dtype       The output has the dtype of input and parameters, with that dtype's precision.
        float32     float16 and bfloat16 features become float32 before they are squared: 60 000 in float16 is no
                    problem.
        cast        The normalized features return to the dtype of x before weight multiplies them, as in Llama.
        width       An input whose last axis is not emb_dim raises a ValueError with both numbers.
        pure        A call changes neither the input nor the module.

    Not allowed: nn.RMSNorm, rms_norm, nn.LayerNorm, layer_norm, native_layer_norm.
    Source: Zhang and Sennrich 2019, section 4; Touvron et al. 2023 (Llama), section 2.2.
    """

    def __init__(self, emb_dim: int, eps: float = 1e-6) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "*axes emb_dim"]) -> Float[Tensor, "*axes emb_dim"]:
        raise NotImplementedError
