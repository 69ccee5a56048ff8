"""RMS normalization, clause by clause. The why: docs/modern/rmsnorm.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import rms_norm

from katas.modern.rmsnorm import RMSNorm
from tests import laws
from tests.support import clause, close, dealt, filled, numbers, parameters, refuses

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda one: str(one)[6:])


def plain(emb_dim, **eps):
    """A module with a weight of ones, whatever it begins with."""
    return filled(RMSNorm(emb_dim, **eps), {"weight": 1.0})


def made(emb_dim):
    """A module with fixed numbers in its weight."""
    norm = RMSNorm(emb_dim)
    parameters(norm, "weight")
    return dealt(norm)


def of_torch(norm, x, eps=1e-6):
    """PyTorch's own RMS normalization with the same weight."""
    return rms_norm(x, x.shape[-1:], norm.weight, eps)


def in_steps(x, weight):
    """What Llama computes, each step in float64 and rounded where Llama rounds."""
    normed = x.double() / (x.double().square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
    return (normed.to(x.dtype).double() * weight.double()).to(x.dtype)


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x = 3 * numbers(2, 4, 5) + 1

    def of_size(emb_dim=5, **eps):
        norm = dealt(kata.RMSNorm(emb_dim, **eps))
        return filled(norm, {name: 0.5 for name, _ in norm.named_parameters() if name != "weight"})  # a shift: any name

    def of_ones(emb_dim, **eps):
        norm = kata.RMSNorm(emb_dim, **eps)
        norm.weight.data.fill_(1)
        return norm

    def gradient(name):
        leaf, norm = x.clone().requires_grad_(), of_size()
        norm(leaf).mul(numbers(2, 4, 5, seed="towards")).sum().backward()
        return leaf.grad if name == "x" else norm.weight.grad

    def zeros(gradient=False):
        leaf = torch.zeros(2, 5, requires_grad=True)
        seen = of_size()(leaf)
        return torch.autograd.grad(seen.sum(), leaf)[0].isfinite().all().item() if gradient else seen

    def precise():
        norm, wide = of_size().double(), x.double()
        return torch.allclose(norm(wide).double(), of_torch(norm, wide), rtol=1e-9)

    def narrow(dtype):
        return of_size().to(dtype)(x.to(dtype))

    def float16(size):
        return of_size(3).half()(torch.tensor([[size, -size, 3.0]], dtype=torch.float16)).float()

    def tried(call):
        try:
            return call()
        except Exception as error:
            return f"{type(error).__name__} {'23' in str(error)}"

    def unchanged():
        given = x.clone()
        of_size()(given)
        return torch.equal(given, x)

    def kept():
        norm = of_size()
        norm(x)
        return len(vars(norm)) - len(vars(of_size()))

    return {
        "parameters": lambda: [list(value.shape) for value in kata.RMSNorm(5).parameters()],
        "weight": lambda: kata.RMSNorm(5).weight.detach(),
        "example": lambda: of_ones(2)(torch.tensor([[1.0, 7.0]])),
        "with ones": lambda: of_ones(5)(x),
        "numbers": lambda: of_size()(x),
        "one token": lambda: of_size()(x[1:, 2:3]),
        "two axes": lambda: tried(lambda: of_size()(x[0])),
        "one axis": lambda: tried(lambda: of_size()(x[0, 0])),
        "small": lambda: of_ones(5)(x / 1000),
        "small, larger eps": lambda: of_ones(5, eps=1e-4)(x / 1000),
        "gradient of x": lambda: gradient("x"),
        "gradient of weight": lambda: gradient("weight"),
        "zeros": zeros,
        "zeros, finite gradient": lambda: zeros(gradient=True),
        "float64": precise,
        "dtype": lambda: str(narrow(torch.bfloat16).dtype),
        "bfloat16": lambda: narrow(torch.bfloat16).float(),
        "bfloat16, with ones": lambda: of_ones(5).bfloat16()(x.bfloat16()).float(),
        "float16, 300": lambda: float16(300.0),
        "float16, 60 000": lambda: float16(60_000.0),
        "refusal": lambda: tried(lambda: of_size(23)(torch.ones(2, 4, 1)).shape),
        "unchanged": unchanged,
        "kept": kept,
    }


@clause("parameters")
def test_weight_is_all_that_is_learned():
    seen = {name: tuple(value.shape) for name, value in RMSNorm(5).named_parameters()}
    assert seen == {"weight": (5,)}, f"emb_dim=5: the parameters and their shapes are {seen}, expected weight, (5,)"
    assert RMSNorm(5).weight.requires_grad, "weight requires no gradient, so no optimizer updates it"


@clause("parameters")
def test_weight_begins_as_ones():
    close(RMSNorm(5).weight, torch.ones(5), "weight should begin as ones, which change nothing")


@clause("example")
def test_one_and_seven_become_a_fifth_and_seven_fifths():
    seen = plain(2)(torch.tensor([[[1.0, 7.0]]]))
    because = f"the features 1 and 7 have the mean square 25; they became {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[0.2, 1.4]]]), because)


@clause("per-token")
@pytest.mark.parametrize(("row", "token"), [(0, 0), (1, 2)])
def test_rewriting_one_token_leaves_the_others_alone(row, token):
    norm, x = made(5), 3 * numbers(2, 4, 5)
    rewritten = x.clone()
    rewritten[row, token] += 20 * numbers(5, seed="rewritten")
    before, after = norm(x).flatten(0, 1), norm(rewritten).flatten(0, 1)
    others = torch.arange(8) != 4 * row + token
    because = f"only token {token} of row {row} was rewritten, but another token's output changed"
    close(after[others], before[others], because)
    changed = not torch.equal(after[~others], before[~others])
    assert changed, f"token {token} of row {row} was rewritten, but its output did not change"


@clause("weight")
def test_weight_multiplies_what_was_normalized():
    norm, x = made(5), 3 * numbers(2, 4, 5)
    because = "weight was set; expected what this module gives with ones, times weight"
    close(norm(x), plain(5)(x) * norm.weight, because)


@clause("eps")
def test_eps_is_added_to_the_mean_square():
    seen = plain(2)(torch.tensor([[[1e-3, 7e-3]]]))
    because = "0.001 and 0.007 have the mean square 2.5e-5, and 0.001 / sqrt(2.5e-5 + 1e-6) is 0.1961"
    close(seen, torch.tensor([[[0.19611614, 1.37281295]]]), because)


@clause("eps")
def test_eps_can_be_given():
    seen = plain(2, eps=1.1e-5)(torch.tensor([[[1e-3, 7e-3]]]))
    because = "eps=1.1e-5 was given, and 0.001 / sqrt(2.5e-5 + 1.1e-5) is 1/6"
    close(seen, torch.tensor([[[1 / 6, 7 / 6]]]), because)


@clause("formula")
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_agrees_with_torch(batch, tokens, emb_dim, seed):
    norm, x = made(emb_dim), 3 * numbers(batch, tokens, emb_dim, seed=seed)
    close(norm(x), of_torch(norm, x), "expected what PyTorch's rms_norm gives with the same weight")


@clause("gradients")
def test_gradients_are_those_of_torch():
    norm, x = made(5), (3 * numbers(2, 4, 5)).requires_grad_()
    laws.gradients_agree(norm(x), of_torch(norm, x), {"the input": x, "weight": norm.weight}, "PyTorch's rms_norm")


@clause("axes")
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 1, 3, 5), (0, 5), (3, 1)], ids=str)
def test_any_axes_may_stand_before_the_features(shape):
    norm, x = made(shape[-1]), 3 * numbers(*shape)
    try:
        seen = norm(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {shape} ended in {type(error).__name__}: {error}")
    close(seen, of_torch(norm, x), f"the input has the shape {shape}")


@clause("zeros")
def test_a_token_of_zeros_stays_zeros():
    norm, x = made(4), torch.zeros(2, 3, 4, requires_grad=True)
    seen = norm(x)
    close(seen, torch.zeros(2, 3, 4), "all features are 0")
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    assert gradient.isfinite().all(), "all features are 0: the gradient of the input is not finite"


@clause("dtype")
@DTYPES
def test_the_dtype_is_kept(dtype):
    norm, x = made(5).to(dtype), 3 * numbers(2, 4, 5, dtype=dtype)
    laws.keeps_dtype(norm, x, of_torch(copy.deepcopy(norm).double(), x.double()))


@clause("float32")
@pytest.mark.parametrize("size", [300.0, 60_000.0])
def test_float16_has_room_for_large_features(size):
    norm = made(6).half()
    x = torch.tensor([[[size, -size, 0.9 * size, 3, -7, 250]]], dtype=torch.float16, requires_grad=True)
    seen = norm(x)
    expected = of_torch(copy.deepcopy(norm).double(), x.double()).half()
    close(seen, expected, f"float16 features of up to {size:g}; the square of 256 is already inf in float16")


@clause("float32")
def test_bfloat16_is_squared_in_float32():
    x = (numbers(4, 64) + 1).bfloat16()
    because = "bfloat16 features and a weight of ones; expected each step in float32, and one rounding at the end"
    close(plain(64).bfloat16()(x), in_steps(x, torch.ones(64)), because, rtol=0, atol=0)


@clause("cast")
def test_the_features_are_rounded_before_weight_multiplies():
    """With a weight of ones as the yardstick: how the features were normalized does not matter here."""
    x, weight = (numbers(4, 64) + 1).bfloat16(), numbers(64, seed="weight", dtype=torch.bfloat16)
    seen = filled(RMSNorm(64).bfloat16(), {"weight": weight})(x)
    because = "bfloat16; expected what this module gives with a weight of ones, in bfloat16, times weight"
    close(seen.bfloat16(), plain(64).bfloat16()(x).bfloat16() * weight, because, rtol=0, atol=0)


@clause("width")
@pytest.mark.parametrize("features", [25, 22, 1])
def test_another_number_of_features_is_refused(features):
    with refuses(ValueError, features, 23):
        RMSNorm(23)(torch.ones(2, 4, features))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(made(5), 3 * numbers(2, 4, 5))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    norm, x = made(5), (3 * numbers(2, 4, 5)).requires_grad_()
    first = norm(x)
    norm(5 * x + 1)
    close(norm(x), first, "the same input gave other numbers after a call with another input in between")
    try:
        close(copy.deepcopy(norm)(x), first, "after a call, a copy of the module gives other numbers")
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call and its graph")
