"""Low-rank adapters, clause by clause. The why: docs/finetuning/lora.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from katas.finetuning.lora import LoRALinear, apply_lora, load_lora_state_dict, lora_state_dict, merge_lora
from tests.laws import gradients_agree
from tests.support import clause, close, dealt, numbers, refuses, same

TARGETS = ("W_query", "W_value")
REPLACED = [f"blocks.{block}.{name}" for block in (0, 1) for name in TARGETS]
LEARNED = [f"{name}.{part}" for name in REPLACED for part in "AB"]
IDS = torch.tensor([[0, 3, 10, 7], [5, 5, 1, 2]])  # (batch, tokens)


class Block(nn.Module):
    """A toy of a block: no two of its sizes are equal where they need not be."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.W_query = nn.Linear(6, 4, bias=False)
        self.W_value = nn.Linear(6, 4)
        self.out_proj = nn.Linear(4, 6)

    def forward(self, x):
        return x + self.out_proj(torch.tanh(self.W_query(x)) * self.W_value(self.norm(x)))


class Toy(nn.Module):
    """A toy of a GPT, with a parameter of its own that is called A."""

    def __init__(self):
        super().__init__()
        self.tok_emb = nn.Embedding(11, 6)
        self.blocks = nn.Sequential(Block(), Block())
        self.A = nn.Parameter(torch.zeros(6))
        self.out_head = nn.Linear(6, 11)
        dealt(self)

    def forward(self, ids):
        return self.out_head(self.blocks(self.tok_emb(ids) * self.A))


class Named(nn.Module):
    """A toy in which W_value is also the name of an embedding and of a container, and other names resemble it."""

    def __init__(self):
        super().__init__()
        self.table = nn.ModuleDict({"W_value": nn.Embedding(6, 6), "norm": nn.LayerNorm(6)})
        self.near = nn.ModuleDict({name: nn.Linear(6, 4) for name in ("W_value2", "my_W_value", "value")})
        self.W_value = nn.ModuleDict({"inner": nn.Linear(6, 4)})
        self.right = nn.ModuleDict({"W_value": nn.Linear(6, 4)})


class Twice(nn.Module):
    """A toy that holds one linear in two places."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.inner = nn.ModuleDict({"W_value": self.first, "other": nn.Linear(6, 6)})
        dealt(self)

    def forward(self, x):
        return self.inner["other"](torch.tanh(self.inner["W_value"](torch.tanh(self.first(x)))))


def layer(d_in=5, d_out=4, rank=3, alpha=7.0, kata_class=LoRALinear):
    """A LoRALinear with numbers in all its parameters, A and B among them."""
    made = dealt(kata_class(dealt(nn.Linear(d_in, d_out)), rank, alpha))
    made.alpha_of_test = alpha  # a layer need not keep alpha: alpha / rank is enough
    return made


@st.composite
def layers(draw):
    d_in, d_out = (draw(st.integers(1, 6), label=axis) for axis in ("in_features", "out_features"))
    rank = draw(st.integers(1, min(d_in, d_out)), label="rank")
    return layer(d_in, d_out, rank, draw(st.sampled_from([0.5, 1.0, 3.0, 5]), label="alpha"))


def update(made):
    """alpha / rank * B A, (out_features, in_features)."""
    a, b = made.A.detach(), made.B.detach()
    return made.alpha_of_test / a.shape[0] * (b @ a)


def output(made, x):
    """What the formula gives, with gradients."""
    thin = functional.linear(functional.linear(x, made.A), made.B)
    return functional.linear(x, made.linear.weight, made.linear.bias) + made.alpha_of_test / len(made.A) * thin


def is_lora(module):
    return type(module).__name__ == "LoRALinear"


def kinds(model):
    return {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}


def adapted(model=None, targets=TARGETS, apply=apply_lora):
    """A toy whose adapters have numbers in A and B."""
    model = model or Toy()
    apply(model, 2, 5.0, targets)
    with torch.no_grad():
        for name, module in model.named_modules():
            if is_lora(module):
                module.A.copy_(numbers(*module.A.shape, seed=f"{name}.A"))
                module.B.copy_(numbers(*module.B.shape, seed=f"{name}.B"))
    return model


def learned():
    """The A and B of adapted(), by name."""
    shapes = {"A": (2, 6), "B": (4, 2)}
    return {name: numbers(*shapes[name[-1]], seed=name) for name in LEARNED}


def rotated(state):
    """The same in another order, in which each place has the shape that it had."""
    return {name: state[name] for name in [*LEARNED[2:], *LEARNED[:2]]}


def trainable(model):
    return sorted(name for name, one in model.named_parameters() if one.requires_grad)


def with_gradients(model):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x = numbers(2, 4, 5)

    def refusal(call, *values):
        try:
            call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]
        return "accepted"

    def made(**options):
        return layer(kata_class=kata.LoRALinear, **options)

    def fresh(d_in=5, d_out=3, rank=2, **options):
        return kata.LoRALinear(nn.Linear(d_in, d_out, **options), rank, 5.0)

    def after(*steps, show=lambda wrapped: wrapped.linear.weight.clone()):
        """What a layer shows after some steps."""
        wrapped = made()
        for step in steps:
            getattr(wrapped, step)()
        return show(wrapped)

    def flags():
        wrapped, seen = made(), []
        for step in ("merge", "unmerge"):
            getattr(wrapped, step)()
            seen.append(wrapped.merged)
        return seen

    def changes(step, merged):
        """Whether a step changes the weight where there is nothing to do."""
        wrapped = made()
        if merged:
            wrapped.merge()
        wrapped.merged, before = merged, wrapped.linear.weight.clone()
        getattr(wrapped, step)()
        return not torch.equal(wrapped.linear.weight, before)

    def merged_weight():
        wrapped = made()
        before = wrapped(x)
        wrapped.merge()
        return before, wrapped.linear.weight.clone()

    def gradient(name):
        wrapped, leaf = made(), x.clone().requires_grad_()
        wrapped(leaf).square().sum().backward()
        return leaf.grad if name == "x" else getattr(wrapped, name).grad

    def first(of):
        given = nn.Linear(5, 3)
        return of(given, kata.LoRALinear(given, 2, 5.0))

    def in_place():
        wrapped = made()
        parameter = wrapped.linear.weight
        wrapped.merge()
        return wrapped.linear.weight is parameter

    def spread():
        a = fresh(64, 64, 16).A.detach()
        return bool(a.abs().max() > 2.5 * a.std())  # of a uniform distribution the greatest is 1.7 times the deviation

    def bound():
        a = fresh(64, 64, 16).A.detach()
        uniform = a.any() and a.abs().max() < 2.5 * a.std()
        return round(a.abs().max().item() * 8, 1) if uniform else None

    def applied(toy, targets, show):
        model = with_gradients(toy())
        names = kata.apply_lora(model, 2, 5.0, targets)
        return sorted(names) if show is None else show(model)

    def places(model):
        return [name for name, kind in kinds(model).items() if kind == "LoRALinear"]

    def old_gradients(model):
        """Of the replaced linears: the others are not frozen at all under some mistakes."""
        weights = [one for name, one in model.named_parameters() if name.endswith(("W_query.weight", "linear.weight"))]
        return any(one.grad is not None for one in weights)

    def places_of_one(model):
        first, second = model.first, model.inner["W_value"]
        return is_lora(first), is_lora(second), first is second

    def merged(show):
        model = adapted(apply=kata.apply_lora)
        kata.merge_lora(model)
        return show(model)

    def one_layer():
        """A model of one linear, which becomes a LoRALinear under nearly every mistake."""
        model = nn.ModuleDict({"W_query": nn.Linear(5, 4)})
        kata.apply_lora(model, 2, 5.0, ("W_query",))
        return dealt(model)

    def merged_before():
        """Whether it makes a difference to merge_lora that the layer was merged before."""
        model, other = one_layer(), one_layer()
        model["W_query"].merge()
        model["W_query"].merged = True
        kata.merge_lora(model)
        kata.merge_lora(other)
        return not torch.allclose(model["W_query"](x), other["W_query"](x))

    def misfit(case):
        model = one_layer()
        parts = {f"W_query.{part}": getattr(model["W_query"], part) for part in "AB"}
        state = {name: numbers(*getattr(part, "weight", part).shape, seed=name) for name, part in parts.items()}
        misfits("W_query.B", "W_value.A")[case](state)
        name = "W_value.A" if case == "unexpected" else "W_query.B"
        return refusal(lambda: kata.load_lora_state_dict(model, state), name)

    def state(show, free=()):
        model = adapted(apply=kata.apply_lora)
        for name in free:
            model.get_parameter(name).requires_grad_()
        return show(kata.lora_state_dict(model))

    def later():
        model = adapted(apply=kata.apply_lora)
        found = kata.lora_state_dict(model)
        with torch.no_grad():
            model.blocks[0].W_query.B.add_(1)
        return found["blocks.0.W_query.B"].detach().clone()

    def loaded(given):
        model = Toy()
        kata.apply_lora(model, 2, 5.0, TARGETS)
        kata.load_lora_state_dict(model, given)
        return model

    return {
        "output": lambda: made()(x),
        "gradient of A": lambda: gradient("A"),
        "gradient of B": lambda: gradient("B"),
        "gradient of x": lambda: gradient("x"),
        "shapes": lambda: {part: tuple(getattr(fresh(), part).shape) for part in "AB"},
        "names": lambda: sorted(dict(fresh().named_parameters())),
        "linear": lambda: first(lambda given, wrapped: wrapped.linear is given),
        "what starts at zero": lambda: [part for part in "AB" if not getattr(fresh(), part).any()],
        "what is trainable in a layer": lambda: trainable(fresh()),
        "output, and weight after merge": merged_weight,
        "output after merge": lambda: after("merge", show=lambda wrapped: wrapped(x)),
        "merged after merge and unmerge": flags,
        "whether a second merge changes the weight": lambda: changes("merge", True),
        "weight after unmerge": lambda: after("merge", "unmerge"),
        "output after unmerge": lambda: after("merge", "unmerge", show=lambda wrapped: wrapped(x)),
        "whether unmerge alone changes the weight": lambda: changes("unmerge", False),
        "in place": in_place,
        "whether A is normal": spread,
        "bound of A": bound,
        "dtype and device": lambda: [
            (str(one.dtype), one.device.type) for one in fresh(dtype=torch.float64, device="meta").parameters()
        ],
        "ranks": lambda: [refusal(lambda rank=rank: fresh(rank=rank), rank) for rank in (0, 3, 4)],
        "alphas": lambda: [refusal(lambda alpha=alpha: made(alpha=alpha), alpha) for alpha in (0, math.nan)],
        "places": lambda: applied(Toy, TARGETS, places),
        "places of a set": lambda: applied(Toy, {"out_head", "W_value"}, places),
        "places of similar names": lambda: applied(Named, ("W_value",), places),
        "result": lambda: applied(Toy, TARGETS, None),
        "what is trainable in a model": lambda: applied(Toy, TARGETS, lambda m: (places(m), trainable(m))),
        "old gradients": lambda: applied(Toy, TARGETS, old_gradients),
        "shared linear": lambda: applied(Twice, ("first",), places_of_one),
        "unknown targets": lambda: [
            refusal(lambda targets=targets: kata.apply_lora(Toy(), 2, 5.0, targets), "W_key")
            for targets in (("W_key",), ("W_query", "W_key"))
        ],
        "modules after merge_lora": lambda: merged(kinds),
        "logits after merge_lora": lambda: merged(lambda model: model(IDS)),
        "whether a layer merged before makes a difference": merged_before,
        "names of the state": lambda: state(sorted),
        "names of the state beside a head that learns": lambda: state(sorted, ["out_head.weight"]),
        "state": lambda: state(lambda found: found.get("blocks.1.W_value.B")),
        "whether the state is detached": lambda: state(lambda found: [one.requires_grad for one in found.values()]),
        "state after training": later,
        "loaded": lambda: loaded(learned())(IDS),
        "loaded in another order": lambda: loaded(rotated(learned()))(IDS),
        **{f"{case} in the state": lambda case=case: misfit(case) for case in misfits()},
    }


def misfits(name="blocks.1.W_value.B", unknown="blocks.2.W_query.A"):
    """What may be wrong with a state: a function that spoils one."""
    return {
        "missing": lambda state: state.pop(name),
        "unexpected": lambda state: state.update({unknown: torch.zeros(2, 6)}),
        "a transposed tensor": lambda state: state.update({name: state[name].mT}),
        "a row for all": lambda state: state.update({name: state[name][:1]}),
    }


@clause("parts")
def test_the_layer_holds_linear_and_two_thin_matrices():
    given = nn.Linear(5, 3)
    made = LoRALinear(given, 2, 3.0)
    assert made.linear is given, "linear is not the layer that was given, but another one"
    for name, shape in {"A": (2, 5), "B": (3, 2)}.items():
        assert isinstance(getattr(made, name, None), nn.Parameter), f"{name} is not a parameter of the LoRALinear"
        same(
            tuple(getattr(made, name).shape), shape, f"the shape of {name}, with in_features 5, out_features 3, rank 2"
        )


@clause("start")
def test_a_new_layer_computes_what_linear_computes():
    given, x = dealt(nn.Linear(5, 3)), numbers(4, 5)
    expected = given(x).detach()
    made = LoRALinear(given, 2, 3.0)
    close(made(x).detach(), expected, "nothing has been learned, but the output is not that of linear: is B zero?")
    assert made.A.any(), "A is zero as well as B: then neither of them ever gets a gradient"


@clause("formula")
def test_an_example_by_hand():
    given = nn.Linear(2, 2, bias=False)
    made = LoRALinear(given, 1, 2.0)
    with torch.no_grad():
        given.weight.copy_(torch.eye(2))
        made.A.copy_(torch.tensor([[1.0, 2.0]]))
        made.B.copy_(torch.tensor([[3.0], [0.0]]))
    because = "x = (1, 1), W = identity, A = (1, 2), B = (3, 0), alpha 2, rank 1: (1, 1) + 2 / 1 * 3 * (3, 0)"
    close(made(torch.ones(1, 2)), torch.tensor([[19.0, 1.0]]), because)


@clause("formula")
@given(layers(), st.integers(0, 3))
def test_the_output_is_that_of_the_formula(made, axes):
    x, rank = numbers(*(2, 3, 4)[:axes], made.A.shape[1]), len(made.A)
    close(made(x), output(made, x), f"x has {axes + 1} axes; the update is multiplied by {made.alpha_of_test} / {rank}")


@clause("gradients")
def test_the_gradients_are_those_of_the_formula():
    made, x = layer(), numbers(4, 5).requires_grad_()
    gradients_agree(made(x), output(made, x), {"x": x, "A": made.A, "B": made.B}, "the formula")


@clause("frozen")
def test_linear_is_frozen():
    given = nn.Linear(5, 3)
    LoRALinear(given, 2, 3.0)
    for name, parameter in given.named_parameters():
        assert not parameter.requires_grad, f"the {name} of linear still requires gradients"


@clause("merge")
@given(layers())
def test_merging_adds_the_update_to_the_weight(made):
    expected = made.linear.weight.detach() + update(made)
    made.merge()
    close(made.linear.weight.detach(), expected, "the weight after merge(), which adds alpha / rank * B @ A")
    same(made.merged, True, "merged, after merge()")


@clause("merge")
def test_a_merged_layer_computes_what_it_computed_before():
    made, x = layer(), numbers(4, 5)
    expected = output(made, x).detach()
    made.merge()
    close(made(x).detach(), expected, "the output after merge() is not the output before: is the update added twice?")
    close(made.linear(x).detach(), expected, "after merge(), linear alone does not give the output of the layer")


@clause("replaced")
@pytest.mark.parametrize(
    ("targets", "expected"),
    [(TARGETS, REPLACED), (["W_value"], REPLACED[1::2]), ({"out_head", "W_value"}, [*REPLACED[1::2], "out_head"])],
    ids=["a tuple", "a list", "a set"],
)
def test_linears_with_these_names_are_replaced(targets, expected):
    model = Toy()
    before = dict(model.named_modules())
    result = apply_lora(model, 2, 3.0, targets)
    after = dict(model.named_modules())
    same([name for name in after if is_lora(after[name])], expected, f"the places of LoRALinears, for {targets}")
    for name in expected:
        assert after[name].linear is before[name], f"{name} holds another linear than the one that was there"
        twin = LoRALinear(copy.deepcopy(before[name]), 2, 3.0)
        same(after[name].A.shape, twin.A.shape, f"the shape of A of {name}, rank 2")
        twin.load_state_dict(dealt(after[name]).state_dict())
        x = numbers(3, twin.A.shape[1])
        close(after[name](x), twin(x), f"the output of {name} is not that of LoRALinear(linear, 2, 3.0)")
    others = [name for name in before if name not in expected and after[name] is not before[name]]
    assert not others, f"{others} are not targets, but have been replaced"
    same(sorted(result), expected, "the names that apply_lora returned, sorted")


@clause("replaced")
def test_the_whole_own_name_has_to_be_a_target():
    model = Named()
    apply_lora(model, 2, 3.0, ("W_value",))
    seen = [name for name, kind in kinds(model).items() if kind == "LoRALinear"]
    same(seen, ["right.W_value"], "the target W_value, beside linears called W_value2, my_W_value, value and inner")


@clause("learns")
def test_a_and_b_alone_require_gradients():
    model = Toy()
    apply_lora(model, 2, 3.0, TARGETS)
    same(trainable(model), LEARNED, "the parameters that require gradients after apply_lora")


@clause("adapter")
def test_the_state_is_a_and_b_alone():
    model = adapted()
    state, whole = lora_state_dict(model), model.state_dict()
    same(sorted(state), LEARNED, "the names in the state")
    for name in LEARNED:
        close(state[name].detach(), whole[name], f"{name} is not what model.state_dict() has")


@clause("adapter")
def test_what_else_learns_is_not_in_the_state():
    model = adapted()
    for parameter in model.out_head.parameters():
        parameter.requires_grad_()
    same(sorted(lora_state_dict(model)), LEARNED, "the names in the state; out_head was set free to learn, too")


@clause("restored")
def test_a_fresh_model_computes_what_the_other_computed():
    expected, model = adapted()(IDS), Toy()
    apply_lora(model, 2, 5.0, TARGETS)
    load_lora_state_dict(model, rotated(learned()))
    close(model(IDS), expected, "the logits of a fresh model with A and B of another; the names came in another order")


@clause("initial-a")
def test_a_is_drawn_as_linear_draws_its_weight():
    given = nn.Linear(7, 5)
    torch.manual_seed(123)
    expected, following = nn.init.kaiming_uniform_(torch.empty(4, 7), a=math.sqrt(5)), torch.rand(1)
    torch.manual_seed(123)
    made = LoRALinear(given, 4, 3.0)
    close(made.A.detach(), expected, "A after the same seed; expected is what kaiming_uniform_ with a=sqrt(5) draws")
    close(torch.rand(1), following, "the next random number after A: something else was drawn as well")


@clause("dtype-device")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_a_and_b_have_the_dtype_of_the_weight(dtype):
    made = LoRALinear(nn.Linear(5, 3, dtype=dtype), 2, 3.0)
    same([str(made.A.dtype), str(made.B.dtype)], [str(dtype)] * 2, f"A and B, where the weight is {dtype}")


@clause("dtype-device")
def test_a_and_b_have_the_device_of_the_weight():
    made = LoRALinear(nn.Linear(5, 3, device="meta"), 2, 3.0)
    same([made.A.device.type, made.B.device.type], ["meta"] * 2, "A and B, where the weight is on the meta device")


@clause("in-place")
def test_merging_keeps_the_parameter():
    made = layer()
    parameter, before = made.linear.weight, made.linear.weight.detach().clone()
    made.merge()
    assert made.linear.weight is parameter, (
        "after merge() the weight is a new parameter: whoever holds the old misses it"
    )
    close(parameter.detach(), before + update(made), "the weight after merge()")


@clause("unmerge")
def test_unmerging_gives_the_weight_back():
    made, x = layer(), numbers(4, 5)
    before, expected = made.linear.weight.detach().clone(), output(made, x).detach()
    made.merge()
    moved = not torch.equal(made.linear.weight, before)
    made.unmerge()
    assert moved, "merge() has not changed the weight"
    close(made.linear.weight.detach(), before, "the weight after merge() and unmerge()")
    same(made.merged, False, "merged, after unmerge()")
    seen = made(x)
    close(seen.detach(), expected, "the output after unmerge() is not the output before merge()")
    assert seen.requires_grad, "after unmerge() no gradient reaches A and B"


@clause("merge-once")
def test_merging_twice_is_merging_once():
    made = layer()
    expected = made.linear.weight.detach() + update(made)
    made.merge()
    made.merge()
    close(made.linear.weight.detach(), expected, "the weight after two calls of merge()")


@clause("merge-once")
def test_unmerging_what_is_not_merged_does_nothing():
    made = layer()
    before = made.linear.weight.detach().clone()
    made.unmerge()
    close(made.linear.weight.detach(), before, "the weight after unmerge() of a layer that was not merged")
    made.merge()
    close(made.linear.weight.detach(), before + update(made), "the weight after unmerge() and then merge()")


@clause("settings")
@pytest.mark.parametrize(("d_in", "d_out"), [(5, 3), (3, 5)])
@pytest.mark.parametrize("rank", [0, -1, 4])
def test_a_rank_that_does_not_fit_is_refused(rank, d_in, d_out):
    with refuses(ValueError, "rank", rank):
        LoRALinear(nn.Linear(d_in, d_out), rank, 1.0)


@clause("settings")
@pytest.mark.parametrize("alpha", [0, -2.5, math.nan])
def test_an_alpha_that_is_not_above_0_is_refused(alpha):
    with refuses(ValueError, "alpha", alpha):
        LoRALinear(nn.Linear(5, 3), 2, alpha)


@clause("settings")
@pytest.mark.parametrize("rank", [1, 3])
def test_the_least_and_the_greatest_rank_are_accepted(rank):
    try:
        made = LoRALinear(nn.Linear(5, 3), rank, 1)
    except ValueError as error:
        pytest.fail(f"rank {rank} of a weight of 3 by 5 was refused: {error}")
    same(len(made.A), rank, "the rows of A")


@clause("old-gradients")
def test_no_frozen_parameter_keeps_a_gradient():
    model = with_gradients(Toy())
    apply_lora(model, 2, 3.0, TARGETS)
    left = [name for name, one in model.named_parameters() if one.grad is not None]
    assert not left, f"these have a gradient from before, with which an optimizer moves them: {left}"


@clause("shared")
@pytest.mark.parametrize("target", ["first", "W_value"])
def test_a_linear_in_two_places_becomes_one_layer(target):
    model, x = Twice(), numbers(2, 6)
    expected = model(x)
    apply_lora(model, 2, 3.0, (target,))
    found = [type(one).__name__ for one in (model.first, model.inner["W_value"])]
    same(found, ["LoRALinear"] * 2, f"what is in the two places of one linear, for the target {target}")
    assert model.first is model.inner["W_value"], "one linear became two LoRALinears"
    close(model(x), expected, "nothing has been learned, but the output of the model changed")


@clause("unknown")
@pytest.mark.parametrize("target", ["W_key", "norm", "blocks.0.W_query"])
def test_a_target_that_no_linear_has_is_refused(target):
    for targets in ((target,), ("W_query", target)):
        with refuses(ValueError, target):
            apply_lora(Toy(), 2, 3.0, targets)


@clause("merged-model")
@pytest.mark.parametrize("first", [None, "blocks.0.W_value"], ids=["", "one merged before"])
def test_the_linears_come_back_with_their_update(first):
    model = Toy()
    before = dict(model.named_modules())
    expected = adapted(model)(IDS)
    if first:
        model.get_submodule(first).merge()
    merge_lora(model)
    same(list(kinds(model)), list(before), "the names of the modules after merge_lora")
    changed = [name for name, module in model.named_modules() if module is not before[name]]
    assert not changed, f"after merge_lora {changed} are other modules than before apply_lora"
    close(model(IDS), expected.detach(), "the logits after merge_lora")


@clause("merged-model")
def test_a_shared_layer_comes_back_to_both_places():
    model, x = Twice(), numbers(2, 6)
    linear, expected = model.first, adapted(model, ("W_value",))(x)
    merge_lora(model)
    assert model.first is linear, "the first place of a shared linear does not have it again"
    assert model.inner["W_value"] is linear, "the second place of a shared linear does not have it again"
    close(model(x), expected.detach(), "the output after merge_lora of a model that holds one linear twice")


@clause("copies")
def test_the_state_stays_when_training_goes_on():
    model = adapted()
    state = lora_state_dict(model)
    assert not any(one.requires_grad for one in state.values()), "the tensors require gradients: they are not detached"
    with torch.no_grad():
        for name in LEARNED:
            model.get_parameter(name).add_(1)
    for name, one in state.items():
        close(one, learned()[name], f"the model was trained further, and {name} in the state changed")


@clause("mismatch")
@pytest.mark.parametrize("case", misfits(), ids=str)
def test_a_state_that_does_not_fit_is_refused(case):
    model, state = adapted(), learned()
    misfits()[case](state)
    with refuses(ValueError, "blocks.2.W_query.A" if case == "unexpected" else "blocks.1.W_value.B"):
        load_lora_state_dict(model, state)
