"""Low-rank adapters, clause by clause. The why: docs/finetuning/lora.md."""

import copy
import math
import warnings
import zlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from katas.finetuning.lora import LoRALinear, apply_lora, load_lora_state_dict, lora_state_dict, merge_lora
from tests.support import clause, close, dealt, numbers, refuses, same

TARGETS = ("W_query", "W_value")
REPLACED = [f"blocks.{block}.{name}" for block in (0, 1) for name in TARGETS]
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

    def __init__(self, tied=False):
        super().__init__()
        self.tok_emb = nn.Embedding(11, 6)
        self.blocks = nn.Sequential(Block(), Block())
        self.A = nn.Parameter(torch.zeros(6))
        self.out_head = nn.Linear(6, 11)
        if tied:
            self.out_head.weight = self.tok_emb.weight
        dealt(self)

    def forward(self, ids):
        return self.out_head(self.blocks(self.tok_emb(ids) * self.A))


class Twice(nn.Module):
    """A toy in which one linear stands in three places, in two of them as what it is called in the first."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.inner = nn.ModuleDict({"W_value": self.first, "again": self.first, "other": nn.Linear(6, 6)})
        dealt(self)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        return self.inner["other"](torch.tanh(self.inner["again"](torch.tanh(self.inner["W_value"](x)))))


def linear(d_in=5, d_out=3, bias=True, dtype=torch.float32):
    return dealt(nn.Linear(d_in, d_out, bias, dtype=dtype))


def layer(d_in=5, d_out=3, rank=2, alpha=3.0, bias=True, dtype=torch.float32, kata_class=LoRALinear):
    """A LoRALinear with numbers in all that it has, A and B among them."""
    return dealt(kata_class(linear(d_in, d_out, bias, dtype), rank, alpha))


@st.composite
def layers(draw, dtype=torch.float64):
    """A layer, its update as the formula has it, and the numbers of its weight."""
    d_in, d_out = (draw(st.integers(1, 6), label=axis) for axis in ("in_features", "out_features"))
    rank = draw(st.integers(1, min(d_in, d_out)), label="rank")
    alpha = draw(st.sampled_from([0.5, 1.0, 3.0, 16.0]), label="alpha")
    made = layer(d_in, d_out, rank, alpha, draw(st.booleans(), label="bias"), dtype)
    return made, update(made), made.linear.weight.detach().clone()


def update(made):
    """alpha / rank · B A, (out_features, in_features)."""
    a, b = made.A.detach(), made.B.detach()
    return float(made.alpha) / a.shape[0] * (b @ a)


def output(made, x):
    """What the formula gives, with gradients."""
    thin = functional.linear(functional.linear(x, made.A), made.B)
    return functional.linear(x, made.linear.weight, made.linear.bias) + made.alpha / made.rank * thin


def adapted(targets=TARGETS, rank=2, alpha=3.0, model=None, apply=apply_lora):
    """A toy whose adapters have numbers in them; those of the base are as before."""
    model = model or Toy()
    apply(model, rank, alpha, targets)
    with torch.no_grad():
        for name, module in model.named_modules():
            if is_lora(module):
                module.A.copy_(numbers(*module.A.shape, seed=f"{name}.A"))
                module.B.copy_(numbers(*module.B.shape, seed=f"{name}.B"))
    return model


def is_lora(module):
    return type(module).__name__ == "LoRALinear"


def places(model):
    """The class of each module, by its dotted name; all names of each."""
    return {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}


def standing(model):
    """All that a refusal has to leave alone."""
    return {
        "modules": {name: id(module) for name, module in model.named_modules(remove_duplicate=False)},
        "what learns": {name: one.requires_grad for name, one in model.named_parameters()},
        "gradients": {name: one.grad is not None for name, one in model.named_parameters()},
        "numbers": {name: zlib.crc32(one.numpy().tobytes()) for name, one in model.state_dict().items()},
    }


def learn(model, steps=10):
    """Some steps of gradient descent on one batch, with weight decay, on all parameters that have a gradient."""
    for _ in range(steps):
        functional.cross_entropy(model(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].flatten()).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.2 * (parameter.grad + 0.1 * parameter)
                    parameter.grad = None
    return model


def with_gradients(module):
    """A module whose parameters have gradients, as after a training."""
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    return module


def identical(seen, expected, because):
    """Assert that two tensors are the same bit for bit."""
    __tracebackhide__ = True
    close(seen, expected, because, rtol=0, atol=0)


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x = numbers(2, 4, 5)

    def tried(call, *named):
        """What came, or which error, and which of the values it names."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch warns of a rank of 0
                result = call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]
        return "no error", type(result).__name__

    def made(**options):
        return layer(kata_class=kata.LoRALinear, **options)

    def fresh(*shape, **options):
        given = linear(*shape, **options)
        return given, kata.LoRALinear(given, 2, 3.0)

    def parts():
        for options in ({}, {"bias": False}, {"dtype": torch.float64}, {"dtype": torch.bfloat16}):
            given, wrapped = fresh(**options)
            yield wrapped.linear is given, wrapped.rank, wrapped.alpha, wrapped.merged
            yield sorted((name, tuple(one.shape), str(one.dtype)) for name, one in wrapped.state_dict().items())
            yield sorted((name, one.requires_grad) for name, one in wrapped.named_parameters())
        on_meta = kata.LoRALinear(nn.Linear(5, 3, device="meta"), 2, 3.0)
        yield [one.device.type for one in on_meta.parameters()]

    def drawn():
        given, wrapped = fresh()
        after = torch.rand(1)
        return wrapped.A, wrapped.B, after, torch.equal(wrapped(x), given(x))

    def gradients(merged):
        wrapped, leaf = made(), x.clone().requires_grad_()
        if merged:
            wrapped.merge()
        wrapped(leaf).square().sum().backward()
        return leaf.grad, [(name, one.grad) for name, one in wrapped.named_parameters()]

    def changed():
        given = x.clone()
        seen = made()(given)
        return given, str(made(dtype=torch.bfloat16)(x.bfloat16()).dtype), seen

    def exact():
        wrapped, given = made(dtype=torch.float64), x.double()
        seen, expected = wrapped(given), output(wrapped, given)
        before = wrapped.linear.weight.clone()
        wrapped.merge()
        thin = torch.linalg.svdvals(wrapped.linear.weight - before)[2:] < 1e-9
        return str(seen.dtype), torch.allclose(seen.double(), expected, rtol=1e-9, atol=1e-9), thin.all().item()

    def merging():
        wrapped = made()
        weight, parameter = wrapped.linear.weight.detach().clone(), wrapped.linear.weight
        for step in (wrapped.merge, wrapped.merge, wrapped.unmerge, wrapped.unmerge, wrapped.merge, wrapped.unmerge):
            yield tried(step)
            yield wrapped.merged, wrapped.linear.weight is parameter, wrapped.linear.weight.requires_grad
            yield wrapped.linear.weight, wrapped.A, wrapped.B, wrapped.linear.bias, wrapped(x)
            yield torch.equal(wrapped(x), wrapped.linear(x)), torch.allclose(wrapped.linear.weight, weight, atol=1e-5)

    def thin():
        wrapped = made(d_in=6, d_out=5)
        before = wrapped.linear.weight.detach().clone()
        wrapped.merge()
        return torch.linalg.svdvals((wrapped.linear.weight - before).double()) > 1e-4

    def frozen():
        given = with_gradients(linear())
        wrapped = kata.LoRALinear(given, 2, 3.0)
        return sorted((name, one.requires_grad, one.grad is None) for name, one in wrapped.named_parameters())

    def refused():
        for shape in ((5, 3), (3, 5)):
            for rank, alpha in ((0, 1), (-1, 1), (4, 1), (5, 1), (6, 1), (3, 1), (1, 0), (1, -2.5), (1, math.nan)):
                given = linear(*shape)
                named = (alpha if not alpha > 0 else rank, 3)
                yield tried(lambda g=given, r=rank, a=alpha: kata.LoRALinear(g, r, a), *named)
                yield given.weight.requires_grad

    def applied(targets, toy=Toy, rank=2):
        model = with_gradients(toy())
        before = {name: id(module) for name, module in model.named_modules(remove_duplicate=False)}
        try:
            yield kata.apply_lora(model, rank, 3.0, targets)
        except Exception as error:
            yield type(error).__name__
        yield places(model)
        yield [name for name, one in model.named_parameters(remove_duplicate=False) if one.requires_grad]
        yield [name for name, one in model.named_parameters(remove_duplicate=False) if one.grad is not None]
        named = dict(model.named_modules(remove_duplicate=False))
        for name in sorted(before):
            yield name, id(named[name]) == before[name] or id(getattr(named[name], "linear", None)) == before[name]
        for name, module in model.named_modules():
            if is_lora(module):
                yield name, module.A, module.rank, module.alpha

    def ways():
        for targets in (("W_query",), ["out_head", "W_value"], {"value"}, ("query", "W_query"), ("blocks.0.W_query",)):
            yield list(applied(targets))
        yield list(applied(("W_value",), toy=Named))

    def bad_targets():
        for targets, named in ((("W_query", "W_key"), "W_key"), (("norm",), "norm"), ((), "targets"), ("W_query", "")):
            model = with_gradients(Toy())
            before = standing(model)
            yield tried(lambda t=targets, m=model: kata.apply_lora(m, 2, 1.0, t), named)
            yield [part for part, value in standing(model).items() if value != before[part]]
        for rank, alpha, targets in ((5, 1.0, ("out_head", "W_query")), (0, 1.0, TARGETS), (2, 0, TARGETS)):
            model = with_gradients(Toy())
            before = standing(model)
            yield tried(lambda m=model, r=rank, a=alpha, t=targets: kata.apply_lora(m, r, a, t), rank, alpha)
            yield [part for part, value in standing(model).items() if value != before[part]]

    def ties():
        for targets in (("out_head",), ("W_query", "out_head"), ("W_query",)):
            model = with_gradients(Toy(tied=True))
            before = standing(model)
            yield tried(lambda t=targets, m=model: kata.apply_lora(m, 2, 1.0, t), "out_head")
            yield [part for part, value in standing(model).items() if value != before[part]]
        yield tried(lambda: kata.apply_lora(Toy(), 2, 3.0, TARGETS))

    def twice():
        for targets in (("W_query",), ("out_proj",), ("linear",)):
            model = adapted(apply=kata.apply_lora)
            before = standing(model)
            yield tried(lambda t=targets, m=model: kata.apply_lora(m, 2, 1.0, t), "blocks.0.W_query")
            yield [part for part, value in standing(model).items() if value != before[part]]

    def shared():
        for targets in (("W_value",), ("first",), ("again",), ("first", "again")):
            model = Twice()
            kata.apply_lora(model, 2, 3.0, targets)
            yield [len({id(m) for m in (model.first, model.inner["W_value"], model.inner["again"])})]
            yield list(kata.lora_state_dict(model)), dealt(model)(numbers(2, 6))
            kata.merge_lora(model)
            yield places(model), model(numbers(2, 6))

    def by_any_name():
        yield tried(lambda: kata.apply_lora(Toy(), 2, 3.0, TARGETS))
        for targets in (("W_value",), ("first",), ("again",), ("first", "again")):
            yield list(applied(targets, toy=Twice))

    def whole_learns():
        model = with_gradients(Toy())
        kata.apply_lora(model, 2, 3.0, TARGETS)
        before = {name: one.clone() for name, one in model.state_dict().items()}
        learning = [name for name, one in model.named_parameters() if one.requires_grad]
        came = tried(lambda: learn(model, 3))
        moved = [name for name, one in model.state_dict().items() if not torch.equal(one, before[name])]
        return came, moved, learning, frozen()

    def plain():
        model = Toy()
        before, layers_before = list(model.state_dict()), {name: id(m) for name, m in model.named_modules()}
        adapted(model=model, apply=kata.apply_lora)
        expected = model(IDS)
        model.blocks[0].W_value.merge()
        yield tried(lambda: kata.merge_lora(model))
        yield places(model), list(model.state_dict()) == before
        yield [name for name, m in model.named_modules() if layers_before.get(name) != id(m)]
        yield [name for name, one in model.named_parameters() if one.requires_grad]
        yield model(IDS), torch.allclose(model(IDS), expected, atol=1e-4), model.blocks[1].W_query.weight
        model.tok_emb.weight.requires_grad_(True)
        yield tried(lambda: kata.merge_lora(model)), model(IDS), model.tok_emb.weight.requires_grad
        given, wrapped = fresh()
        yield wrapped.linear is given
        wrapped = made()
        wrapped.merge()
        wrapped.merge()
        yield wrapped.linear.weight

    def saved():
        model = adapted(apply=kata.apply_lora)
        state = kata.lora_state_dict(model)
        before = {name: one.detach().clone() for name, one in state.items()}
        yield list(state), list(state.values()), [one.requires_grad for one in state.values()]
        learn(model, 2)
        yield [torch.equal(one, before[name]) for name, one in state.items()]
        yield sorted(kata.lora_state_dict(layer(kata_class=kata.LoRALinear))), len(kata.lora_state_dict(Toy()))

    def loaded():
        state = kata.lora_state_dict(adapted(apply=kata.apply_lora))
        model = Toy()
        kata.apply_lora(model, 2, 3.0, TARGETS)
        before = {name: id(one) for name, one in model.named_parameters()}
        result = kata.load_lora_state_dict(model, {name: one.double() for name, one in state.items()})
        yield result, model(IDS), [name for name, one in model.named_parameters() if id(one) != before[name]]
        yield [(name, str(one.dtype)) for name, one in model.named_parameters() if one.requires_grad]
        model = Toy()
        kata.apply_lora(model, 2, 3.0, TARGETS)
        kata.load_lora_state_dict(model, dict(reversed(state.items())))
        yield model(IDS)
        state["blocks.1.W_value.B"].zero_()
        yield model(IDS)

    def misfitting():
        for spoil, named in misfits().values():
            model = adapted(apply=kata.apply_lora)
            state = {name: one + 1 for name, one in kata.lora_state_dict(model).items()}
            spoil(state)
            before = standing(model)
            yield tried(lambda m=model, s=state: kata.load_lora_state_dict(m, s), *named)
            yield [part for part, value in standing(model).items() if value != before[part]]

    def busy():
        model = adapted(apply=kata.apply_lora)
        state = {name: one + 1 for name, one in kata.lora_state_dict(model).items()}
        model.blocks[1].W_query.merge()
        yield model.blocks[1].W_query.merged
        before = standing(model)
        yield tried(lambda: kata.load_lora_state_dict(model, state), "blocks.1.W_query"), model.blocks[1].W_query.merged
        yield [part for part, value in standing(model).items() if value != before[part]]

    return {
        "numbers": lambda: [made()(x), made(alpha=2, rank=1, bias=False)(x[0]), made(rank=3)(x[0, 0])],
        "gradients": lambda: [gradients(False), gradients(True)],
        "changed": changed,
        "exact": exact,
        "parts": lambda: list(parts()),
        "drawn": drawn,
        "frozen": frozen,
        "merging": lambda: list(merging()),
        "thin": thin,
        "refused": lambda: list(refused()),
        "applied": lambda: list(applied(TARGETS)),
        "ways": lambda: list(ways()),
        "bad targets": lambda: list(bad_targets()),
        "ties": lambda: list(ties()),
        "twice": lambda: list(twice()),
        "shared": lambda: list(shared()),
        "by any name": lambda: list(by_any_name()),
        "learns": whole_learns,
        "plain": lambda: list(plain()),
        "saved": lambda: list(saved()),
        "loaded": lambda: list(loaded()),
        "misfitting": lambda: list(misfitting()),
        "busy": lambda: list(busy()),
    }


class Named(nn.Module):
    """A toy in which something else than a linear is called W_value too, and a linear nearly so."""

    def __init__(self):
        super().__init__()
        self.table = nn.ModuleDict({"W_value": nn.Embedding(6, 6), "norm": nn.LayerNorm(6)})
        self.near = nn.ModuleDict({name: nn.Linear(6, 4) for name in ("W_value2", "my_W_value", "value")})
        self.W_value = nn.ModuleDict({"inner": nn.Linear(6, 4)})
        self.right = nn.ModuleDict({"W_value": nn.Linear(6, 4)})
        dealt(self)


def misfits():
    """What may be wrong with a state, as a function that spoils one, and what the error has to name."""
    name, last = "blocks.0.W_value.B", "blocks.1.W_value.B"
    return {
        "missing": (lambda state: state.pop(last), [last]),
        "a layer is missing": (lambda state: [state.pop("blocks.1.W_query.A"), state.pop("blocks.1.W_query.B")],
                               ["blocks.1.W_query"]),
        "unexpected": (lambda state: state.update({"blocks.2.W_query.A": torch.zeros(2, 6)}), ["blocks.2.W_query.A"]),
        "of the base": (lambda state: state.update({"out_head.bias": torch.zeros(11)}), ["out_head.bias"]),
        "another rank": (lambda state: state.update({last: torch.zeros(4, 3)}), [last, (4, 3), (4, 2)]),
        "transposed": (lambda state: state.update({name: torch.zeros(2, 4)}), [name, (2, 4), (4, 2)]),
        "spreadable": (lambda state: state.update({last: torch.zeros(1, 2)}), [last, (1, 2), (4, 2)]),
    }  # fmt: skip


@clause("parts")
@pytest.mark.parametrize("bias", [True, False])
def test_a_and_b_are_all_that_is_added(bias):
    given = linear(bias=bias)
    made = LoRALinear(given, 2, 3.0)
    assert made.linear is given, "linear is another layer than the one that was given: a copy, or a new one?"
    seen = {name: tuple(one.shape) for name, one in made.state_dict().items()}
    expected = {"A": (2, 5), "B": (3, 2), "linear.weight": (3, 5), **({"linear.bias": (3,)} if bias else {})}
    assert seen == expected, f"a linear of 5 in and 3 out, and rank 2: the state dict has {seen}, expected {expected}"
    same(sorted(dict(made.named_parameters())), sorted(expected), "the names of the parameters")
    same((made.rank, float(made.alpha), made.merged), (2, 3.0, False), "rank, alpha and merged of a new layer")


@clause("parts")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_a_and_b_have_the_dtype_of_the_weight(dtype):
    made = LoRALinear(linear(dtype=dtype), 2, 3.0)
    same([str(made.A.dtype), str(made.B.dtype)], [str(dtype)] * 2, f"A and B beside a weight of {dtype}")


@clause("parts")
def test_a_and_b_are_where_the_weight_is():
    made = LoRALinear(nn.Linear(5, 3, device="meta"), 2, 3.0)
    same([made.A.device.type, made.B.device.type], ["meta"] * 2, "A and B beside a weight on the meta device")


@clause("init")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_a_is_drawn_and_b_is_not(dtype):
    given = linear(7, 5, dtype=dtype)
    torch.manual_seed(123)
    expected, after = nn.init.kaiming_uniform_(torch.empty(4, 7, dtype=dtype), a=math.sqrt(5)), torch.rand(1)
    torch.manual_seed(123)
    made = LoRALinear(given, 4, 3.0)
    because = (
        "after the same seed, A differs from what kaiming_uniform_ with a=sqrt(5) makes of its (rank, in_features)"
    )
    close(made.A.detach(), expected, because)
    close(torch.rand(1), after, "something else than A was drawn: the next random number is another one")
    close(made.B.detach(), torch.zeros(5, 4, dtype=dtype), "B begins with zeros, so that B A is zero")


@clause("start")
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_it_begins_as_the_layer_that_it_was(d_in, d_out, data):
    given, rank = linear(d_in, d_out), data.draw(st.integers(1, min(d_in, d_out)), label="rank")
    x = 10 * numbers(3, 2, d_in, seed=data.draw(st.integers(0, 99), label="seed"))
    expected = given(x)
    identical(LoRALinear(given, rank, 16.0)(x), expected, "nothing is learned yet, and the output is another one")


@clause("start")
def test_a_whole_model_begins_as_it_was():
    model = Toy()
    expected = model(IDS)
    apply_lora(model, 2, 16.0, TARGETS)
    assert any(map(is_lora, model.modules())), "apply_lora put no LoRALinear into the model"
    identical(model(IDS), expected, "adapters were put into a model, nothing is learned yet, and its logits are others")


@clause("formula")
def test_a_case_by_hand():
    given = nn.Linear(2, 2, bias=False)
    made = LoRALinear(given, 1, 2.0)
    with torch.no_grad():
        given.weight.copy_(torch.eye(2))
        made.A.copy_(torch.tensor([[1.0, 2.0]]))
        made.B.copy_(torch.tensor([[3.0], [0.0]]))
    because = "x = (1, 1), the weight is 1, A = (1, 2), B = (3, 0)ᵀ, alpha 2, rank 1: (1, 1) + 2 · 3 · (1, 0)"
    close(made(torch.ones(1, 2)), torch.tensor([[19.0, 1.0]]), because)


@clause("formula")
@given(layers(), st.integers(0, 3))
def test_the_output_is_that_of_the_formula(case, axes):
    made = case[0]
    x = numbers(*(2, 3, 4)[:axes], made.A.shape[1], dtype=torch.float64)
    alpha, rank = made.alpha, made.A.shape[0]
    close(
        made(x), output(made, x), f"x is {tuple(x.shape)}, alpha {alpha}, rank {rank}: the update counts alpha / rank"
    )


@clause("formula")
@given(layers())
def test_the_gradients_are_those_of_the_formula(case):
    made, found = case[0], []
    for compute in (made, lambda x: output(made, x)):
        x = numbers(3, made.A.shape[1], dtype=torch.float64).requires_grad_()
        found.append(torch.autograd.grad(compute(x).square().sum(), [x, made.A, made.B], allow_unused=True))
    for name, mine, expected in zip(("x", "A", "B"), *found, strict=True):
        assert mine is not None, f"no gradient reaches {name}"
        close(mine, expected, f"the gradient of {name} is another one than that of the formula")


@clause("formula")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    made, x = layer(dtype=dtype), numbers(4, 5, dtype=dtype)
    close(made(x), output(copy.deepcopy(made).double(), x.double()).to(dtype), f"{dtype} went in")


@clause("formula")
def test_the_input_is_left_alone():
    made, x = layer(), numbers(4, 5)
    before = x.clone()
    seen = made(x)
    identical(x, before, "x has other numbers after the call")
    close(seen, output(made, before), "x was left alone, but the output is not that of the formula")


@clause("low-rank")
@given(layers())
def test_merging_moves_the_weight_by_a_matrix_of_low_rank(case):
    made, _, before = case
    rank = made.A.shape[0]
    made.merge()
    strengths = torch.linalg.svdvals(made.linear.weight.detach() - before)
    more = int((strengths > 1e-10).sum())
    assert more <= rank, f"rank is {rank}, and the weight has moved by a matrix of rank {more}: by more than B A?"
    assert more == rank, f"A and B are matrices of rank {rank}, and the weight has moved by one of rank {more}"


@clause("frozen")
def test_the_layer_itself_learns_no_more():
    given = with_gradients(linear())
    made = LoRALinear(given, 2, 3.0)
    seen = {name: one.requires_grad for name, one in made.named_parameters()}
    expected = {"A": True, "B": True, "linear.weight": False, "linear.bias": False}
    assert seen == expected, f"whether each parameter requires gradients: {seen}, expected {expected}"
    left = [name for name, one in given.named_parameters() if one.grad is not None]
    assert not left, f"{left} had a gradient before, and have it still: an optimizer would move them by it"


@clause("merge")
@given(layers())
def test_merging_adds_the_update_to_the_weight(case):
    made, added, before = case
    parameter, bias = made.linear.weight, copy.deepcopy(made.linear.bias)
    made.merge()
    assert made.linear.weight is parameter, "after merge() the weight is another parameter: fill the one that is there"
    close(
        parameter.detach(), before + added, "merge() adds alpha / rank · B A, of the shape (out_features, in_features)"
    )
    same(made.merged, True, "merged, after merge()")
    assert not parameter.requires_grad, "after merge() the weight requires gradients"
    assert bias is None or torch.equal(bias, made.linear.bias), "merge() has changed the bias"


@clause("merge")
def test_merging_twice_is_merging_once():
    made = layer()
    expected = made.linear.weight.detach() + update(made)
    made.merge()
    made.merge()
    close(made.linear.weight.detach(), expected, "merge() was called twice: the second call should change nothing")
    same(made.merged, True, "merged, after merge() was called twice")


@clause("merged")
@given(layers())
def test_a_merged_layer_computes_the_same(case):
    made = case[0]
    x = numbers(3, made.A.shape[1], dtype=torch.float64)
    expected = made(x).detach()
    made.merge()
    close(made(x), expected, "the output after merge() is another one than before: is the update counted twice?")
    assert (expected - functional.linear(x, case[2], made.linear.bias)).abs().max() > 0, "the update does nothing"


@clause("merged")
def test_a_merged_layer_works_alone():
    made, x = layer(), numbers(4, 5).requires_grad_()
    made.merge()
    seen = made(x)
    identical(seen, made.linear(x), "the layer is merged, and its output is not that of linear alone")
    seen.sum().backward()
    assert made.A.grad is None, "the layer is merged, and A has got a gradient: it takes part in the call"
    assert made.B.grad is None, "the layer is merged, and B has got a gradient: it takes part in the call"


@clause("unmerge")
@given(layers(), st.integers(1, 3))
def test_unmerging_gives_the_weight_back(case, times):
    made, _, before = case
    parameter, x = made.linear.weight, numbers(3, made.A.shape[1], dtype=torch.float64)
    expected = output(made, x).detach()
    for _ in range(times):
        made.merge()
        moved = not torch.equal(parameter, before)
        made.unmerge()
    assert moved, "merge() has not changed the weight"
    assert made.linear.weight is parameter, (
        "after unmerge() the weight is another parameter: fill the one that is there"
    )
    close(parameter.detach(), before, f"merged and unmerged {times} times: the weight has not its numbers again")
    same(made.merged, False, "merged, after unmerge()")
    seen = made(x)
    close(seen, expected, "after unmerge() the output is another one")
    assert seen.requires_grad, "after unmerge() A and B take no part: no gradient can reach them"


@clause("unmerge")
def test_unmerging_what_is_not_merged_does_nothing():
    for merged_before in (False, True):
        made = layer()
        before = made.linear.weight.detach().clone()
        if merged_before:
            made.merge()
            made.unmerge()
        made.unmerge()
        close(made.linear.weight.detach(), before, "unmerge() was called, and merged was False: nothing should change")
        same(made.merged, False, "merged, after unmerge()")
        made.merge()
        close(made.linear.weight.detach(), before + update(made), "merge() after an unmerge() that had nothing to do")


@clause("settings")
@pytest.mark.parametrize(("d_in", "d_out"), [(5, 3), (3, 5)])
@pytest.mark.parametrize("rank", [0, -1, 4, 17])
def test_a_rank_that_cannot_be_is_refused(rank, d_in, d_out):
    given = linear(d_in, d_out)
    with refuses(ValueError, rank, 3 if rank > 3 else 1):
        LoRALinear(given, rank, 1.0)
    assert given.weight.requires_grad, "rank was refused, and linear is frozen"
    assert given.bias.requires_grad, "rank was refused, and linear is frozen"


@clause("settings")
@pytest.mark.parametrize("alpha", [0, -2.5, math.nan])
def test_an_alpha_that_is_not_above_0_is_refused(alpha):
    given = linear()
    with refuses(ValueError, "alpha", alpha):
        LoRALinear(given, 2, alpha)
    assert given.weight.requires_grad, "alpha was refused, and linear is frozen"


@clause("settings")
@pytest.mark.parametrize("rank", [1, 3])
def test_the_least_and_the_greatest_rank_are_fine(rank):
    try:
        made = [layer(5, 3, rank), layer(3, 5, rank)]
    except ValueError as error:
        pytest.fail(f"rank {rank} of a layer with 3 and 5 features was refused: {error}")
    same([one.A.shape[0] for one in made], [rank, rank], "the first size of A")
    close(made[0](numbers(2, 5)), output(made[0], numbers(2, 5)), f"5 in, 3 out, rank {rank}")


@clause("replaced")
@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("W_query", "W_value"), REPLACED),
        (["W_value"], REPLACED[1::2]),
        ({"out_head", "out_proj"}, ["blocks.0.out_proj", "blocks.1.out_proj", "out_head"]),
    ],
    ids=["a tuple", "a list", "a set"],
)
def test_linears_of_these_names_are_replaced(targets, expected):
    model = Toy()
    before = dict(model.named_modules())
    apply_lora(model, 2, 3.0, targets)
    after = dict(model.named_modules())
    seen = [name for name, module in after.items() if is_lora(module)]
    assert seen == expected, f"targets are {targets}: LoRALinears are at {seen}, expected {expected}"
    for name in expected:
        assert after[name].linear is before[name], f"{name} holds another linear than the one that stood there"
        same((after[name].rank, float(after[name].alpha)), (2, 3.0), f"rank and alpha of {name}, of 2 and 3.0 given")
    others = [name for name in before if name not in expected and after[name] is not before[name]]
    assert not others, f"{others} are no targets, and are other objects now"


@clause("replaced")
def test_a_name_fits_as_a_whole_and_only_a_linears():
    model = Named()
    before = places(model)
    apply_lora(model, 2, 3.0, ("W_value",))
    changed = [name for name, kind in before.items() if places(model)[name] != kind]
    because = "the target is W_value; an Embedding, a container and linears with longer and shorter names are there too"
    same(changed, ["right.W_value"], because)


@clause("names")
@pytest.mark.parametrize("targets", [("W_value", "W_query"), ("W_query", "W_value")], ids=["later first", "in order"])
def test_the_result_names_them_in_the_models_order(targets):
    because = f"targets are {targets}; the order is that of the model, and not of the targets"
    same(apply_lora(Toy(), 2, 3.0, targets), REPLACED, because)


@clause("names")
def test_they_are_made_in_the_models_order():
    given, model = dict(Toy().named_modules()), Toy()
    torch.manual_seed(123)
    expected = {name: LoRALinear(given[name], 2, 3.0).A for name in REPLACED}
    torch.manual_seed(123)
    apply_lora(model, 2, 3.0, ("W_value", "W_query"))
    for name, a in expected.items():
        made = model.get_submodule(name)
        assert is_lora(made), f"{name} is a {type(made).__name__}"
        close(
            made.A.detach(), a.detach(), f"after the same seed, A of {name} differs from one that is made in its turn"
        )


@clause("learns")
def test_a_and_b_alone_learn_in_ten_steps():
    model = with_gradients(Toy())
    names = apply_lora(model, 2, 3.0, TARGETS)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    learn(model)
    moved = [name for name, one in model.state_dict().items() if not torch.equal(one, before[name])]
    expected = [f"{name}.{part}" for name in names for part in "AB"]
    others = [name for name in moved if name not in expected]
    assert not others, f"after ten steps over all of model.parameters() these have moved, and should not: {others}"
    still = [name for name in expected if name not in moved]
    assert not still and moved, f"after ten steps these have not moved, and should: {still or expected}"  # noqa: PT018


@clause("learns")
def test_nothing_else_requires_gradients():
    model = with_gradients(Toy())
    names = apply_lora(model, 2, 3.0, TARGETS)
    same(len(names), 4, "the number of replaced layers")
    seen = [name for name, one in model.named_parameters() if one.requires_grad]
    expected = sorted(f"{name}.{part}" for name in names for part in "AB")
    same(sorted(seen), expected, "the parameters that require gradients")
    left = [name for name, one in model.named_parameters() if one.grad is not None]
    assert not left, f"these have gradients from before, by which an optimizer moves them though frozen: {left}"


@clause("shared")
@pytest.mark.parametrize("targets", [("first",), ("W_value",), ("again",), ("again", "first")], ids=" ".join)
def test_one_layer_in_several_places_stays_one(targets):
    model, x = Twice(), numbers(2, 6)
    expected = model(x)
    names = apply_lora(model, 2, 3.0, targets)
    same(names, ["first"], f"one linear is first, inner.W_value and inner.again; targets are {targets}")
    standing_there = [model.first, model.inner["W_value"], model.inner["again"]]
    kinds = [type(one).__name__ for one in standing_there]
    same(kinds, ["LoRALinear"] * 3, "what stands in the three places")
    assert len({id(one) for one in standing_there}) == 1, "one linear has become several LoRALinears"
    same(type(model.inner["other"]).__name__, "Linear", "a linear that is no target")
    identical(model(x), expected, "nothing is learned yet, and the output of the model is another one")


@clause("shared")
def test_a_shared_block_is_adapted_once():
    block = Block()
    model = nn.Sequential(block, nn.Identity(), block)
    same(apply_lora(model, 2, 3.0, TARGETS), ["0.W_query", "0.W_value"], "one block stands in a model twice")
    assert model[0] is model[2], "one block stood in two places, and now there are two"
    same(type(model[2].W_value.linear).__name__, "Linear", "what the LoRALinear in the block holds")


@clause("unknown")
@pytest.mark.parametrize(
    "target", ["W_key", "norm", "tok_emb", "blocks", "query", "blocks.0.W_query", "weight"], ids=str
)
def test_a_target_that_no_linear_has_is_refused(target):
    for targets in ((target,), ("W_query", target), (target, "W_query")):
        with refuses(ValueError, target):
            apply_lora(Toy(), 2, 3.0, targets)


@clause("unknown")
def test_no_target_and_one_string_are_refused():
    with refuses(ValueError, "targets"):
        apply_lora(Toy(), 2, 3.0, ())
    for text in ("W_query", "v"):
        with refuses(TypeError):
            apply_lora(Toy(), 2, 3.0, text)


@clause("tied")
@pytest.mark.parametrize("targets", [("out_head",), ("W_query", "out_head")], ids=" ".join)
def test_a_tied_layer_is_refused(targets):
    with refuses(ValueError, "out_head"):
        apply_lora(Toy(tied=True), 2, 3.0, targets)


@clause("tied")
def test_two_linears_with_one_weight_are_refused():
    model = nn.ModuleDict({"left": nn.Linear(6, 6), "right": nn.Linear(6, 6)})
    model["right"].weight = model["left"].weight
    for target in ("left", "right"):
        with refuses(ValueError, target):
            apply_lora(model, 2, 3.0, (target,))


@clause("tied")
def test_a_tie_elsewhere_does_not_matter():
    try:
        names = apply_lora(Toy(tied=True), 2, 3.0, TARGETS)
    except ValueError as error:
        pytest.fail(f"out_head is tied to tok_emb, and neither is a target, yet it was refused: {error}")
    same(names, REPLACED, "out_head is tied to tok_emb, and neither is a target")


@clause("again")
@pytest.mark.parametrize("targets", [TARGETS, ("out_proj",), ("linear",)], ids=" ".join)
def test_a_second_adapter_is_refused(targets):
    model = adapted(("W_value",))
    before = standing(model)
    with refuses(ValueError, ".W_value"):
        apply_lora(model, 2, 3.0, targets)
    for part, value in standing(model).items():
        same(value, before[part], f"a second apply_lora was refused, and {part} changed")


@clause("whole")
@pytest.mark.parametrize(
    ("rank", "alpha", "targets", "tied"),
    [
        (5, 3.0, ("out_head", "W_query"), False),
        (5, 3.0, ("out_proj", "out_head", "W_query"), False),
        (0, 3.0, TARGETS, False),
        (2, 0.0, TARGETS, False),
        (2, 3.0, ("W_query", "W_key"), False),
        (2, 3.0, (), False),
        (2, 3.0, "W_query", False),
        (2, 3.0, ("W_query", "out_head"), True),
    ],
    ids=["rank", "rank of a later one", "rank 0", "alpha", "unknown", "none", "a str", "tied"],
)
def test_what_is_refused_changes_nothing(rank, alpha, targets, tied):
    model = with_gradients(Toy(tied))
    before = standing(model)
    with refuses(TypeError if isinstance(targets, str) else ValueError):
        apply_lora(model, rank, alpha, targets)
    for part, value in standing(model).items():
        same(value, before[part], f"rank {rank}, alpha {alpha}, targets {targets} were refused, and {part} changed")


@clause("plain")
@pytest.mark.parametrize("merged", [False, True], ids=["", "one merged before"])
def test_the_layers_come_back_with_their_update(merged):
    model = Toy()
    before, names = dict(model.named_modules()), list(model.state_dict())
    adapted(model=model)
    expected = {}
    for name in REPLACED:
        made = model.get_submodule(name)
        expected[name] = made.linear.weight.detach() + update(made)
    if merged:
        model.blocks[0].W_value.merge()
    merge_lora(model)
    left = [name for name, module in model.named_modules() if is_lora(module)]
    assert not left, f"after merge_lora there are still LoRALinears, at {left}"
    same(list(model.state_dict()), names, "the names in the state dict after merge_lora, and before apply_lora")
    for name, module in model.named_modules():
        assert module is before[name], f"after merge_lora {name} is another object than before apply_lora"
    for name, weight in expected.items():
        close(model.get_submodule(name).weight.detach(), weight, f"the weight of {name}, with its update in it once")


@clause("plain")
def test_a_shared_layer_comes_back_to_all_its_places():
    model, x = Twice(), numbers(2, 6)
    given = model.first
    adapted(("again",), model=model)
    weight = given.weight.detach() + update(model.first)
    expected = model(x).detach()
    merge_lora(model)
    for place, module in {"first": model.first, **model.inner}.items():
        assert place == "other" or module is given, f"{place} is a {type(module).__name__}, and not the linear it was"
    close(given.weight.detach(), weight, "one linear in three places has its update once")
    close(model(x), expected, "a linear that stands in three places was merged")


@clause("same")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_the_merged_model_computes_the_same(dtype):
    model = learn(adapted().to(dtype), 3)
    expected, base = model(IDS).detach(), Toy().to(dtype)(IDS)
    assert (expected - base).abs().max() > 0.1, "with dealt adapters the model computes what it did without"
    merge_lora(model)
    close(model(IDS), expected, "after merge_lora the logits are others")
    learning = [name for name, one in model.named_parameters() if one.requires_grad]
    assert not learning, f"all but the adapters was frozen; after merge_lora {learning} require gradients"


@clause("same")
def test_merging_again_changes_nothing():
    model = adapted()
    expected = model(IDS).detach()
    merge_lora(model)
    merged = model(IDS).detach()
    close(merged, expected, "after merge_lora the logits are others")
    model.tok_emb.weight.requires_grad_(True)
    merge_lora(model)
    identical(model(IDS).detach(), merged, "there was no adapter left, and merge_lora changed the logits")
    assert model.tok_emb.weight.requires_grad, "tok_emb was set to learn, and merge_lora froze it"


@clause("adapter")
def test_the_state_is_a_and_b_alone():
    model = adapted()
    state, whole = lora_state_dict(model), model.state_dict()
    expected = [f"{name}.{part}" for name in REPLACED for part in "AB"]
    assert sorted(state) == sorted(expected), f"the names are {sorted(state)}, expected {sorted(expected)}"
    for name in expected:
        identical(state[name], whole[name], f"{name} has other numbers than in model.state_dict()")
    same(dict(lora_state_dict(Toy())), {}, "a model without adapters")


@clause("adapter")
def test_the_names_are_those_of_the_models_state_dict():
    same(
        sorted(lora_state_dict(layer())), ["A", "B"], "the model is a LoRALinear itself: no dot stands before the names"
    )
    shared = adapted(("again",), model=Twice())
    same(sorted(lora_state_dict(shared)), ["first.A", "first.B"], "one layer is first, inner.W_value and inner.again")


@clause("copies")
def test_the_state_stays_when_training_goes_on():
    model = adapted()
    state = lora_state_dict(model)
    before = {name: one.detach().clone() for name, one in state.items()}
    same(len(before), 8, "tensors of four adapters")
    assert not any(one.requires_grad for one in state.values()), "the tensors require gradients: they are not detached"
    learn(model, 3)
    for name, one in state.items():
        identical(one.detach(), before[name], f"the model was trained on, and {name} in the state changed: no copy")


@clause("restored")
def test_an_adapter_moves_by_a_file_to_a_fresh_model(tmp_path):
    model = Toy()
    apply_lora(model, 2, 3.0, TARGETS)
    learn(model)
    save_file(lora_state_dict(model), tmp_path / "adapter.safetensors")
    other = Toy()
    apply_lora(other, 2, 3.0, TARGETS)
    assert not torch.equal(other(IDS), model(IDS)), "ten steps of training changed no logit"
    load_lora_state_dict(other, load_file(tmp_path / "adapter.safetensors"))
    identical(other(IDS), model(IDS), "saved, loaded into a fresh model of the same base: the logits are others")


@clause("restored")
def test_an_adapter_may_come_in_any_order():
    model, other = adapted(), Toy()
    apply_lora(other, 2, 3.0, TARGETS)
    load_lora_state_dict(other, dict(reversed(lora_state_dict(model).items())))
    identical(other(IDS), model(IDS), "the state came in another order, with the same names")


@clause("filled")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_the_parameters_stay_the_same(dtype):
    state = {name: one.to(dtype) for name, one in lora_state_dict(adapted()).items()}
    model = Toy()
    apply_lora(model, 2, 3.0, TARGETS)
    before = dict(model.named_parameters())
    load_lora_state_dict(model, state)
    for name, one in model.named_parameters():
        assert one is before[name], f"{name} is another parameter after loading: an optimizer has the old one"
        same(str(one.dtype), "torch.float32", f"the dtype of {name} after loading one of {dtype}")
        same(one.requires_grad, name in state, f"whether {name} requires gradients after loading")
    expected = {name: one.detach().clone() for name, one in model.named_parameters() if name in state}
    for name, one in state.items():
        close(expected[name], one.float(), f"{name} after loading")
        one.zero_()
        identical(before[name].detach(), expected[name], f"the state was zeroed later, and {name} in the model with it")


@clause("differs")
@pytest.mark.parametrize("case", misfits(), ids=str)
def test_a_state_that_does_not_fit_is_refused(case):
    spoil, named = misfits()[case]
    model = adapted()
    state = lora_state_dict(model)
    spoil(state)
    with refuses(ValueError, *named):
        load_lora_state_dict(model, state)


@clause("busy")
@pytest.mark.parametrize("name", REPLACED, ids=str)
def test_a_merged_layer_takes_no_other_adapter(name):
    model = adapted()
    state = lora_state_dict(model)
    model.get_submodule(name).merge()
    with refuses(ValueError, name):
        load_lora_state_dict(model, state)
    same(model.get_submodule(name).merged, True, f"merged of {name}, after the state was refused")


@clause("kept")
@pytest.mark.parametrize("case", [*misfits(), "merged"], ids=str)
def test_a_state_that_is_refused_changes_nothing(case):
    model = adapted()
    state = {name: one + 1 for name, one in lora_state_dict(model).items()}
    if case == "merged":
        model.blocks[1].W_value.merge()
    else:
        misfits()[case][0](state)
    before = standing(model)
    with refuses(ValueError):
        load_lora_state_dict(model, state)
    for part, value in standing(model).items():
        same(value, before[part], f"a state was refused ({case}), and {part} changed")
