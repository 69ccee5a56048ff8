"""Kata: low-rank adapters. The why, a figure and hints: docs/finetuning/lora.md."""

from collections.abc import Collection, Mapping

from jaxtyping import Float
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, and beside it an update of its weight that learns: two thin matrices.

    Axes: any number of them, then in_features in; the same, then out_features out. Any floating dtype.
    Attributes: linear; the parameters A (rank, in_features) and B (out_features, rank); rank and alpha as given; and
    merged, whether the update is in the weight of linear now, False at first. Between merge() and unmerge() nobody
    changes A and B.

    Clauses:
        parts     linear is the very layer that was given. A and B are parameters with the device and the dtype of its
                  weight. The state dict has these two, and what linear has, and nothing else.
        init      A is drawn by nn.init.kaiming_uniform_ with a=sqrt(5), and nothing else is drawn; B is zeros.
        start     A new one computes what linear computes, bit for bit.
        formula   The output is linear(x) + alpha / rank · x Aᵀ Bᵀ, in the dtype of x and the parameters. x, A and B get
                  the gradients of that. x itself is not changed.
        low-rank  Whatever A and B hold, merging changes the weight by a matrix whose rank is at most rank.
        frozen    The weight and the bias of linear do not require gradients, and have none left: their grad is None.
        merge     merge() adds alpha / rank · B A to the weight of linear, in place, so that it is the same parameter as
                  before, and sets merged. Where merged is True already, it changes nothing.
        merged    A merged layer gives the same output within rounding, and linear alone computes it: A and B take no
                  part, and get no gradient.
        unmerge   unmerge() takes off what merge() added: the weight has its numbers again, within rounding, and A and B
                  take part. Where merged is False, it changes nothing.
        settings  A rank below 1, or above min(in_features, out_features), raises a ValueError with its value and that
                  bound; an alpha that is not above 0, one with the word alpha and its value. Then linear is not frozen.

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
    """Freeze a model, and let some of its linear layers learn again by a LoRALinear each, in place.

    Clauses:
        replaced  An nn.Linear within model becomes a LoRALinear(linear, rank, alpha) where its own name, the last part
                  of its dotted name, is one of targets. Every other module stays the same object in the same place.
        names     The result has the dotted names of all LoRALinears, in the order of model.named_modules(), in which
                  they are made too.
        learns    From now on A and B alone learn. No other parameter requires gradients, and none has one left, so that
                  all the others stay bit for bit, whatever an optimizer of model.parameters() does.
        shared    A linear that stands in several places is one layer: if any of its names fits, one LoRALinear replaces
                  it in all of them. The result has the first of its names.
        unknown   A target that is the own name of no nn.Linear raises a ValueError that names it, no target at all one
                  that says targets. A str in place of targets raises a TypeError.
        tied      If the weight of a layer to be replaced is also the weight of another module, as an output layer's may
                  be that of the token embedding, merging would change both: a ValueError names the layer.
        again     A model that has a LoRALinear already raises a ValueError with the dotted name of one.
        whole     What is refused, for these reasons or for rank and alpha as above, leaves the model as it was: its
                  modules, and what learns in it.
    """
    raise NotImplementedError


def merge_lora(model: nn.Module) -> None:
    """Turn every LoRALinear within a model back into the nn.Linear that it was made of, with its update, in place.

    Clauses:
        plain  Each place where a LoRALinear stands gets its linear back, the very layer, with the update in its weight,
               once, also if it was merged before. model.state_dict() has the names from before apply_lora, in order.
        same   The model computes the same within rounding. What was frozen stays frozen: no requires_grad changes.
    """
    raise NotImplementedError


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """All that the adapters of a model have learned, to be saved without the model.

    Clauses:
        adapter  The result has A and B of every LoRALinear and nothing else, under their names in model.state_dict();
                 those of a layer that stands in several places once, under the first.
        copies   They are detached copies: training on does not change them.
    """
    raise NotImplementedError


def load_lora_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the adapters of a model the numbers that lora_state_dict took from another, with rank and alpha like these.

    Clauses:
        restored  In a fresh model of the same base the adapter does what it did, bit for bit, also after a way through
                  a file of safetensors.
        filled    A and B are filled, not replaced: they stay the same parameters, with their dtype, and go on learning.
        differs   A name that is missing in state, and one that is in it and not in lora_state_dict(model), raise a
                  ValueError with the name. So does another shape, with the name, and both shapes as tuples.
        busy      A merged LoRALinear raises a ValueError with its dotted name: the old numbers are in its weight.
        kept      What is refused changes nothing.
    """
    raise NotImplementedError
