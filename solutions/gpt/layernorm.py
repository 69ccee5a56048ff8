"""Kata: layer normalization. The why, a figure and hints: docs/gpt/layernorm.md."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Bring the features of each token to mean 0 and variance 1, then give each feature a learned scale and shift.

    Axes: any before emb_dim, such as batch and tokens; emb_dim features in and out. Any floating dtype.

    Clauses:
        parameters  scale, emb_dim ones, and shift, emb_dim zeros, in that order, are all that is learned or saved.
        example     With them, features 1 and 3, of mean 2 and variance 1, become -1 and 1.
        token       Each token comes out as it would alone, in train() as in eval().
        axes        There may be any number of axes before emb_dim, none too, of any size, and emb_dim may be 1.
        biased      The variance of a token is the mean of the squared deviations from its mean: their sum is divided by
                    emb_dim, not by emb_dim - 1.
        invariant   Adding one number to all features of a token, be it 10 000, changes no output. Nor does multiplying
                    them all by one positive number, as long as the variance stays far above eps.
        affine      Each normalised feature is multiplied by its own scale, and its own shift is added to the product.
        eps         The attribute eps, which is 1e-5 until it is set to another number, is added to the variance before
                    the square root is taken.
        constant    A token whose features are all equal becomes shift, and no gradient is nan.
        agrees      The output is (x - mean) / sqrt(variance + eps) * scale + shift.
        gradients   x, scale and shift get the gradients of that formula: mean and variance hang on x as well.
        dtype       The output has the dtype of input and parameters, with that dtype's precision.
        half        In float16, where the square of 300 is inf, features of 60 000 and of -60 000 are normalised too,
                    and their gradients are finite.
        width       An input that does not end in emb_dim features raises a ValueError that names the size of its last
                    axis and emb_dim.
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
        if x.shape[-1:] != self.scale.shape:
            raise ValueError(f"an input of shape {tuple(x.shape)} does not end in an emb_dim of {len(self.scale)}")
        # What is narrower than float32 has no room for squares, and is computed in float32.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = wide - wide.mean(dim=-1, keepdim=True)  # (*axes, emb_dim)
        # The sum of squares as a dot product: measured, it is the fastest of the clear ways, forward and backward.
        variance = torch.linalg.vecdot(centred, centred).unsqueeze(-1) / x.shape[-1]  # (*axes, 1)
        normed = centred * torch.rsqrt(variance + self.eps)
        return normed.to(self.scale.dtype) * self.scale + self.shift
