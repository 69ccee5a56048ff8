"""The feedforward part, clause by clause. The why: docs/gpt/feedforward.md."""

import copy

import pytest
import torch
from torch.nn import functional

from katas.gpt.feedforward import GELU, FeedForward
from tests import laws, probes
from tests.probes import tried
from tests.support import clause, close, dealt, numbers

NARROW = pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda one: str(one)[6:])


def tanh_gelu(x):
    """PyTorch's own."""
    return functional.gelu(x, approximate="tanh")


def by_hand(module, x, gelu):
    """Two of PyTorch's linear maps with the module's parameters, and a GELU between them."""
    known = module.state_dict(keep_vars=True)
    hidden = gelu(functional.linear(x, known["layers.0.weight"], known["layers.0.bias"]))
    return functional.linear(hidden, known["layers.2.weight"], known["layers.2.bias"])


def slope(x):
    """What autograd gives for the learner's GELU."""
    leaf = x.clone().requires_grad_()
    seen = GELU()(leaf)
    assert seen.requires_grad, "no gradient flows back from the result: it was detached"
    return torch.autograd.grad(seen.sum(), leaf)[0]


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x = 3 * numbers(2, 4, 5)

    def made():
        """In eval mode, so that what dropout draws decides one part alone, whatever its rate."""
        return dealt(kata.FeedForward(5)).eval()

    def in_training():
        many = x.repeat(50, 1, 1)
        plain, seen = made()(many), made().train()(many)
        if torch.equal(seen, plain):
            return "as in eval mode"
        return "numbers of the output are 0" if (seen == 0).any() else "other numbers"

    def fresh(name):
        torch.manual_seed(5)
        return kata.FeedForward(3).state_dict()[name].abs().sum()

    def slopes():
        leaf = x.clone().requires_grad_()
        seen = kata.GELU()(leaf)
        return torch.autograd.grad(seen.sum(), leaf)[0] if seen.requires_grad else "detached"

    def finite(size, dtype):
        leaf = torch.tensor([size, -size], dtype=dtype, requires_grad=True)
        return torch.autograd.grad(kata.GELU()(leaf).sum(), leaf)[0].isfinite().tolist()

    def gradient(name):
        leaf, module = x.clone().requires_grad_(), made()
        module(leaf).square().sum().backward()
        return leaf.grad if name == "x" else module.state_dict(keep_vars=True)[name].grad

    def precise():
        return torch.allclose(kata.GELU()(x.double()).double(), tanh_gelu(x.double()), rtol=1e-9, atol=1e-9)

    def in_bfloat16(module):
        return str(module.bfloat16()(x.bfloat16()).dtype)

    return {
        "GELU": lambda: kata.GELU()(x),
        "GELU of 1": lambda: kata.GELU()(torch.tensor([1.0])),
        "slopes": slopes,
        "slopes at 100": lambda: finite(100.0, torch.float32),
        "slopes at 300 in float16": lambda: finite(300.0, torch.float16),
        "GELU in float64": lambda: probes.coarse(kata.GELU(), x),
        "GELU in float64, precise": precise,
        "GELU in bfloat16": lambda: in_bfloat16(kata.GELU()),
        "GELU, unchanged": lambda: probes.unchanged(kata.GELU(), x),
        "saved by GELU": lambda: len(kata.GELU().state_dict()),
        "width": lambda: kata.FeedForward(3).layers[0].out_features,
        "biases": lambda: [name for name in kata.FeedForward(3).state_dict() if "bias" in name],
        "first layer after a seed": lambda: fresh("layers.0.weight"),
        "second layer after a seed": lambda: fresh("layers.2.weight"),
        "bias after a seed": lambda: fresh("layers.2.bias"),
        "output, less that with your GELU": lambda: made()(x) - by_hand(made(), x, kata.GELU()),
        "in training": in_training,
        "two axes": lambda: tried(lambda: made()(x[0])),
        "one axis": lambda: tried(lambda: made()(x[0, 0])),
        "view": lambda: tried(lambda: made()((3 * numbers(2, 5, 4)).mT)),
        "gradient of x": lambda: gradient("x"),
        "gradient of the first layer": lambda: gradient("layers.0.weight"),
        "float64": lambda: tried(lambda: probes.coarse(made(), x)),
        "bfloat16": lambda: tried(lambda: in_bfloat16(made())),
        "unchanged": lambda: probes.unchanged(made(), x),
        "kept": lambda: probes.kept(made, x),
    }


@clause("gelu")
@pytest.mark.parametrize(("x", "expected"), [(0.0, 0.0), (1.0, 0.841192), (-1.0, -0.158808)])
def test_single_numbers_become_what_the_formula_says(x, expected):
    close(GELU()(torch.tensor([[[x]]])), torch.tensor([[[expected]]]), f"this is GELU of {x:g}, in the form with tanh")


@clause("gelu")
def test_it_is_the_form_with_tanh():
    x = torch.linspace(-6, 6, 240).reshape(2, 4, 30)
    close(GELU()(x), tanh_gelu(x), "expected PyTorch's gelu(x, approximate='tanh'), for x between -6 and 6")


@clause("slope")
def test_the_gradient_is_the_slope_of_the_curve():
    """Measured on the learner's own curve, so a wrong formula does not fail here."""
    x = torch.tensor([[[-3.0, -2.0, -1.0, -0.5, -0.1, 0.1, 0.5, 1.0, 2.0, 3.0]]])
    step = 2**-6
    measured = (GELU()(x + step) - GELU()(x - step)) / (2 * step)
    because = "expected the slope of your own GELU, measured as (GELU(x + 1/64) - GELU(x - 1/64)) * 32"
    close(slope(x), measured.detach(), because, rtol=2e-3, atol=2e-3)


@clause("layers")
@pytest.mark.parametrize("emb_dim", [3, 1])
def test_two_linear_layers_are_the_only_parameters(emb_dim):
    seen = {name: tuple(value.shape) for name, value in FeedForward(emb_dim).named_parameters()}
    wide = 4 * emb_dim
    expected = {"layers.0.weight": (wide, emb_dim), "layers.0.bias": (wide,)}
    expected |= {"layers.2.weight": (emb_dim, wide), "layers.2.bias": (emb_dim,)}
    assert seen == expected, f"emb_dim={emb_dim}: the parameters and their shapes are {seen}, expected {expected}"


@clause("output")
@pytest.mark.parametrize("emb_dim", [5, 1])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_output_is_linear_gelu_linear(mode, emb_dim):
    module, x = dealt(FeedForward(emb_dim)), 3 * numbers(2, 4, emb_dim)
    torch.manual_seed(0)
    seen = module.train(mode == "train")(x)
    close(seen, by_hand(module, x, GELU()), f"in {mode} mode; expected PyTorch's linear, your GELU, PyTorch's linear")


@clause("gradients")
def test_gradients_reach_the_input_and_all_parameters():
    module, x = dealt(FeedForward(5)), (3 * numbers(2, 4, 5)).requires_grad_()
    laws.gradients_reach(module(x), {"the input": x, **dict(module.named_parameters())})


@clause("extreme")
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=lambda one: str(one)[6:]
)
def test_far_out_nothing_overflows(dtype):
    x = torch.tensor([1e4, -1e4, 60_000.0, -60_000.0, 300.0, -300.0], dtype=dtype)
    close(GELU()(x), x.clamp(min=0), f"{dtype}, GELU of {x.tolist()}")
    expected = torch.tensor([1.0, 0.0] * 3, dtype=dtype)
    close(slope(x), expected, f"{dtype}, the gradients at {x.tolist()}; inf * 0 is nan")


@clause("gelu-dtype")
@NARROW
def test_gelu_keeps_the_dtype(dtype):
    x = 3 * numbers(2, 4, 5, dtype=dtype)
    laws.keeps_dtype(GELU(), x, tanh_gelu(x.double()))


@clause("gelu-pure")
def test_gelu_leaves_its_input_alone_and_saves_nothing():
    laws.leaves_its_inputs_alone(GELU(), 3 * numbers(2, 4, 5))
    saved = list(GELU().state_dict())
    assert not saved, f"GELU has nothing to learn or to save, but its state dict holds {saved}"


@clause("seed")
def test_the_layers_are_created_in_order_with_the_numbers_of_linear():
    torch.manual_seed(123)
    expected = {"layers.0": torch.nn.Linear(3, 12), "layers.2": torch.nn.Linear(12, 3)}
    torch.manual_seed(123)
    seen = FeedForward(3).state_dict()
    for name, linear in expected.items():
        for kind in ("weight", "bias"):
            because = f"{name}.{kind} after a seed, expected nn.Linear's: created in another order, or initialized?"
            close(seen[f"{name}.{kind}"], getattr(linear, kind), because)


@clause("axes")
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 1, 3, 5), (0, 5)], ids=str)
def test_any_axes_may_stand_before_the_features(shape):
    module, x = dealt(FeedForward(5)), 3 * numbers(*shape)
    try:
        seen = module(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {shape} ended in {type(error).__name__}: {error}")
    close(seen, by_hand(module, x, GELU()), f"the input has the shape {shape}")


@clause("axes")
def test_a_view_is_as_good_as_a_copy():
    module = dealt(FeedForward(5))
    laws.works_on_views(module, (2, 4, 5), lambda x: by_hand(module, x, GELU()))


@clause("dtype")
@NARROW
def test_the_dtype_is_kept(dtype):
    module, x = dealt(FeedForward(5).to(dtype)), 3 * numbers(2, 4, 5, dtype=dtype)
    laws.keeps_dtype(module, x, by_hand(copy.deepcopy(module).double(), x.double(), GELU()))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(dealt(FeedForward(5)), 3 * numbers(2, 4, 5))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    module, x = dealt(FeedForward(5)), 3 * numbers(2, 4, 5)
    first = module(x)
    module(2 * x + 1)
    close(module(x), first, "the same input gave other numbers after a call with another input in between")
    try:
        close(copy.deepcopy(module)(x), first, "after a call, a copy of the module gives other numbers")
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call and its graph")
