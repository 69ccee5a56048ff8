"""Layer normalization, clause by clause. The why: docs/gpt/layernorm.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import layer_norm

from katas.gpt.layernorm import LayerNorm
from tests import laws, probes
from tests.probes import tried
from tests.support import clause, close, dealt, numbers, refuses


def plain(emb_dim):
    """A module with a scale of ones and a shift of zeros, whatever it begins with."""
    norm = LayerNorm(emb_dim)
    with torch.no_grad():
        norm.scale.fill_(1)
        norm.shift.fill_(0)
    return norm


def of_torch(norm, x):
    """PyTorch's own layer normalization with the same scale and shift."""
    return layer_norm(x, x.shape[-1:], norm.scale, norm.shift, eps=1e-5)


def leaves(norm, x):
    return {"the input": x, "scale": norm.scale, "shift": norm.shift}


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x = 3 * numbers(2, 4, 5)

    def made(emb_dim=5):
        return dealt(kata.LayerNorm(emb_dim))

    def kind(name):
        return type(getattr(kata.LayerNorm(5), name)).__name__

    def gradient(name):
        leaf, norm = x.clone().requires_grad_(), made()
        norm(leaf).mul(numbers(2, 4, 5, seed="towards")).sum().backward()
        return leaf.grad if name == "x" else getattr(norm, name).grad

    def with_eps(eps):
        norm = made()
        norm.eps = eps
        return norm(x / 1000)

    def equal(gradient=False):
        leaf = torch.full((2, 5), 3.0, requires_grad=True)
        seen = made()(leaf)
        return torch.autograd.grad(seen.square().sum(), leaf)[0].isfinite().all().item() if gradient else seen

    def float16(size):
        return made(6).half()(torch.tensor([[size, -size, 0.9 * size, 3, -7, 250]], dtype=torch.float16))

    def precise():
        norm, wide = made().double(), x.double()
        return torch.allclose(norm(wide).double(), layer_norm(wide, (5,), norm.scale, norm.shift), rtol=1e-9)

    def changed():
        given = x.clone()
        made()(given)
        return torch.equal(given, x)

    def second():
        norm = made()
        norm(x + 1 - numbers(2, 4, 5, seed="first"))
        return norm(x)

    def plain(emb_dim):
        norm = kata.LayerNorm(emb_dim)
        norm.scale.data.fill_(1)
        norm.shift.data.fill_(0)
        return norm

    return {
        "scale": lambda: kata.LayerNorm(5).scale.detach(),
        "shift": lambda: kata.LayerNorm(5).shift.detach(),
        "kind of scale": lambda: kind("scale"),
        "kind of shift": lambda: kind("shift"),
        "names in the state dict": lambda: sorted(kata.LayerNorm(5).state_dict()),
        "example": lambda: plain(2)(torch.tensor([[1.0, 3.0]])),
        "normalized": lambda: plain(5)(x),
        "numbers": lambda: made()(x),
        "one token": lambda: made()(x[1:, 2:3]),
        "two axes": lambda: tried(lambda: made()(x[0])),
        "one axis": lambda: tried(lambda: made()(x[0, 0])),
        "eval": lambda: made().eval()(x),
        "small": lambda: made()(x / 1000),
        "eps": lambda: with_eps(4e-6),
        "far": lambda: plain(4)(torch.tensor([[9_999.0, 10_001.0, 10_001.0, 9_999.0]])),
        "gradient of x": lambda: gradient("x"),
        "gradient of scale": lambda: gradient("scale"),
        "gradient of shift": lambda: gradient("shift"),
        "equal": equal,
        "equal, finite gradient": lambda: equal(gradient=True),
        "float64": precise,
        "dtype": lambda: str(made().bfloat16()(x.bfloat16()).dtype),
        "float16, 300": lambda: float16(300),
        "float16, 60 000": lambda: float16(60_000),
        "refusal": lambda: tried(lambda: made(23)(torch.ones(2, 4, 1)).shape, 23),
        "input unchanged": changed,
        "second call": second,
        "kept": lambda: probes.kept(made, x),
    }


@clause("parameters")
def test_scale_and_shift_are_all_that_is_learned():
    seen = {name: tuple(value.shape) for name, value in LayerNorm(5).named_parameters()}
    expected = {"scale": (5,), "shift": (5,)}
    assert seen == expected, f"emb_dim=5: the parameters and their shapes are {seen}, expected {expected}"
    frozen = [name for name, value in LayerNorm(5).named_parameters() if not value.requires_grad]
    assert not frozen, f"{' and '.join(frozen)} requires no gradient, so no optimizer updates it"


@clause("parameters")
def test_scale_begins_as_ones_and_shift_as_zeros():
    norm = LayerNorm(5)
    close(norm.scale, torch.ones(5), "scale should begin as ones, which change nothing")
    close(norm.shift, torch.zeros(5), "shift should begin as zeros, which change nothing")


@clause("example")
def test_one_and_three_become_minus_one_and_one():
    seen = plain(2)(torch.tensor([[[1.0, 3.0]]]))
    because = f"the features 1 and 3 have mean 2 and variance 1; they became {seen.flatten().tolist()}"
    close(seen, torch.tensor([[[-1.0, 1.0]]]), because)


@clause("per-token")
@pytest.mark.parametrize(("row", "token"), [(0, 0), (1, 2)])
def test_rewriting_one_token_leaves_the_others_alone(row, token):
    norm, x = dealt(LayerNorm(5)), 3 * numbers(2, 4, 5)
    rewritten = x.clone()
    rewritten[row, token] += 20 * numbers(5, seed="rewritten")
    before, after = norm(x).flatten(0, 1), norm(rewritten).flatten(0, 1)
    others = torch.arange(8) != 4 * row + token
    because = f"only token {token} of row {row} was rewritten, but another token's output changed"
    close(after[others], before[others], because)
    changed = not torch.equal(after[~others], before[~others])
    assert changed, f"token {token} of row {row} was rewritten, but its output did not change"


@clause("per-token")
def test_earlier_calls_and_the_mode_change_nothing():
    norm, x = dealt(LayerNorm(5)), 3 * numbers(2, 4, 5)
    first = norm(x)
    norm = dealt(LayerNorm(5))
    norm(5 * x + numbers(2, 4, 5, seed="another"))
    close(norm(x), first, "the same input gave other numbers after a call with another input")
    close(norm.eval()(x), first, "in eval mode, the same input gave other numbers than in training mode")


@clause("biased")
@pytest.mark.parametrize("emb_dim", [2, 3, 50])
def test_the_squares_are_divided_by_their_number(emb_dim):
    x = torch.arange(float(emb_dim)).expand(1, 1, -1)
    expected = (x - (emb_dim - 1) / 2) / ((emb_dim**2 - 1) / 12 + 1e-5) ** 0.5
    because = f"the variance of 0, 1, ... {emb_dim - 1} is (n * n - 1) / 12, with n = {emb_dim}"
    close(plain(emb_dim)(x), expected, because)


@clause("affine")
def test_scale_multiplies_and_then_shift_is_added():
    norm, x = dealt(LayerNorm(5)), 3 * numbers(2, 4, 5)
    because = "scale and shift were set; expected what this module gives with ones and zeros, times scale, plus shift"
    close(norm(x), plain(5)(x) * norm.scale + norm.shift, because)


@clause("eps")
def test_eps_is_added_to_the_variance():
    seen = plain(2)(torch.tensor([[[1e-3, 3e-3]]]))
    because = "0.001 and 0.003 have the variance 1e-6, and 0.001 / sqrt(1e-6 + 1e-5) is 0.3015"
    close(seen, torch.tensor([[[-0.30151134, 0.30151134]]]), because)


@clause("formula")
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_agrees_with_torch(batch, tokens, emb_dim, seed):
    norm, x = dealt(LayerNorm(emb_dim)), 3 * numbers(batch, tokens, emb_dim, seed=seed)
    close(norm(x), of_torch(norm, x), "expected what PyTorch's layer_norm gives with the same scale and shift")


@clause("gradients")
def test_gradients_are_those_of_torch():
    norm, x = dealt(LayerNorm(5)), (3 * numbers(2, 4, 5)).requires_grad_()
    laws.gradients_agree(norm(x), of_torch(norm, x), leaves(norm, x), "PyTorch's layer_norm")


@clause("axes")
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 1, 3, 5), (0, 5), (3, 1)], ids=str)
def test_any_axes_may_stand_before_the_features(shape):
    norm, x = dealt(LayerNorm(shape[-1])), 3 * numbers(*shape)
    try:
        seen = norm(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {shape} ended in {type(error).__name__}: {error}")
    close(seen, of_torch(norm, x), f"the input has the shape {shape}")


@clause("set-eps")
def test_eps_can_be_set():
    norm = plain(2)
    norm.eps = 8e-6
    because = "eps was set to 8e-6, and 0.001 / sqrt(1e-6 + 8e-6) is 1/3"
    close(norm(torch.tensor([[[1e-3, 3e-3]]])), torch.tensor([[[-1 / 3, 1 / 3]]]), because)


@clause("large-mean")
def test_far_from_zero_small_differences_count():
    x = torch.tensor([[[1.0, -1.0, 3.0, -3.0]]])
    because = "10 000 was added to all features, which changes their mean and not their deviations from it"
    close(plain(4)(x + 10_000), plain(4)(x), because, atol=1e-3)


@clause("constant")
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_features_become_the_shift(value):
    norm, x = dealt(LayerNorm(4)), torch.full((2, 3, 4), value, requires_grad=True)
    seen = norm(x)
    close(seen, norm.shift.expand(2, 3, 4), f"all features are {value:g}, so each deviates by 0 from the mean")
    laws.gradients_agree(seen, of_torch(norm, x), leaves(norm, x), "PyTorch's layer_norm")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    norm, x = dealt(LayerNorm(5).to(dtype)), 3 * numbers(2, 4, 5, dtype=dtype)
    laws.keeps_dtype(norm, x, of_torch(copy.deepcopy(norm).double(), x.double()))


@clause("float16")
@pytest.mark.parametrize("size", [300, 60_000])
def test_float16_has_room_for_large_features(size):
    norm = dealt(LayerNorm(6).half())
    x = torch.tensor([[[size, -size, 0.9 * size, 3, -7, 250]]], dtype=torch.float16, requires_grad=True)
    seen = norm(x)
    expected = of_torch(copy.deepcopy(norm).double(), x.double()).half()
    close(seen, expected, f"float16 features of up to {size}; the square of 256 is already inf in float16")
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    assert gradient.isfinite().all(), f"float16 features of up to {size}: the gradient of the input is not finite"


@clause("width")
@pytest.mark.parametrize("features", [25, 22, 1])
def test_another_number_of_features_is_refused(features):
    with refuses(ValueError, features, 23):
        LayerNorm(23)(torch.ones(2, 4, features))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    laws.leaves_its_inputs_alone(dealt(LayerNorm(5)), 3 * numbers(2, 4, 5))


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    norm, x = dealt(LayerNorm(5)), (3 * numbers(2, 4, 5)).requires_grad_()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    first = norm(x)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} has other numbers after a call"
    try:
        close(copy.deepcopy(norm)(x), first, "after a call, a copy of the module gives other numbers")
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call and its graph")
