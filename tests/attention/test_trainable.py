"""Trainable attention, clause by clause. The why: docs/attention/trainable.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from katas.attention.trainable import SelfAttention, scaled_dot_product_attention
from tests.support import clause, close, dealt, numbers, refuses

PROJECTIONS = ("W_query", "W_key", "W_value")
LN3, INF = math.log(3), math.inf
DTYPES = [torch.float64, torch.bfloat16, torch.float16]
MASKS = ("none", "boolean", "floating")
GPU = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None


def short(dtype):
    return str(dtype)[6:]


def triple(*before, queries=4, keys=5, d_k=3, d_v=6, seed=0, dtype=torch.float32):
    """Queries, keys and values; no two sizes are equal unless they are asked to be."""
    sizes = {"queries": (queries, d_k), "keys": (keys, d_k), "values": (keys, d_v)}
    return [2 * numbers(*before, *size, seed=f"{name} {seed}", dtype=dtype) for name, size in sizes.items()]


def mask_of(kind, *shape, dtype=torch.float32):
    """No mask, or one of a kind in which the first key may be seen by all."""
    if kind == "none":
        return None
    seen = numbers(*shape, seed="mask") > -0.3
    seen[..., 0] = True
    return seen if kind == "boolean" else (4 * numbers(*shape, seed="added", dtype=dtype)).masked_fill(~seen, -INF)


@st.composite
def cases(draw):
    """Hypothesis draws up to two axes before the others, the sizes and the seed; the seed deals the numbers."""
    before = draw(st.lists(st.integers(1, 3), max_size=2), label="axes before")
    sizes = {size: draw(st.integers(1, 5), label=size) for size in ("queries", "keys", "d_k", "d_v")}
    return triple(*before, **sizes, seed=draw(st.integers(0, 99), label="seed"))


@st.composite
def masked_cases(draw, kind):
    """The same with a mask of a kind, which hides about half of the keys, and never all from one query."""
    queries, keys, values = draw(cases())
    shape = (*queries.shape[:-1], keys.shape[-2])
    seed = draw(st.integers(0, 99), label="seed of the mask")
    seen = numbers(*shape, seed=f"seen {seed}") > 0
    seen[..., seed % shape[-1]] = True
    if kind == "floating":
        return queries, keys, values, (4 * numbers(*shape, seed=seed)).masked_fill(~seen, -INF)
    return queries, keys, values, seen


@st.composite
def modules(draw):
    """A module and an input for it."""
    before = draw(st.lists(st.integers(1, 3), max_size=2), label="axes before")
    tokens, d_in, d_out = (draw(st.integers(1, 5), label=axis) for axis in ("tokens", "d_in", "d_out"))
    attention = dealt(SelfAttention(d_in, d_out, qkv_bias=draw(st.booleans(), label="qkv_bias")))
    return attention, 2 * numbers(*before, tokens, d_in, seed=draw(st.integers(0, 99), label="seed"))


def of_torch(queries, keys, values, mask=None):
    """What PyTorch's own function makes of it."""
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def parameters(attention):
    """The parameters by name; the three weights, which every test needs, are among them."""
    found = dict(attention.named_parameters())
    for name in PROJECTIONS:
        assert f"{name}.weight" in found, f"there is no parameter {name}.weight; there are {list(found)}"
    return found


def of_torch_module(attention, x):
    """What PyTorch's own attention makes of the same weights."""
    known = parameters(attention)
    projected = [functional.linear(x, known[f"{name}.weight"], known.get(f"{name}.bias")) for name in PROJECTIONS]
    return of_torch(*projected)


def gradients(attend, arguments):
    """The result, and the gradient of every floating argument when each number of the result pulls on its own."""
    leaves = [part.clone().requires_grad_() if part.is_floating_point() else part for part in arguments]
    result = attend(*leaves)
    assert result.requires_grad, "no gradient flows back from the result: it was detached, or computed without"
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    towards = numbers(*result.shape, seed="towards", dtype=result.dtype)
    return result, torch.autograd.grad(result, wanted, towards, allow_unused=True)


def same_gradients(arguments):
    """Assert that the gradients are those of PyTorch's own function, whichever arguments take one."""
    mine, theirs = gradients(scaled_dot_product_attention, arguments)[1], gradients(of_torch, arguments)[1]
    for name, gradient, right in zip(("queries", "keys", "values", "the mask"), mine, theirs, strict=False):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        close(gradient, right, f"the gradient of {name} is not the one that PyTorch's own function gives")


def half_blind(kind, dtype=torch.float32):
    """Arguments of which queries 0 and 2 see two of three keys, and query 1 none."""
    seen = torch.tensor([[True, False, True], [False, False, False], [True, True, False]])
    mask = seen if kind == "boolean" else torch.zeros(3, 3, dtype=dtype).masked_fill(~seen, -INF)
    return [*triple(2, queries=3, keys=3, dtype=dtype), mask]


def glaring():
    """Queries, keys and values with scores of 40 000 and -40 000; the results should be 2 and 5."""
    return (
        torch.tensor([[200.0], [-200.0]]),
        torch.tensor([[200.0], [-200.0], [-200.0]]),
        torch.tensor([[2.0], [4], [6]]),
    )


def far_apart():
    """Two queries, whose scores are around 40 000 and -40 000, and ln 3 apart; each should get 7."""
    queries, keys = torch.tensor([[200.0, LN3], [-200.0, LN3]]), 2**0.5 * torch.tensor([[200.0, 0.0], [200.0, 1.0]])
    return queries, keys, torch.tensor([[4.0], [8.0]])


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    attend, x = kata.scaled_dot_product_attention, numbers(2, 6, 5)
    same_size = triple(2, queries=5, keys=5, d_k=5, d_v=5)

    def tried(call, *named):
        """What came, or which error; with what it names, if that is asked, or else how it begins."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [word in str(error) for word in named] if named else str(error)[:40]

    def masked(kind, *before, **other):
        return attend(*triple(*before), mask_of(kind, *before, 4, 5, **other))

    def precision(dtype):
        found = []
        for kind in MASKS:
            arguments = triple(2, dtype=dtype)
            mask = mask_of(kind, 4, 5)
            seen = tried(lambda arguments=arguments, mask=mask: attend(*arguments, mask))
            if isinstance(seen, torch.Tensor):
                wide = mask.double() if kind == "floating" else mask
                exact = of_torch(*(part.double() for part in arguments), wide)
                within = [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (5e-2, 1e-5, 1e-9)]
                seen = str(seen.dtype), within
            found.append(seen)
        return found

    def derived(*kinds):
        return [tried(lambda kind=kind: gradients(attend, half_blind(kind))) for kind in kinds]

    def derived_plainly():
        return gradients(attend, triple(2))[1], gradients(attend, [*triple(2), mask_of("floating", 4, 5)])[1]

    def changed():
        found = []
        for kind in MASKS:
            arguments = [part for part in (*triple(2), mask_of(kind, 4, 5)) if part is not None]
            attend(*arguments)
            found.append(arguments)
        return found

    def refused(*shape, dtype=torch.bool):
        mask, named = (numbers(*shape) > 0.2).to(dtype), (", ".join(map(str, shape)), "2, 3, 5, 4", str(dtype)[6:])
        return tried(lambda: attend(*triple(2, 3, queries=5, keys=4), mask), *named)

    def on_meta(kind):
        mask = mask_of(kind, 4, 5)
        arguments = [part.to("meta") for part in (*triple(2), mask) if part is not None]
        return tried(lambda: (str(attend(*arguments).device), tuple(attend(*arguments).shape)))

    def low(size):
        """A key that may be seen and one that may not, of the same score, which is far below 0."""
        return torch.tensor([[size]]), torch.tensor([[-size], [-size]]), torch.tensor([[2.0], [6.0]])

    def made(bias=False):
        return dealt(kata.SelfAttention(5, 3, bias))

    def beside(dtype):
        """The output, as far as it differs from what the function gives for the projections, and both dtypes."""
        attention, wide = made().to(dtype), x.to(dtype)
        mine = attention(wide)
        theirs = attend(*(getattr(attention, name)(wide) for name in PROJECTIONS))
        return str(mine.dtype), str(theirs.dtype), mine - theirs if mine.shape == theirs.shape else tuple(mine.shape)

    def beside_gradients():
        attention, leaf = made(), x.clone().requires_grad_()
        mine = attention(leaf).square().sum()
        theirs = attend(*(getattr(attention, name)(leaf) for name in PROJECTIONS)).square().sum()
        leaves = [leaf, *attention.parameters()]
        pairs = zip(*(torch.autograd.grad(y, leaves, allow_unused=True) for y in (mine, theirs)), strict=True)
        return [None if one is None or other is None else one - other for one, other in pairs]

    def shapes(*bias):
        found = kata.SelfAttention(5, 3, *bias).named_parameters()
        return [(name if name.startswith(PROJECTIONS) else "another", tuple(value.shape)) for name, value in found]

    def learned():
        attention, leaf = made(), x.clone().requires_grad_()
        attention(leaf).square().sum().backward()
        return [leaf.grad, *(parameter.grad for parameter in attention.parameters())]

    def module_precision():
        seen, exact = made().double()(x.double()), of_torch_module(made().double(), x.double())
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-4, 1e-9)]

    def module_changed():
        given, attention = x.clone(), made()
        attention(given)
        return given, copy.deepcopy(attention)(x), [tuple(value.shape) for value in attention.state_dict().values()]

    def again():
        attention = made()
        return attention(x), attention(x), attention(x[:, :3]), attention(numbers(1, 7, 5))

    return {
        "numbers": lambda: attend(*triple(2)),
        "one size": lambda: attend(*same_size),
        "cube": lambda: attend(*(numbers(3, 3, 3, seed=seed) for seed in range(3))),
        "cube of four axes": lambda: attend(*(numbers(3, 3, 3, 3, seed=seed) for seed in range(3))),
        "no axis before": lambda: attend(*triple()),
        "two axes before": lambda: attend(*triple(2, 3)),
        "boolean": lambda: masked("boolean", 2),
        "floating": lambda: masked("floating", 2),
        "boolean, loud": lambda: attend(*glaring(), torch.tensor([[False, True, True], [True, True, False]])),
        "boolean, low": lambda: [
            attend(*lowered, torch.tensor([[True, False]])) for lowered in (low(200.0), low(70.0))
        ],
        "floating, loud": lambda: attend(*glaring(), torch.tensor([[-INF, 0.0, 0.0], [0.0, 0.0, -INF]])),
        "blind": lambda: [attend(*half_blind("boolean")), attend(*half_blind("floating"))],
        "blind to the boolean": lambda: attend(*half_blind("boolean")),
        "blind to the floating": lambda: attend(*half_blind("floating")),
        "blind gradients": lambda: derived("boolean", "floating"),
        "gradients": derived_plainly,
        "mask in float64": lambda: [tried(lambda: masked("floating", 2, dtype=torch.float64))],
        "loud": lambda: attend(*glaring()),
        "loud, two rows": lambda: attend(*far_apart()),
        "high": lambda: attend(torch.tensor([[10.0]]), torch.tensor([[10.0], [9.9]]), torch.tensor([[2.0], [60.0]])),
        "spread": lambda: [attend(*triple(2, 3), numbers(*shape) > 0.2) for shape in ((5,), (4, 1), (3, 1, 1), ())],
        "refused": lambda: [refused(4, 5), refused(3, 5, 5), refused(7, 1, 1, 5, 4), refused(2, 5, 4)],
        "refused kind": lambda: refused(5, 4, dtype=torch.int64),
        "refused kinds": lambda: [refused(5, 4, dtype=dtype) for dtype in (torch.int64, torch.uint8)],
        "float64": lambda: precision(torch.float64),
        "bfloat16": lambda: precision(torch.bfloat16),
        "float16": lambda: precision(torch.float16),
        "changed": changed,
        "meta": lambda: [on_meta(kind) for kind in MASKS],
        "self beside its function": lambda: beside(torch.float32),
        "self beside its function, gradients": beside_gradients,
        "self beside its function, bfloat16": lambda: beside(torch.bfloat16)[:2],
        "self": lambda: made(bias=True)(x),
        "self with other axes": lambda: [made()(x[0]), made()(numbers(2, 3, 6, 5))],
        "self parameters": lambda: [shapes(), shapes(False), shapes(True)],
        "self in turn": lambda: list(kata.SelfAttention(5, 3, True).parameters()),
        "self gradients": learned,
        "self float64": module_precision,
        "self bfloat16": lambda: str(made().bfloat16()(x.bfloat16()).dtype),
        "self changed": module_changed,
        "self again": again,
    }


@clause("example")
def test_a_quarter_of_4_and_three_quarters_of_8_are_7():
    queries, keys = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[0.0, 0, 0, 0], [LN3, 0, 0, 0]])
    seen = scaled_dot_product_attention(queries, keys, torch.tensor([[4.0], [8.0]]))
    because = f"the scores are 0 and 2 ln 3 / sqrt(4) = ln 3, the weights 1/4 and 3/4: 7, not {seen.flatten().tolist()}"
    close(seen, torch.tensor([[7.0]]), because)


@clause("agrees")
@pytest.mark.parametrize(
    "device", ["cpu", pytest.param(GPU, marks=pytest.mark.skipif(GPU is None, reason="no GPU here"), id="gpu")]
)
def test_each_device_agrees_with_torch(device):
    for before in ((), (2,), (2, 3)):
        arguments = [part.to(device) for part in triple(*before)]
        seen = scaled_dot_product_attention(*arguments)
        because = f"on {device}, with queries {tuple(arguments[0].shape)}, PyTorch's own function gives other numbers"
        close(seen, of_torch(*arguments), because)


@clause("agrees")
@given(cases())
def test_agrees_with_torch(arguments):
    because = f"with queries, keys, values {[tuple(part.shape) for part in arguments]}, PyTorch gives other numbers"
    close(scaled_dot_product_attention(*arguments), of_torch(*arguments), because)


@clause("seen")
def test_true_may_be_seen_and_false_may_not():
    queries, keys, values = torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([[4.0], [8.0]])
    for mask, expected in (([True, False], 4.0), ([False, True], 8.0), ([True, True], 6.0)):
        seen = scaled_dot_product_attention(queries, keys, values, torch.tensor([mask]))
        because = f"values 4 and 8 under equal scores and the mask {mask} give {expected:g}; True means: may be seen"
        close(seen, torch.tensor([[expected]]), because)


@clause("seen")
@given(masked_cases("boolean"))
def test_agrees_with_torch_under_a_boolean_mask(arguments):
    because = "under the same boolean mask, in which True may be seen, PyTorch's own function gives other numbers"
    close(scaled_dot_product_attention(*arguments), of_torch(*arguments), because)


@clause("seen")
def test_a_glaring_key_stays_hidden():
    mask = torch.tensor([[False, True, True], [True, False, False]])
    seen = scaled_dot_product_attention(*glaring(), mask).flatten().tolist()
    assert seen == [5.0, 2.0], (
        f"keys of score 40 000 are hidden, those of -40 000 may be seen: the result is {seen}, not exactly [5, 2]. "
        "A hidden score that is only lowered, or set to some number, still counts"
    )


@clause("added")
def test_a_floating_mask_is_added_after_the_division():
    queries, keys, values = torch.ones(1, 4), torch.ones(2, 4), torch.tensor([[4.0], [8.0]])
    seen = scaled_dot_product_attention(queries, keys, values, torch.tensor([[0.0, LN3]]))
    because = f"equal scores with 0 and ln 3 added are the weights 1/4 and 3/4, and 7; seen {seen.flatten().tolist()}"
    close(seen, torch.tensor([[7.0]]), because)


@clause("added")
@given(masked_cases("floating"))
def test_agrees_with_torch_under_a_floating_mask(arguments):
    because = "with the same floating mask, PyTorch's own function gives other numbers"
    close(scaled_dot_product_attention(*arguments), of_torch(*arguments), because)


@clause("fits")
@pytest.mark.parametrize("kind", ["boolean", "floating"])
@pytest.mark.parametrize(
    "shape", [(), (5,), (1, 5), (4, 1), (4, 5), (3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 5), (1, 1, 1, 1)], ids=str
)
def test_a_mask_is_broadcast(shape, kind):
    arguments, mask = triple(2, 3), numbers(*shape, seed="spread")
    if kind == "boolean":
        first = torch.arange(mask.shape[-1] if shape else 1) == 0
        mask = (mask > 0.1) | first.reshape(shape[-1:])  # the first key may be seen, so that no query is blind
    expected = of_torch(*arguments, mask.expand(2, 3, 4, 5))
    because = (
        f"queries and keys of 4 and 5 tokens, axes (2, 3) before: a mask of shape {shape} serves all that it lacks"
    )
    close(scaled_dot_product_attention(*arguments, mask), expected, because)


@clause("fits")
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32], ids=short)
@pytest.mark.parametrize("shape", [(4, 5), (3, 5, 5), (2, 5, 4), (7, 1, 1, 5, 4), (1, 2, 3, 5, 4)], ids=str)
def test_a_mask_that_does_not_fit_is_refused(shape, dtype):
    arguments = triple(2, 3, queries=5, keys=4)
    with refuses(ValueError, ", ".join(map(str, shape)), "2, 3, 5, 4"):
        scaled_dot_product_attention(*arguments, torch.ones(shape, dtype=dtype))


@clause("fits")
def test_one_query_is_not_spread_over_the_rows_of_a_mask():
    with refuses(ValueError, "3, 4", "1, 4"):
        scaled_dot_product_attention(*triple(queries=1, keys=4), torch.ones(3, 4, dtype=torch.bool))


@clause("kind")
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32], ids=short)
def test_a_mask_of_whole_numbers_is_refused(dtype):
    arguments = triple(2)
    with refuses(TypeError, short(dtype)):
        scaled_dot_product_attention(*arguments, torch.ones(4, 5, dtype=dtype))


@clause("blind")
@pytest.mark.parametrize("kind", ["boolean", "floating"])
def test_a_query_that_may_see_nothing_gets_zeros(kind):
    arguments = half_blind(kind)
    seen = scaled_dot_product_attention(*arguments)
    blind = seen[:, 1]
    because = f"query 1 may see nothing by its {kind} mask, and should get zeros; it got {blind[0].tolist()}"
    close(blind, torch.zeros_like(blind), because)
    close(seen, of_torch(*arguments), "beside a query that may see nothing, the others get other numbers")


@clause("blind")
@pytest.mark.parametrize("kind", ["boolean", "floating"])
def test_a_query_that_may_see_nothing_passes_no_gradient_on(kind):
    arguments = half_blind(kind, torch.float64)
    seen, found = gradients(scaled_dot_product_attention, arguments)
    names = ("queries", "keys", "values", "the mask")
    for name, gradient, right in zip(names, found, gradients(of_torch, arguments)[1], strict=False):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        assert not gradient.isnan().any(), f"query 1 may see nothing, and so nan is in the gradient of {name}"
        close(gradient, right, f"query 1 may see nothing, and the gradient of {name} is not that of PyTorch's function")
    assert seen.isfinite().all(), "the gradients are finite, but the result is not"


@clause("gradients")
@given(cases())
def test_gradients_are_those_of_torch(arguments):
    same_gradients([part.double() for part in arguments])


@clause("gradients")
@given(masked_cases("floating"))
def test_gradients_under_a_floating_mask_are_those_of_torch(arguments):
    same_gradients([part.double() for part in arguments])


@clause("finite")
def test_huge_scores_stay_finite():
    arguments = glaring()
    seen, found = gradients(scaled_dot_product_attention, arguments)
    because = f"scores of 40 000 leave no choice but 2, 5; seen {seen.flatten().tolist()}: exp() of a raw score?"
    close(seen, torch.tensor([[2.0], [5.0]]), because)
    for name, gradient in zip(("queries", "keys", "values"), found, strict=True):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        assert gradient.isfinite().all(), f"the result is finite, but the gradient of {name} is not"


@clause("finite")
def test_a_query_of_low_scores_keeps_its_weights_beside_one_of_high_ones():
    seen = scaled_dot_product_attention(*far_apart())
    because = (
        "both queries weigh 1/4 and 3/4, at scores around 40 000 and -40 000: was one lowered by the other's best?"
    )
    close(seen, torch.tensor([[7.0], [7.0]]), because, atol=2e-2)  # at 40 000, a float32 is right to 0.004


@clause("dtype")
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=short)
def test_the_dtype_is_kept(dtype, kind):
    arguments, mask = triple(2, dtype=dtype), mask_of(kind, 4, 5, dtype=dtype)
    wide = mask.double() if kind == "floating" else mask
    expected = of_torch(*(part.double() for part in arguments), wide).to(dtype)
    because = f"{dtype} went in, with mask: {kind}, and in that dtype and its precision PyTorch gives other numbers"
    close(scaled_dot_product_attention(*arguments, mask), expected, because)


@clause("dtype")
@pytest.mark.parametrize("theirs", [torch.float32, torch.float64, torch.bfloat16], ids=short)
@pytest.mark.parametrize("mine", [torch.float32, torch.float64, torch.bfloat16], ids=short)
def test_a_mask_of_another_dtype_changes_no_dtype(mine, theirs):
    arguments = triple(2, dtype=mine)
    mask = torch.tensor([0.0, -INF, 0.5, -2.0, 1.0], dtype=theirs).expand(4, 5)
    expected = of_torch(*(part.double() for part in arguments), mask.double()).to(mine)
    close(scaled_dot_product_attention(*arguments, mask), expected, f"{mine} went in, with a mask of {theirs}")


@clause("device")
@pytest.mark.parametrize("kind", MASKS)
def test_tensors_without_values_are_enough(kind):
    arguments = [part.to("meta") for part in (*triple(2), mask_of(kind, 4, 5)) if part is not None]
    try:
        seen = scaled_dot_product_attention(*arguments)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):
            raise
        pytest.fail(
            f"all arguments are on meta, mask: {kind}; a value was asked for, or a tensor made elsewhere: {error}"
        )
    where, shape = seen.device.type, tuple(seen.shape)
    assert (where, shape) == ("meta", (2, 4, 6)), f"on meta, the result is on {where}, of shape {shape}"


@clause("pure")
@pytest.mark.parametrize("kind", MASKS)
def test_no_argument_is_changed(kind):
    arguments = [part for part in (*triple(2), mask_of(kind, 4, 5)) if part is not None]
    before = [part.clone() for part in arguments]
    seen = scaled_dot_product_attention(*arguments)
    for name, part, was in zip(("queries", "keys", "values", "mask"), arguments, before, strict=False):
        assert torch.equal(part, was), f"{name} has other numbers after the call: something was written in place"
    close(seen, of_torch(*before), "the arguments were left alone, but the result is not the one it should be")


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_three_projections_are_the_only_parameters(bias):
    seen = {name: tuple(value.shape) for name, value in SelfAttention(3, 2, bias).named_parameters()}
    expected = {f"{name}.weight": (2, 3) for name in PROJECTIONS}
    expected |= {f"{name}.bias": (2,) for name in PROJECTIONS if bias}
    assert seen == expected, f"d_in=3, d_out=2, qkv_bias={bias}: the parameters are {seen}, expected {expected}"


@clause("weights")
def test_there_is_no_bias_unless_it_is_asked_for():
    biases = [name for name, _ in SelfAttention(3, 2).named_parameters() if name.endswith("bias")]
    assert not biases, f"qkv_bias was not given and is False by default, yet there are {biases}"


@clause("weights")
def test_the_projections_are_made_in_the_books_order():
    torch.manual_seed(789)
    in_turn = {name: torch.nn.Linear(3, 2, bias=True) for name in PROJECTIONS}
    torch.manual_seed(789)
    seen = parameters(SelfAttention(3, 2, qkv_bias=True))
    for name, expected in in_turn.items():
        because = f"after the same seed, {name} differs from a Linear(3, 2) made in its turn: query, key, value"
        close(seen[f"{name}.weight"], expected.weight, because)
        close(seen[f"{name}.bias"], expected.bias, because)


@clause("projects")
@given(modules())
def test_the_projections_ask_answer_and_are_mixed(case):
    attention, x = case
    because = "with the same weights, PyTorch's own attention gives other numbers"
    close(attention(x), of_torch_module(attention, x), because)


@clause("projects")
@given(modules())
def test_gradients_of_input_and_parameters_are_those_of_torch(case):
    attention, x = case[0].double(), case[1].double().requires_grad_()
    leaves = {"the input": x} | parameters(attention)
    seen, expected = attention(x), of_torch_module(attention, x)
    assert seen.requires_grad, "no gradient flows back from the output: it was detached, or computed without gradients"
    towards = numbers(*seen.shape, seed="towards", dtype=torch.float64)
    theirs = torch.autograd.grad(expected, list(leaves.values()), towards)
    mine = torch.autograd.grad(seen, list(leaves.values()), towards, allow_unused=True)
    for name, gradient, right in zip(leaves, mine, theirs, strict=True):
        assert gradient is not None, f"no gradient reaches {name}: something on the way was detached"
        close(gradient, right, f"the gradient of {name} is not the one that PyTorch's own attention gives")


@clause("all")
def test_every_token_sees_every_token_of_its_sequence_and_no_other():
    attention, x = dealt(SelfAttention(5, 3)), numbers(3, 4, 5)
    before = attention(x)
    for row in range(3):
        for token in range(4):
            rewritten = x.clone()
            rewritten[row, token] += 1
            moved = (attention(rewritten) != before).any(dim=-1)  # (batch, tokens)
            blind = (~moved[row]).nonzero().flatten().tolist()
            assert not blind, f"token {token} was rewritten, and outputs at {blind} did not move: is something hidden?"
            others = [other for other in range(3) if other != row]
            because = f"only sequence {row} was rewritten, and another moved: sequences of the batch got mixed"
            close(attention(rewritten)[others], before[others], because)


@clause("reorder")
@given(modules(), st.data())
def test_reordering_the_tokens_reorders_the_output(case, data):
    attention, x = case
    order = data.draw(st.permutations(range(x.shape[-2])), label="order")
    seen, expected = attention(x[..., order, :]), attention(x)[..., order, :]
    close(seen, expected, f"the tokens were put in the order {order}, and an output changed more than its place")
    assert expected.any(), "every output is 0"


@clause("self-dtype")
@pytest.mark.parametrize("dtype", DTYPES, ids=short)
def test_the_module_keeps_the_dtype(dtype):
    attention, x = dealt(SelfAttention(5, 3, qkv_bias=True).to(dtype)), numbers(2, 6, 5, dtype=dtype)
    expected = of_torch_module(copy.deepcopy(attention).double(), x.double()).to(dtype)
    close(attention(x), expected, f"{dtype} went in, and in that dtype and its precision PyTorch gives other numbers")


@clause("self-pure")
def test_a_call_leaves_input_and_module_as_they_were():
    attention, x = dealt(SelfAttention(5, 3)), numbers(2, 6, 5)
    before, first = x.clone(), attention(x)
    assert torch.equal(x, before), "the input has other numbers after the call: something was written in place"
    close(first, of_torch_module(attention, before), "the input was left alone, but the output is not the right one")
    attention(numbers(1, 7, 5))
    close(attention(x), first, "6 tokens, then 7, then the same 6 gave other numbers: an earlier call left a trace")
    try:
        twin = copy.deepcopy(attention)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result of that call, with its gradients")
    close(twin(x), first, "a copy of the module gives other numbers than the module")
