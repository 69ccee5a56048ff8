"""Kata: low-rank adapters. The why, a figure and hints: docs/finetuning/lora.md."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
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
        super().__init__()
        _refuse_settings(linear, rank, alpha)
        _freeze(linear.parameters())
        self.linear, self.rank, self.alpha = linear, rank, alpha
        self.A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.merged = False

    def forward(self, x: Float[Tensor, "*axes in_features"]) -> Float[Tensor, "*axes out_features"]:
        output = self.linear(x)
        if self.merged:
            return output
        # Through the narrow middle, and not by B A: that would be as large as the weight itself.
        return output + self.alpha / self.rank * (x @ self.A.mT @ self.B.mT)  # (*axes, rank), (*axes, out_features)

    def merge(self) -> None:
        if not self.merged:
            self._add_to_weight(self.alpha / self.rank)
            self.merged = True

    def unmerge(self) -> None:
        if self.merged:
            self._add_to_weight(-self.alpha / self.rank)
            self.merged = False

    @torch.no_grad()
    def _add_to_weight(self, factor: float) -> None:
        self.linear.weight.add_(factor * (self.B @ self.A))


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
    if isinstance(targets, str):
        raise TypeError(f"targets are several names, and not the str {targets!r}")
    if not targets:
        raise ValueError("there are no targets")
    called: dict[str, set[nn.Module]] = {target: set() for target in targets}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, LoRALinear):
            raise ValueError(f"{name} is a LoRALinear already")
        own_name = name.rpartition(".")[2]
        if isinstance(module, nn.Linear) and own_name in called:
            called[own_name].add(module)
    for target, found in called.items():
        if not found:
            raise ValueError(f"no nn.Linear of the model is called {target!r}")
    wanted = set().union(*called.values())
    chosen = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear) and one in wanted}
    users = Counter(id(one) for module in model.modules() for one in module.parameters(recurse=False))
    for name, linear in chosen.items():
        _refuse_settings(linear, rank, alpha)
        if users[id(linear.weight)] > 1:
            raise ValueError(f"the weight of {name} is also that of another module: merging would change both")

    _freeze(model.parameters())
    _replace(model, {linear: LoRALinear(linear, rank, alpha) for linear in chosen.values()})
    return list(chosen)


def merge_lora(model: nn.Module) -> None:
    """Turn every LoRALinear within a model back into the nn.Linear that it was made of, with its update, in place.

    Clauses:
        plain  Each place where a LoRALinear stands gets its linear back, the very layer, with the update in its weight,
               once, also if it was merged before. model.state_dict() has the names from before apply_lora, in order.
        same   The model computes the same within rounding. What was frozen stays frozen: no requires_grad changes.
    """
    adapted = [module for module in model.modules() if isinstance(module, LoRALinear)]
    for module in adapted:
        module.merge()
    _replace(model, {module: module.linear for module in adapted})


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """All that the adapters of a model have learned, to be saved without the model.

    Clauses:
        adapter  The result has A and B of every LoRALinear and nothing else, under their names in model.state_dict();
                 those of a layer that stands in several places once, under the first.
        copies   They are detached copies: training on does not change them.
    """
    return {name: one.detach().clone() for name, one in _learned(model).items()}


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
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear) and module.merged:
            raise ValueError(f"{name} is merged, and its weight holds the old A and B: unmerge it first")
    own = _learned(model)
    for name in own:
        if name not in state:
            raise ValueError(f"{name} is missing")
    for name, given in state.items():
        if name not in own:
            raise ValueError(f"{name} has no place in the model")
        shape, wanted = tuple(given.shape), tuple(own[name].shape)
        if shape != wanted:
            raise ValueError(f"{name} has the shape {shape}, and the model needs {wanted}")
    with torch.no_grad():
        for name, one in own.items():
            one.copy_(state[name])


def _refuse_settings(linear: nn.Linear, rank: int, alpha: float) -> None:
    most = min(linear.in_features, linear.out_features)
    if not 1 <= rank <= most:
        raise ValueError(f"rank must be between 1 and {most}, the smaller side of the weight, and not {rank}")
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, and not {alpha}")


def _freeze(parameters: Iterable[nn.Parameter]) -> None:
    for one in parameters:
        one.requires_grad_(False)
        one.grad = None  # an optimizer moves whatever has a gradient, frozen or not


def _replace(model: nn.Module, instead: Mapping[Any, nn.Module]) -> None:
    """Put modules in the places of others, in every place where they stand."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children tells only one name of each child
            if child in instead:
                setattr(parent, name, instead[child])


def _learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """A and B of every LoRALinear, by name."""
    found = {one for module in model.modules() if isinstance(module, LoRALinear) for one in (module.A, module.B)}
    return {name: one for name, one in model.named_parameters() if one in found}
