"""Kata: layer normalization. The why, a figure and hints: docs/gpt/layernorm.md."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Bring the features of each token to mean 0 and variance 1, then give each feature a learned scale and shift.

    Shapes: input and output (..., emb_dim), with any axes before emb_dim, such as batch and tokens.

    Clauses:
        parameters  scale, a parameter of emb_dim ones, and shift, one of emb_dim zeros, are all that is learned.
        example     With a fresh module, the features 1 and 3, whose mean is 2 and whose variance is 1, become -1 and 1.
        per-token   The output of a token depends on its own features only: not on other tokens, earlier calls or the
                    mode.
        biased      The variance is the sum of the squared deviations from the mean, divided by emb_dim, not by
                    emb_dim - 1.
        affine      Each normalized feature is multiplied by its own scale, then its own shift is added.
        eps         eps = 1e-5 is added to the variance before the square root is taken.
        formula     The output is (x - mean) / sqrt(variance + eps) * scale + shift.
        gradients   The gradients of x, scale and shift are those of this formula.

    Further clauses:
        axes        There may be any number of axes before emb_dim, and none.
        set-eps     eps is an attribute: a call uses the value that it has then.
        large-mean  Adding 10 000 to all features of a token does not change its output.
        constant    A token whose features are all equal becomes shift, with gradients that are not nan.
        dtype       The output has the dtype of input and parameters, with that dtype's precision.
        float16     In float16, features of 60 000 and -60 000 are normalized too, with finite gradients.
        width       An input whose last axis is not emb_dim raises a ValueError with both numbers.
        pure        A call changes neither the input nor the module.

    Not allowed: nn.LayerNorm, layer_norm, native_layer_norm, nn.RMSNorm, rms_norm, nn.GroupNorm, group_norm,
    native_group_norm, nn.InstanceNorm1d, instance_norm, nn.BatchNorm1d, batch_norm, native_batch_norm.
    Source: book section 4.2; Ba, Kiros and Hinton 2016, section 3.
    """

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Float[Tensor, "*axes emb_dim"]) -> Float[Tensor, "*axes emb_dim"]:
        if x.shape[-1] != len(self.scale):
            raise ValueError(f"an input of {x.shape[-1]} features does not fit an emb_dim of {len(self.scale)}")
        # float16 ends at 65 504, too early for squares; float64 stays what it is.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = wide.mean(dim=-1, keepdim=True)  # (..., 1)
        variance = (wide - mean).square().mean(dim=-1, keepdim=True)  # (..., 1)
        normed = (wide - mean) / torch.sqrt(variance + self.eps)
        return normed.to(self.scale.dtype) * self.scale + self.shift
