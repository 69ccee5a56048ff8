"""Layer normalization, clause by clause. The why: docs/gpt/layernorm.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import layer_norm

from katas.gpt.layernorm import LayerNorm
from tests.support import clause, close, dealt, numbers, refuses

SHAPES = [(), (4,), (3, 2), (2, 1, 3), (1, 1, 1, 2), (0,), (2, 0)]  # of the axes before emb_dim
VIEWS = {
    "transposed": lambda: numbers(2, 5, 6).mT,
    "every other feature": lambda: numbers(2, 6, 10)[..., ::2],
    "one token three times": lambda: numbers(1, 5).expand(3, -1),
}


@st.composite
def cases(draw, least=1):
    """Hypothesis draws the sizes and the seed, which shrink; the seed deals the numbers."""
    batch, tokens = draw(st.integers(1, 4), label="batch"), draw(st.integers(1, 4), label="tokens")
    emb_dim = draw(st.integers(least, 6), label="emb_dim")
    x = 3 * numbers(batch, tokens, emb_dim, seed=draw(st.integers(0, 99), label="seed"))
    return dealt(LayerNorm(emb_dim)), x


def parameters(norm):
    """scale and shift, which every test needs."""
    found = dict(norm.named_parameters())
    for name in ("scale", "shift"):
        assert name in found, f"there is no parameter {name}; there are {list(found)}"
    return found


def of_torch(norm, x):
    """What PyTorch's own layer normalization makes of the same scale and shift."""
    known = parameters(norm)
    return layer_norm(x, x.shape[-1:], known["scale"], known["shift"], eps=1e-5)


class Torchs(torch.nn.Module):
    """PyTorch's own layer normalization with a module's parameters."""

    def __init__(self, norm):
        super().__init__()
        self.scale, self.shift = parameters(norm)["scale"], parameters(norm)["shift"]

    def forward(self, x):
        return of_torch(self, x)


def plain(emb_dim):
    """A module with a scale of ones and a shift of zeros, whatever it began with."""
    norm = LayerNorm(emb_dim)
    with torch.no_grad():
        parameters(norm)["scale"].fill_(1)
        parameters(norm)["shift"].fill_(0)
    return norm


def gradients(module, x):
    """The gradients of x and of each parameter; that of the output is a number of its own at each place."""
    leaf = x.detach().clone().requires_grad_()
    known = parameters(module)
    seen = module(leaf)
    assert seen.requires_grad, "no gradient flows back from the output: it was detached, or left autograd"
    leaves = {"the input": leaf, "scale": known["scale"], "shift": known["shift"]}
    found = torch.autograd.grad(seen, leaves.values(), numbers(*x.shape, seed="towards").to(x.dtype), allow_unused=True)
    return dict(zip(leaves, found, strict=True))


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x = 3 * numbers(2, 4, 5)

    def made(emb_dim=5):
        return dealt(kata.LayerNorm(emb_dim))

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def fresh():
        norm = kata.LayerNorm(5)
        named = [(name, value.detach(), value.requires_grad) for name, value in norm.named_parameters()]
        return named, list(norm.state_dict())

    def learned(given, before=None):
        leaf, norm = given.clone().requires_grad_(), made()
        if before is not None:
            norm(before)
        norm(leaf).mul(numbers(*given.shape, seed="towards")).sum().backward()
        return [leaf.grad, *(parameter.grad for parameter in norm.parameters())]

    def with_eps(value):
        norm = made()
        norm.eps = value
        return norm(x / 1000)

    def precision():
        norm = made().double()
        seen, exact = norm(x.double()), layer_norm(x.double(), (5,), norm.scale, norm.shift)
        finer = norm(x.double() + 1e-9 * numbers(2, 4, 5, dtype=torch.float64))  # float32 does not see the difference
        within = [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]
        return str(seen.dtype), within, torch.equal(finer, seen)

    def changed():
        given = x.clone()
        made()(given)
        return given

    def again():
        norm, leaf = made(), x.clone().requires_grad_()
        return norm(x), norm(x + 1), norm.eval()(leaf), tried(lambda: copy.deepcopy(norm)(x)), len(norm.state_dict())

    def half():
        norm = made(6).half()
        loud = torch.tensor([[60_000.0, -60_000.0, 59_000.0, 3.0, -7.0, 250.0]], dtype=torch.float16).requires_grad_()
        seen = norm(loud)
        seen.sum().backward()
        return seen.dtype == torch.float16, seen.float(), bool(loud.grad.isfinite().all())

    def refused(*shape):
        return tried(lambda: tuple(made(23)(torch.ones(shape)).shape), shape[-1], 23)

    return {
        "example": lambda: kata.LayerNorm(2)(torch.tensor([1.0, 3.0])),
        "normalised": lambda: kata.LayerNorm(5)(x),
        "numbers": lambda: made()(x),
        "small": lambda: made()(x / 1000),
        "other eps": lambda: with_eps(4e-6),
        "eps": lambda: kata.LayerNorm(5).eps,
        "far": lambda: made(4)(torch.tensor([[9_999.0, 10_001.0, 10_001.0, 9_999.0]])),
        "fresh": fresh,
        "gradients": lambda: learned(x),
        "gradients, again": lambda: learned(x, before=x + 1),
        "small, and gradients of equal features": lambda: [made()(x / 1000), learned(torch.full((2, 5), 3.0))],
        "five features and one": lambda: [made()(x), made(1)(x[..., :1])],
        "view": lambda: [made()(view()) for view in VIEWS.values()],
        "shapes": lambda: [tried(lambda shape=shape: made()(torch.ones(*shape, 5).cumsum(-1))) for shape in SHAPES],
        "one feature": lambda: made(1)(x[..., :1]),
        "square": lambda: made()(3 * numbers(5, 5, 5)),
        "equal": lambda: made()(torch.full((2, 5), 3.0)),
        "equal gradients": lambda: learned(torch.full((2, 5), 3.0)),
        "float64": precision,
        "dtypes": lambda: [
            tried(lambda d=d: str(made().to(d)(x.to(d)).dtype)) for d in (torch.float16, torch.bfloat16)
        ],
        "half": half,
        "changed": changed,
        "again": again,
        "refused": lambda: [refused(*shape) for shape in ((2, 25), (4, 1), (1,), (23, 22))],
    }


@clause("parameters")
def test_scale_and_shift_are_all_that_is_learned_or_saved():
    norm = LayerNorm(5)
    seen = [(name, tuple(value.shape)) for name, value in norm.named_parameters()]
    expected = [("scale", (5,)), ("shift", (5,))]
    assert seen == expected, f"emb_dim=5: the parameters are {seen}, expected {expected}"
    saved = list(norm.state_dict())
    assert saved == ["scale", "shift"], f"the state dict holds {saved}, expected scale and shift alone"
    assert all(value.requires_grad for value in norm.parameters()), "a frozen parameter is moved by no optimizer"


@clause("parameters")
@pytest.mark.parametrize("emb_dim", [1, 5])
def test_scale_begins_as_ones_and_shift_as_zeros(emb_dim):
    known = parameters(LayerNorm(emb_dim))
    close(known["scale"], torch.ones(emb_dim), "scale should begin as ones, to change nothing")
    close(known["shift"], torch.zeros(emb_dim), "shift should begin as zeros, to change nothing")


@clause("example")
def test_one_and_three_become_minus_one_and_one():
    seen = LayerNorm(2)(torch.tensor([[1.0, 3.0]]))
    because = f"1 and 3 have mean 2 and variance 1, expected -1 and 1, seen {seen.flatten().tolist()}"
    close(seen, torch.tensor([[-1.0, 1.0]]), because)


@clause("example")
@given(cases(least=2))
def test_features_come_out_with_mean_zero_and_variance_one(case):
    _, x = case
    x[..., 0] += 20  # so that every variance is far above eps
    seen = plain(x.shape[-1])(x)
    close(seen.mean(dim=-1), torch.zeros(x.shape[:-1]), "this is the mean of a token's normalised features")
    close(seen.square().mean(dim=-1), torch.ones(x.shape[:-1]), "this is the mean of their squares, the variance")


@clause("token")
@given(cases(least=2), st.data())
def test_rewriting_one_token_leaves_the_others_alone(case, data):
    norm, x = case
    row, token = data.draw(st.integers(0, len(x) - 1)), data.draw(st.integers(0, x.shape[1] - 1))
    rewritten = x.clone()
    rewritten[row, token] += 20 * numbers(x.shape[-1], seed="rewritten")
    before, after = norm(x), norm(rewritten)
    others = torch.ones(x.shape[:2], dtype=torch.bool)
    others[row, token] = False
    because = f"only token {token} of row {row} was rewritten, yet another moved: statistics of more than one token?"
    close(after[others], before[others], because)
    moved = not torch.equal(after[row, token], before[row, token])
    assert moved, f"token {token} of row {row} was rewritten, yet its output did not move"


@clause("token")
def test_training_and_use_are_alike():
    norm, x = dealt(LayerNorm(5)), 3 * numbers(2, 4, 5)
    alone = torch.cat([torch.cat([norm(token) for token in row.split(1, dim=1)], dim=1) for row in x.split(1)])
    close(norm.train()(x), alone, "in train(), tokens together give other numbers than one by one")
    close(norm.eval()(x), alone, "in eval(), tokens give other numbers than in train(): is something remembered?")


@clause("axes")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_axes_may_stand_before_the_features(shape):
    norm, x = dealt(LayerNorm(5)), 3 * numbers(*shape, 5)
    try:
        seen = norm(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {(*shape, 5)} ended in {type(error).__name__}: {error}")
    close(seen, of_torch(norm, x), f"the input has the shape {(*shape, 5)}, and emb_dim is 5")


@clause("axes")
def test_a_single_feature_becomes_its_shift():
    norm, x = dealt(LayerNorm(1)), 3 * numbers(2, 3, 1)
    because = "a single feature is its own mean, of variance 0: nothing is left of it, and the shift remains"
    close(norm(x), parameters(norm)["shift"].expand(2, 3, 1), because)


@clause("biased")
@pytest.mark.parametrize("emb_dim", [2, 3, 50])
def test_the_squares_are_divided_by_their_number(emb_dim):
    x = torch.arange(float(emb_dim))
    deviations = x - (emb_dim - 1) / 2
    expected = deviations / ((emb_dim**2 - 1) / 12 + 1e-5) ** 0.5
    because = f"the variance of 0, 1, ... {emb_dim - 1} is (n² - 1) / 12, with n = {emb_dim}: divided by n - 1?"
    close(plain(emb_dim)(x), expected, because)


@clause("invariant")
@given(st.integers(0, 99), st.sampled_from([-10_000, -100, 1, 30, 10_000]))
def test_one_number_added_to_all_features_changes_nothing(seed, by):
    norm, x = dealt(LayerNorm(8)), (40 * numbers(2, 3, 8, seed=seed)).round()  # whole numbers: by adds no rounding
    because = f"{by} was added to all features, which moves the mean by as much, and no deviation from it"
    close(norm(x + by), norm(x), because, rtol=1e-3, atol=1e-3)
    assert not torch.equal(norm(x), norm(x.flip(-1))), "the features changed places, and nothing moved"


@clause("invariant")
def test_far_from_zero_small_differences_count():
    x = torch.tensor([[9_999.0, 10_001.0, 10_001.0, 9_999.0]])
    seen = plain(4)(x)
    because = f"9 999 and 10 001 are -1 and 1 from their mean, seen {seen.tolist()}: a difference of two huge squares?"
    close(seen, torch.tensor([[-1.0, 1.0, 1.0, -1.0]]), because, atol=1e-3)


@clause("invariant")
@given(st.integers(0, 99), st.sampled_from([2, 10, 1_000]))
def test_one_factor_for_all_features_changes_nothing(seed, by):
    norm, x = dealt(LayerNorm(8)), 40 * numbers(2, 3, 8, seed=seed)
    close(norm(by * x), norm(x), f"all features were multiplied by {by}, and so was their standard deviation")
    assert not torch.allclose(norm(-x), norm(x)), "all features changed their sign, and nothing moved"


@clause("affine")
@given(cases(least=2))
def test_scale_multiplies_and_then_shift_is_added(case):
    norm, x = case
    known = parameters(norm)
    normed = plain(x.shape[-1])(x)
    because = "a scale and a shift for each feature were set, and the output is not what they make of the normalised x"
    close(norm(x), normed * known["scale"] + known["shift"], because)


@clause("eps")
def test_eps_is_added_to_the_variance():
    norm, x = plain(2), torch.tensor([[1e-3, 3e-3]])
    seen = norm(x)[0, 1].item()
    because = f"1e-3 / sqrt(1e-6 + 1e-5) is 0.3015, seen {seen:.6g}: another eps, or added after the root?"
    close(norm(x), torch.tensor([[-0.30151134, 0.30151134]]), because)
    assert norm.eps == 1e-5, f"the attribute eps is {norm.eps}, expected 1e-5"


@clause("eps")
@pytest.mark.parametrize(("eps", "expected"), [(3e-6, 0.5), (8e-6, 1 / 3), (0.0, 1.0)])
def test_eps_can_be_set(eps, expected):
    norm = plain(2)
    norm.eps = eps
    because = f"eps was set to {eps:g}, and 1e-3 / sqrt(1e-6 + {eps:g}) is {expected:.4g}: was the attribute read?"
    close(norm(torch.tensor([[1e-3, 3e-3]])), torch.tensor([[-expected, expected]]), because)


@clause("constant")
@pytest.mark.parametrize("value", [0.0, 3.0, -1024.0])
def test_equal_features_become_the_shift(value):
    norm, x = dealt(LayerNorm(4)), torch.full((2, 3, 4), value)
    seen = norm(x)
    because = f"all features are {value:g}, so each is 0 from the mean, and shift remains: a division by 0?"
    close(seen, parameters(norm)["shift"].expand(2, 3, 4), because)
    for name, gradient in gradients(norm, x).items():
        assert gradient is not None, f"no gradient reaches {name}"
        assert gradient.isfinite().all(), f"all features are {value:g}, and the gradient of {name} is nan or inf"
    expected = gradients(Torchs(norm), x)["the input"]
    close(gradients(norm, x)["the input"], expected, f"all features are {value:g}; the gradient of the input")


@clause("agrees")
@given(cases())
def test_agrees_with_torch(case):
    norm, x = case
    close(norm(x), of_torch(norm, x), "with the same scale and shift, PyTorch's own layer_norm gives other numbers")


@clause("agrees")
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_as_good_as_a_copy(view):
    norm, x = dealt(LayerNorm(5)), VIEWS[view]()
    close(norm(x), of_torch(norm, x.clone()), f"the input is a view, {view}: its numbers do not lie in a row")


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(case):
    norm, x = case[0].double(), case[1].double()
    expected = gradients(Torchs(norm), x)
    for name, gradient in gradients(norm, x).items():
        assert gradient is not None, f"no gradient reaches {name}"
        close(gradient, expected[name], f"the gradient of {name} is not that of the formula: was a part detached?")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    norm, x = dealt(LayerNorm(5).to(dtype)), 3 * numbers(2, 4, 5, dtype=dtype)
    expected = of_torch(copy.deepcopy(norm).double(), x.double()).to(dtype)
    close(norm(x), expected, f"{dtype} went in, and in that dtype and its precision PyTorch gives other numbers")


@clause("half")
@pytest.mark.parametrize("size", [300.0, 60_000.0])
def test_float16_has_room_for_large_features(size):
    norm = dealt(LayerNorm(6).half())
    x = torch.tensor([[size, -size, 0.9 * size, 3.0, -7.0, 250.0]], dtype=torch.float16)
    expected = of_torch(copy.deepcopy(norm).double(), x.double()).half()
    because = f"float16 features of up to {size:g} gave {norm(x).tolist()}: their squares are beyond float16"
    close(norm(x), expected, because)
    for name, gradient in gradients(norm, x).items():
        assert gradient is not None, f"no gradient reaches {name}"
        assert gradient.isfinite().all(), f"float16 features of up to {size:g}: the gradient of {name} is not finite"


@clause("width")
@pytest.mark.parametrize("shape", [(2, 25), (4, 1), (1,), (23, 24), (23, 22)], ids=str)
def test_another_number_of_features_is_refused(shape):
    norm = LayerNorm(23)
    assert norm(torch.ones(2, 23)).shape == (2, 23), "23 features are what an emb_dim of 23 takes"
    with refuses(ValueError, shape[-1], 23):
        norm(torch.ones(shape))


@clause("pure")
def test_a_call_leaves_the_input_alone():
    norm, x = dealt(LayerNorm(5)), 3 * numbers(2, 4, 5)
    before = x.clone()
    seen = norm(x)
    assert torch.equal(x, before), "the input has other numbers after the call: something was written in place"
    close(seen, of_torch(norm, before), "the input was left alone, but the output is not the one it should give")


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    norm, x = dealt(LayerNorm(5)), (3 * numbers(2, 4, 5)).requires_grad_()
    saved = {name: value.clone() for name, value in norm.state_dict().items()}
    first = norm(x)
    other = 7 * x + numbers(2, 4, 5, seed="other")
    close(norm(other), of_torch(norm, other), "the second call gave other numbers than it should: is the first kept?")
    close(norm(x), first, "an input, then another, then the first again gave other numbers: a call left a trace")
    try:
        twin = copy.deepcopy(norm)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(x), first, "a copy of the module gives other numbers than the module")
    for name, value in norm.state_dict().items():
        assert torch.equal(value, saved[name]), f"{name} has other numbers after a call"
