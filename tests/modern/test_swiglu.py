"""The gated feedforward part, clause by clause. The why: docs/modern/swiglu.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, silu

from katas.modern.swiglu import SwiGLU
from tests import laws
from tests.support import clause, close, filled, numbers, parameters

WEIGHTS = ("gate_proj.weight", "up_proj.weight", "down_proj.weight")
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda one: str(one)[6:])


def made(emb_dim, hidden_dim):
    """A module with fixed numbers in its weights; biases, wrongly there, are zeros."""
    return deal(SwiGLU(emb_dim, hidden_dim))


def deal(module):
    known = parameters(module, *WEIGHTS)
    biases = {name: 0.0 for name in known if name.endswith("bias")}
    return filled(module, biases | {name: numbers(*known[name].shape, seed=name) for name in WEIGHTS})


def of_torch(module, x):
    """The formula of PyTorch's functions, with the same weights."""
    known = parameters(module, *WEIGHTS)
    gate, up, down = (known[name] for name in WEIGHTS)
    return linear(silu(linear(x, gate)) * linear(x, up), down)


def single(gate, up, down=1.0):
    """A module of one feature and one hidden feature."""
    module = deal(SwiGLU(1, 1))
    return filled(module, dict(zip(WEIGHTS, (gate, up, down), strict=True)))


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x = 2 * numbers(2, 4, 3)

    def dealt():
        return deal(kata.SwiGLU(3, 7))

    def gradient(name):
        leaf, module = x.clone().requires_grad_(), dealt()
        module(leaf).mul(numbers(2, 4, 3, seed="towards")).sum().backward()
        return leaf.grad if name == "x" else dict(module.named_parameters())[f"{name}.weight"].grad

    def hidden(gates, ups):
        """What down_proj is given, where gate_proj and up_proj give these numbers."""
        module, seen = dealt(), []
        module.gate_proj.register_forward_hook(lambda *_: torch.tensor([gates]))
        module.up_proj.register_forward_hook(lambda *_: torch.tensor([ups]))
        module.down_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        module(x[0, :1])
        return seen[0]

    def tried(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def finite(size):
        module = deal(kata.SwiGLU(1, 1))
        leaf = torch.tensor([[size]], requires_grad=True)
        return torch.autograd.grad(module(leaf).sum(), leaf)[0].isfinite().item()

    def coarse():
        module, finer = dealt().double(), 1e-9 * numbers(2, 4, 3, dtype=torch.float64)
        return torch.equal(module(x.double()), module(x.double() + finer))

    def unchanged():
        given = x.clone()
        dealt()(given)
        return torch.equal(given, x)

    def kept():
        module = dealt()
        module(x)
        return len(vars(module)) - len(vars(dealt()))

    return {
        "names": lambda: sorted(name for name, _ in kata.SwiGLU(3, 7).named_parameters()),
        "shapes": lambda: [list(kata.SwiGLU(3, 7).get_parameter(name).shape) for name in WEIGHTS],
        "numbers": lambda: dealt()(x),
        "eval": lambda: dealt().eval()(x),
        "small": lambda: dealt()(x / 10) * 100,
        "gates alone": lambda: hidden([-2.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0], [1.0] * 7),
        "ups alone": lambda: hidden([1.0] * 7, [-2.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0]),
        "two axes": lambda: tried(lambda: dealt()(x[0])),
        "one axis": lambda: tried(lambda: dealt()(x[0, 0])),
        "view": lambda: tried(lambda: dealt()((2 * numbers(2, 3, 4)).mT)),
        "gradient of x": lambda: gradient("x"),
        "gradient of gate": lambda: gradient("gate_proj"),
        "gradient of up": lambda: gradient("up_proj"),
        "gradient of down": lambda: gradient("down_proj"),
        "finite at 1 000": lambda: finite(1000.0),
        "finite at -1 000": lambda: finite(-1000.0),
        "float64": lambda: tried(coarse),
        "bfloat16": lambda: tried(lambda: str(dealt().bfloat16()(x.bfloat16()).dtype)),
        "unchanged": unchanged,
        "kept": kept,
    }


@clause("layers")
@pytest.mark.parametrize(("emb_dim", "hidden_dim"), [(3, 7), (4, 2)])
def test_three_linear_layers_without_a_bias(emb_dim, hidden_dim):
    seen = {name: tuple(value.shape) for name, value in SwiGLU(emb_dim, hidden_dim).named_parameters()}
    expected = dict(zip(WEIGHTS, [(hidden_dim, emb_dim), (hidden_dim, emb_dim), (emb_dim, hidden_dim)], strict=True))
    because = f"emb_dim={emb_dim}, hidden_dim={hidden_dim}: the parameters and their shapes are"
    assert seen == expected, f"{because} {seen}, expected {expected}"


@clause("example")
def test_one_becomes_silu_of_one_times_three():
    seen = single(1.0, 3.0)(torch.tensor([[1.0]]))
    close(seen, torch.tensor([[2.193176]]), "gate 1, up 3, down 1: the input 1 gives silu(1) * 3 = 0.7311 * 3")


@clause("gate")
@pytest.mark.parametrize(("gate", "share"), [(-3.0, 0.047426), (-1.0, 0.268941), (1.0, 0.731059), (3.0, 0.952574)])
def test_the_gate_is_silu(gate, share):
    seen = single(gate, 1.0)(torch.tensor([[1.0]]))
    because = f"the gate is {gate:g} and the other branch 1; silu({gate:g}) is {gate:g} * sigmoid({gate:g})"
    close(seen, torch.tensor([[gate * share]]), because)


@clause("gate")
def test_the_other_branch_stays_linear():
    factors = torch.tensor([-40.0, -1.0, 0.5, 40.0])
    seen = torch.stack([single(2.0, up)(torch.tensor([[1.0]])).flatten()[0] for up in factors.tolist()])
    because = "the gate is 2, and up_proj gives -40, -1, 0.5 and 40: expected silu(2) times these"
    close(seen, silu(torch.tensor(2.0)) * factors, because)


@clause("formula")
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 7), st.integers(0, 99))
def test_agrees_with_the_formula(batch, tokens, emb_dim, hidden_dim, seed):
    module, x = made(emb_dim, hidden_dim), 2 * numbers(batch, tokens, emb_dim, seed=seed)
    close(module(x), of_torch(module, x), "expected down_proj(silu(gate_proj(x)) * up_proj(x)), of PyTorch's functions")


@clause("gradients")
def test_gradients_are_those_of_the_formula():
    module, x = made(3, 7), (2 * numbers(2, 4, 3)).requires_grad_()
    leaves = {"the input": x, **{name: parameters(module)[name] for name in WEIGHTS}}
    laws.gradients_agree(module(x), of_torch(module, x), leaves, "the formula")


@clause("axes")
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 1, 5, 3), (0, 3)], ids=str)
def test_any_axes_may_stand_before_the_features(shape):
    module, x = made(3, 7), 2 * numbers(*shape)
    try:
        seen = module(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {shape} ended in {type(error).__name__}: {error}")
    close(seen, of_torch(module, x), f"the input has the shape {shape}")


@clause("axes")
def test_a_view_is_as_good_as_a_copy():
    module = made(3, 7)
    laws.works_on_views(module, (2, 4, 3), lambda x: of_torch(module, x))


@clause("extreme")
@pytest.mark.parametrize(("gate", "passed", "slope"), [(1000.0, 1000.0, 2000.0), (-1000.0, 0.0, 0.0)])
def test_a_large_gate_passes_all_or_nothing(gate, passed, slope):
    x = torch.tensor([[1.0]], requires_grad=True)
    seen = single(gate, 1.0)(x)
    close(seen, torch.tensor([[passed]]), f"the gate is {gate:g}")
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    close(gradient, torch.tensor([[slope]]), f"the gradient of the input, where the gate is {gate:g}; inf / inf is nan")


@clause("dtype")
@DTYPES
def test_the_dtype_is_kept(dtype):
    module, x = made(3, 7).to(dtype), 2 * numbers(2, 4, 3, dtype=dtype)
    laws.keeps_dtype(module, x, of_torch(copy.deepcopy(module).double(), x.double()))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(made(3, 7), 2 * numbers(2, 4, 3))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    module, x = made(3, 7), 2 * numbers(2, 4, 3)
    first = module(x)
    module(2 * x + 1)
    close(module(x), first, "the same input gave other numbers after a call with another input in between")
    try:
        close(copy.deepcopy(module)(x), first, "after a call, a copy of the module gives other numbers")
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call and its graph")
