"""Kata: low-rank adapters. The why, a figure and hints: docs/finetuning/lora.md."""

from collections.abc import Collection, Mapping

from jaxtyping import Float
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A frozen linear layer with a trainable update of low rank: W + alpha / rank * B A.

    Shapes: x (*axes, in_features), output (*axes, out_features). merged says whether the update is in the weight now.

    Clauses:
        parts      linear is the layer that was given. A, of shape (rank, in_features), and B, of shape
                   (out_features, rank), are parameters of the module itself.
        start      B starts at zero and A does not, so a new layer computes what linear computes.
        formula    The output is linear(x) + alpha / rank * x @ A.mT @ B.mT.
        gradients  The gradients of x, A and B are those of this formula.
        frozen     The weight and the bias of linear do not require gradients.
        merge      merge() adds alpha / rank * B @ A to the weight of linear and sets merged to True. From then on the
                   output is that of linear alone.

    Further clauses:
        initial-a     A is drawn by nn.init.kaiming_uniform_ with a=sqrt(5), as nn.Linear draws its weight, and nothing
                      else is drawn.
        dtype-device  A and B have the dtype and the device of the weight of linear.
        in-place      merge() changes the weight in place: linear.weight stays the same parameter.
        unmerge       unmerge() subtracts what merge() added and sets merged to False. The layer computes as before.
        merge-once    merge() on a merged layer, and unmerge() on a layer that is not merged, change nothing.
        settings      A rank below 1 or above min(in_features, out_features), and an alpha that is not above 0, raise a
                      ValueError with the argument and its value.

    Not allowed: peft, loralib.
    Source: Hu et al. 2021, section 4.1; book appendix E.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "*axes in_features"]) -> Float[Tensor, "*axes out_features"]:
        raise NotImplementedError

    def merge(self) -> None:
        raise NotImplementedError

    def unmerge(self) -> None:
        raise NotImplementedError


def apply_lora(model: nn.Module, rank: int, alpha: float, targets: Collection[str]) -> list[str]:
    """Freeze a model and replace some of its linear layers by LoRALinears, in place.

    Clauses:
        replaced  Each nn.Linear whose own name, the last part of its dotted name, is in targets becomes a
                  LoRALinear(linear, rank, alpha). The result lists their dotted names.
        learns    Afterwards A and B are the only parameters of the model that require gradients.

    Further clauses:
        old-gradients  No frozen parameter keeps a gradient from before, with which an optimizer would still move it.
        shared         A linear that the model holds in several places becomes one LoRALinear, in all of them.
        unknown        A target that is the own name of no nn.Linear raises a ValueError with this target.
    """
    raise NotImplementedError


def merge_lora(model: nn.Module) -> None:
    """Put the update of every LoRALinear into its linear, and the linear back into its place.

    Further clauses:
        merged-model  The model consists of the modules from before apply_lora and computes the same as with its
                      LoRALinears, those that were merged before among them.
    """
    raise NotImplementedError


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """What the adapters of a model have learned, to be saved without the model.

    Clauses:
        adapter  The result has A and B of every LoRALinear, under their names in model.state_dict(), and nothing else.

    Further clauses:
        copies  The tensors are detached copies: further training does not change them.
    """
    raise NotImplementedError


def load_lora_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill the adapters of a model with what lora_state_dict took from another, made with the same rank and alpha.

    Clauses:
        restored  A fresh model with the same base and the same targets then computes what the other one computed.

    Further clauses:
        mismatch  A name that only the model or only state has, and a tensor of another shape, raise a ValueError with
                  the name.
    """
    raise NotImplementedError
