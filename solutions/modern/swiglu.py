"""Kata: the gated feedforward part. The why, a figure and hints: docs/modern/swiglu.md."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu


class SwiGLU(nn.Module):
    """Work on each token by itself: one layer makes hidden features, a second one says how much of each passes.

    Shapes: input and output (..., emb_dim), with any axes before emb_dim, such as batch and tokens.

    Clauses:
        layers     gate_proj and up_proj are linear layers from emb_dim to hidden_dim, down_proj is one from hidden_dim
                   to emb_dim. None has a bias.
        example    With one feature and the weights gate 1, up 3 and down 1, the input 1 becomes silu(1) * 3 = 2.1932.
        gate       silu, which is x * sigmoid(x), acts on what gate_proj gives; what up_proj gives stays linear.
        formula    The output is down_proj(silu(gate_proj(x)) * up_proj(x)).
        gradients  The gradients of x and of the three weights are those of this formula.

    Further clauses:
        axes       There may be any number of axes before emb_dim, and none; a view is as good as a copy.
        extreme    A gate of 1 000 or -1 000 passes all or nothing, with finite gradients.
        dtype      The output has the dtype of input and parameters, with that dtype's precision.
        pure       A call changes neither the input nor the module.

    Source: Shazeer 2020, section 2; Touvron et al. 2023 (Llama), section 2.2.
    """

    def __init__(self, emb_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(emb_dim, hidden_dim, bias=False)
        self.up_proj = nn.Linear(emb_dim, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, emb_dim, bias=False)

    def forward(self, x: Float[Tensor, "*axes emb_dim"]) -> Float[Tensor, "*axes emb_dim"]:
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
