"""The feedforward part, clause by clause. The why: docs/gpt/feedforward.md."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from katas.gpt.feedforward import GELU, FeedForward
from tests.support import clause, close, dealt, numbers

SHAPES = [(), (4,), (3, 2), (2, 1, 3), (1, 1, 1, 2), (0,), (2, 0)]
NAMES = ("layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias")
LOOSER = {"rtol": 1e-6, "atol": 1e-6}  # of gradients in float64: a constant with float32's digits is the dtype's affair
NARROW = pytest.mark.parametrize(
    "dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:]
)
VIEWS = {
    "transposed": lambda: 3 * numbers(2, 5, 6).mT,
    "every other feature": lambda: 3 * numbers(2, 6, 10)[..., ::2],
    "one token three times": lambda: 3 * numbers(1, 5).expand(3, -1),
}


@st.composite
def cases(draw):
    """Hypothesis draws the sizes and the seed, which shrink; the seed deals the numbers."""
    batch, tokens, emb_dim = (draw(st.integers(1, 4), label=axis) for axis in ("batch", "tokens", "emb_dim"))
    x = 3 * numbers(batch, tokens, emb_dim, seed=draw(st.integers(0, 99), label="seed"))
    return dealt(FeedForward(emb_dim)), x


def gelu(x):
    """PyTorch's own."""
    return functional.gelu(x, approximate="tanh")


def parameters(module):
    """The parameters by name; the four that every test needs are among them."""
    found = dict(module.named_parameters())
    for name in NAMES:
        assert name in found, f"there is no parameter {name}; there are {list(found)}"
    return found


def of_torch(module, x):
    """What PyTorch's own functions make of the same parameters."""
    wide, wide_bias, narrow, narrow_bias = (parameters(module)[name] for name in NAMES)
    return functional.linear(gelu(functional.linear(x, wide, wide_bias)), narrow, narrow_bias)


def slopes(function, x):
    """The gradient of x, when the gradient of the result is a number of its own at each place."""
    leaf = x.detach().clone().requires_grad_()
    seen = function(leaf)
    assert seen.requires_grad, "no gradient flows back from the result: it was detached, or left autograd"
    towards = 2 + numbers(*x.shape, seed="towards").to(x.dtype)
    (found,) = torch.autograd.grad(seen, leaf, towards, allow_unused=True)
    assert found is not None, "no gradient reaches x: something on the way was detached"
    return found / towards


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    x = 3 * numbers(2, 4, 5)

    def made(emb_dim=5):
        return dealt(kata.FeedForward(emb_dim))

    def tried(call):
        """What came, or which error."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def tailed(dtype):
        leaf = torch.tensor([1e4, -1e4, 300.0, -300.0, 60_000.0, 5.0], dtype=dtype, requires_grad=True)
        seen = kata.GELU()(leaf)
        seen.float().sum().backward()
        return seen, leaf.grad

    def learned():
        leaf, module = x.clone().requires_grad_(), made()
        module(leaf).square().sum().backward()
        return [leaf.grad, *(parameter.grad for parameter in module.parameters())]

    def within(seen, exact):
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def precision():
        module, wide = made().double(), x.double()
        exact = functional.linear(gelu(module.layers[0](wide)), module.layers[2].weight, module.layers[2].bias)
        digits = 1e-9 * numbers(*x.shape, dtype=torch.float64)  # what float32 does not see
        same = [torch.equal(function(wide), function(wide + digits)) for function in (kata.GELU(), module)]
        return within(kata.GELU()(wide), gelu(wide)), within(module(wide), exact), same

    def half():
        dtypes = (torch.bfloat16, torch.float16)
        bent = [tried(lambda d=d: str(kata.GELU()(x.to(d)).dtype)) for d in dtypes]
        return bent, [tried(lambda d=d: str(made().to(d)(x.to(d)).dtype)) for d in dtypes]

    def fresh():
        torch.manual_seed(5)
        module = kata.FeedForward(3)
        return [(name, value.detach()) for name, value in module.named_parameters()], list(module.state_dict())

    def changed(module):
        given = x.clone()
        seen = module(given)
        return given, seen

    def again(module):
        leaf = x.clone().requires_grad_()
        return module(x), module(x + 1), module.eval()(leaf), tried(lambda: copy.deepcopy(module)(x))

    def shapes(module):
        return [
            tried(lambda shape=shape: module((2 + torch.arange(3.0)).repeat(*shape, 2)[..., :5])) for shape in SHAPES
        ]

    return {
        "GELU": lambda: kata.GELU()(x),
        "GELU of 0, 1 and -1": lambda: kata.GELU()(torch.tensor([0.0, 1.0, -1.0])),
        "GELU of one number": lambda: tried(lambda: kata.GELU()(torch.tensor(1.5))),
        "GELU of shapes": lambda: shapes(kata.GELU()),
        "slopes": lambda: slopes(kata.GELU(), x),
        "tails": lambda: tailed(torch.float32),
        "tails in float16": lambda: tailed(torch.float16),
        "GELU, unchanged": lambda: changed(kata.GELU()),
        "GELU, again": lambda: again(kata.GELU()),
        "GELU, saved": lambda: len(kata.GELU().state_dict()),
        "output": lambda: made()(x),
        "both": lambda: [kata.GELU()(x), made()(x)],
        "both, gradients": lambda: [tried(lambda: slopes(kata.GELU(), x)), learned()],
        "both, again": lambda: [again(kata.GELU()), again(made())],
        "output in eval": lambda: made().eval()(x),
        "output of one feature": lambda: tried(lambda: made(1)(x[..., :1])),
        "shapes": lambda: shapes(made()),
        "views": lambda: [tried(lambda view=view: made()(view())) for view in VIEWS.values()],
        "fresh": fresh,
        "gradients": learned,
        "precision": precision,
        "half": half,
        "unchanged": lambda: changed(made()),
        "again": lambda: again(made()),
    }


@clause("formula")
@pytest.mark.parametrize(("x", "expected"), [(0.0, 0.0), (1.0, 0.841192), (-1.0, -0.158808), (2.0, 1.954598)])
def test_single_numbers_become_what_the_formula_says(x, expected):
    seen = GELU()(torch.tensor([x])).item()
    close(torch.tensor(seen), torch.tensor(expected), f"GELU of {x:g} should be {expected:g}, seen {seen:g}")


@clause("formula")
def test_it_is_the_form_with_tanh():
    x = torch.linspace(-6, 6, 241, dtype=torch.float64)
    seen, other = GELU()(x), functional.gelu(x)
    apart = (seen - gelu(x)).abs().max().item()
    exact = " It is the form with erf" if torch.allclose(seen, other, rtol=1e-6, atol=1e-6) else ""
    close(seen, gelu(x), f"between -6 and 6, up to {apart:.2g} away from PyTorch's form with tanh.{exact}", atol=1e-7)


@clause("formula")
def test_a_number_and_its_opposite_differ_by_the_number():
    x = torch.linspace(-50, 50, 401)
    because = "GELU(x) - GELU(-x) is x, for the shares of x and of -x sum to 1"
    close(GELU()(x) - GELU()(-x), x, because)


@clause("each")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_axes_come_out_as_they_went_in(shape):
    x = 3 * numbers(*shape)
    try:
        seen = GELU()(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {shape} ended in {type(error).__name__}: {error}")
    close(seen, gelu(x), f"the input has the shape {shape}")


@clause("each")
@given(st.integers(0, 99), st.integers(0, 5))
def test_rewriting_one_number_leaves_the_others_alone(seed, place):
    x = 3 * numbers(6, seed=seed)
    rewritten = x.clone()
    rewritten[place] += 20
    before, after = GELU()(x), GELU()(rewritten)
    others = torch.arange(6) != place
    close(after[others], before[others], f"only the number at {place} was rewritten, yet another came out differently")
    assert after[place] != before[place], f"the number at {place} was rewritten, and its result did not move"


@clause("slopes")
@given(st.integers(0, 99))
def test_slopes_are_those_of_torch(seed):
    x = 6 * numbers(3, 4, seed=seed, dtype=torch.float64)
    because = "the gradient of x is not that of the formula: was a part of it detached?"
    close(slopes(GELU(), x), slopes(gelu, x), because, **LOOSER)


@clause("slopes")
def test_below_zero_there_is_a_slope():
    x = torch.tensor([-2.0, -1.0, -0.5, -0.1])
    seen = slopes(GELU(), x)
    close(seen, slopes(gelu, x), f"at -2, -1, -0.5 and -0.1 the slopes are {seen.tolist()}")


@clause("tails")
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=lambda d: str(d)[6:]
)
def test_far_out_nothing_overflows(dtype):
    x = torch.tensor([1e4, -1e4, 60_000.0, -60_000.0, 300.0, -300.0], dtype=dtype)
    expected, flat = x.clamp(min=0), torch.tensor([1.0, 0.0] * 3, dtype=dtype)
    seen = GELU()(x)
    close(seen, expected, f"{dtype}: 10 000 stays and -10 000 becomes 0; seen {seen.tolist()}, from {x.tolist()}")
    gradient = slopes(GELU(), x)
    because = f"{dtype}: the output is right, and the slopes are {gradient.tolist()}: 0 times inf, somewhere?"
    close(gradient, flat, because)


@clause("gelu-dtype")
@NARROW
def test_the_dtype_of_x_is_kept(dtype):
    x = 3 * numbers(2, 4, 5, dtype=dtype)
    close(GELU()(x), gelu(x.double()).to(dtype), f"{dtype} went in; is there another dtype on the way?")


@clause("gelu-pure")
def test_a_call_of_gelu_leaves_no_trace():
    bend, x = GELU(), 3 * numbers(2, 4, 5)
    assert not bend.state_dict(), f"GELU has nothing to learn or to save, yet there are {list(bend.state_dict())}"
    before, leaf = x.clone(), x.clone().requires_grad_()
    seen = bend(x)
    assert torch.equal(x, before), "x has other numbers after the call: something was written in place"
    close(seen, gelu(before), "x was left alone, but the result is not the one it should give")
    bend(leaf)
    try:
        twin = copy.deepcopy(bend)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(x), seen, "a copy of the module gives other numbers than the module")


@clause("layers")
@pytest.mark.parametrize("emb_dim", [3, 1])
def test_two_linear_layers_are_the_only_parameters(emb_dim):
    module, wide = FeedForward(emb_dim), 4 * emb_dim
    seen = [(name, tuple(value.shape)) for name, value in module.named_parameters()]
    expected = list(zip(NAMES, [(wide, emb_dim), (wide,), (emb_dim, wide), (emb_dim,)], strict=True))
    assert seen == expected, f"emb_dim={emb_dim}: the parameters are {seen}, expected {expected}"
    saved = list(module.state_dict())
    assert saved == list(NAMES), f"the state dict holds {saved}, expected {list(NAMES)}"
    assert all(value.requires_grad for value in module.parameters()), "a frozen parameter is moved by no optimizer"


@clause("made")
@pytest.mark.parametrize("emb_dim", [3, 8])
def test_the_layers_are_made_in_order_with_the_numbers_of_linear(emb_dim):
    torch.manual_seed(123)
    in_turn = torch.nn.Linear(emb_dim, 4 * emb_dim), torch.nn.Linear(4 * emb_dim, emb_dim)
    torch.manual_seed(123)
    seen = parameters(FeedForward(emb_dim))
    for place, linear in zip((0, 2), in_turn, strict=True):
        because = "after the same seed it differs from nn.Linear's: made in another order, or filled anew?"
        close(seen[f"layers.{place}.weight"], linear.weight, f"layers.{place}.weight: {because}")
        close(seen[f"layers.{place}.bias"], linear.bias, f"layers.{place}.bias: {because}")


@clause("output")
def test_one_feature_by_hand():
    """Four copies of x + 1, bent, times 1, 2, 3 and 4, less 5: for x = 0 that is 10 GELU(1) - 5."""
    module = FeedForward(1)
    known = parameters(module)
    with torch.no_grad():
        for name, wanted in zip(NAMES, ([[1.0]] * 4, [1.0] * 4, [[1.0, 2.0, 3.0, 4.0]], [-5.0]), strict=True):
            known[name].copy_(torch.tensor(wanted))
    seen = module(torch.tensor([[0.0], [-1.0]]))
    because = f"10 GELU(1) - 5 = 3.41192 and 10 GELU(0) - 5 = -5 were expected, seen {seen.flatten().tolist()}"
    close(seen, torch.tensor([[3.41192], [-5.0]]), because)


@clause("output")
@given(cases())
def test_agrees_with_torch(case):
    module, x = case
    because = "linear, gelu and linear of PyTorch give other numbers with the same parameters"
    close(module(x), of_torch(module, x), because)


@clause("output")
def test_training_and_use_are_alike():
    module, x = dealt(FeedForward(5)), 3 * numbers(2, 4, 5)
    torch.manual_seed(0)
    close(module.train()(x), of_torch(module, x), "in train() the output is another one: is something dropped?")
    close(module.eval()(x), of_torch(module, x), "in eval() the output is another one")


@clause("token")
@given(cases(), st.data())
def test_rewriting_one_token_leaves_the_others_alone(case, data):
    module, x = case
    row, token = data.draw(st.integers(0, len(x) - 1)), data.draw(st.integers(0, x.shape[1] - 1))
    rewritten = x.clone()
    rewritten[row, token] += 20 * numbers(x.shape[-1], seed="rewritten")
    before, after = module(x), module(rewritten)
    others = torch.ones(x.shape[:2], dtype=torch.bool)
    others[row, token] = False
    because = f"only token {token} of row {row} was rewritten, yet another moved: tokens got mixed"
    close(after[others], before[others], because)
    moved = not torch.equal(after[row, token], before[row, token])
    assert moved, f"token {token} of row {row} was rewritten, yet its output did not move"


@clause("axes")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("emb_dim", [5, 1])
def test_any_axes_may_stand_before_the_features(shape, emb_dim):
    module, x = dealt(FeedForward(emb_dim)), 3 * numbers(*shape, emb_dim)
    try:
        seen = module(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"an input of shape {(*shape, emb_dim)} ended in {type(error).__name__}: {error}")
    close(seen, of_torch(module, x), f"the input has the shape {(*shape, emb_dim)}, and emb_dim is {emb_dim}")


@clause("axes")
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_as_good_as_a_copy(view):
    module, x = dealt(FeedForward(5)), VIEWS[view]()
    try:
        seen = module(x)
    except RuntimeError as error:
        pytest.fail(f"the input is a view, {view}, and the call ended: {error}")
    close(seen, of_torch(module, x.clone()), f"the input is a view, {view}: its numbers do not lie in a row")


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(case):
    module, x = case[0].double(), case[1].double().requires_grad_()
    leaves = {"the input": x, **parameters(module)}

    def gradients(output):
        assert output.requires_grad, "no gradient flows back from the output: it was detached, or left autograd"
        return torch.autograd.grad(output.square().sum(), list(leaves.values()), allow_unused=True)

    expected = gradients(of_torch(module, x))
    for name, mine, theirs in zip(leaves, gradients(module(x)), expected, strict=True):
        assert mine is not None, f"no gradient reaches {name}"
        because = f"the gradient of {name} is not that of the formula: was a part of it detached?"
        close(mine, theirs, because, **LOOSER)


@clause("dtype")
@NARROW
def test_the_dtype_is_kept(dtype):
    module, x = dealt(FeedForward(5).to(dtype)), 3 * numbers(2, 4, 5, dtype=dtype)
    expected = of_torch(copy.deepcopy(module).double(), x.double()).to(dtype)
    because = f"{dtype} went in, and in that dtype and its precision PyTorch gives other numbers"
    try:
        seen = module(x)
    except RuntimeError as error:
        pytest.fail(f"{dtype} went in, and the call ended: {error}")
    close(seen, expected, because)


@clause("pure")
def test_a_call_leaves_the_input_alone():
    module, x = dealt(FeedForward(5)), 3 * numbers(2, 4, 5)
    before = x.clone()
    seen = module(x)
    assert torch.equal(x, before), "the input has other numbers after the call: something was written in place"
    close(seen, of_torch(module, before), "the input was left alone, but the output is not the one it should give")


@clause("pure")
def test_a_call_leaves_the_module_as_it_was():
    module, x = dealt(FeedForward(5)), 3 * numbers(2, 4, 5)
    first, other = module(x), 2 * x + 1
    close(module(other), of_torch(module, other), "the second call gave other numbers than it should")
    close(module(x), first, "an input, then another, then the first again gave other numbers: a call left a trace")
    try:
        twin = copy.deepcopy(module)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(x), first, "a copy of the module gives other numbers than the module")
