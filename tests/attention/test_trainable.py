"""Trainable attention, clause by clause. The why: docs/attention/trainable.md."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from katas.attention.trainable import SelfAttention, scaled_dot_product_attention
from tests import laws, probes
from tests.support import clause, close, dealt, numbers, parameters, refuses

PROJECTIONS = ("W_query", "W_key", "W_value")
WEIGHTS = tuple(f"{name}.weight" for name in PROJECTIONS)
LN3, INF = math.log(3), math.inf
DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
MASKS = ("none", "boolean", "floating")
NAMES = ("queries", "keys", "values", "the mask")


def triple(*before, queries=4, keys=5, d_k=3, d_v=6, seed=0, dtype=torch.float32):
    """Queries, keys and values; no two sizes are equal unless they are asked to be."""
    sizes = {"queries": (queries, d_k), "keys": (keys, d_k), "values": (keys, d_v)}
    return [2 * numbers(*before, *size, seed=f"{name} {seed}", dtype=dtype) for name, size in sizes.items()]


def mask_of(kind, *shape, dtype=torch.float32):
    """A mask of a kind, in a list, or an empty list; every query sees the first key."""
    visible = numbers(*shape, seed="mask") > -0.3
    visible[..., 0] = True
    floating = (4 * numbers(*shape, seed="added", dtype=dtype)).masked_fill(~visible, -INF)
    return {"none": [], "boolean": [visible], "floating": [floating]}[kind]


@st.composite
def triples(draw):
    """Hypothesis draws the sizes and the seed; the seed deals the numbers."""
    sizes = {size: draw(st.integers(1, 5), label=size) for size in ("queries", "keys", "d_k", "d_v")}
    return triple(**sizes, seed=draw(st.integers(0, 99), label="seed"))


def of_torch(queries, keys, values, mask=None):
    """What PyTorch's own function makes of it."""
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def of_torch_module(attention, x):
    """What PyTorch's own attention makes of the same weights."""
    known = parameters(attention, *WEIGHTS)
    return of_torch(*(functional.linear(x, known[f"{n}.weight"], known.get(f"{n}.bias")) for n in PROJECTIONS))


def leaves(arguments):
    """The floating arguments by name, each able to take a gradient."""
    return {n: part.requires_grad_() for n, part in zip(NAMES, arguments, strict=False) if part.is_floating_point()}


def half_masked(kind, dtype=torch.float32):
    """Arguments of which queries 0 and 2 see two of three keys, and query 1 none."""
    visible = torch.tensor([[True, False, True], [False, False, False], [True, True, False]])
    mask = visible if kind == "boolean" else torch.zeros(3, 3, dtype=dtype).masked_fill(~visible, -INF)
    return [*triple(2, queries=3, keys=3, dtype=dtype), mask]


def two_keys(visible, hidden, dtype=torch.float32):
    """Arguments with a key of the score `visible` and the value 2, and a hidden key of the score `hidden`."""
    side = 2.0 ** (math.frexp(max(abs(visible), abs(hidden)))[1] // 2)
    keys = torch.tensor([[visible / side], [hidden / side]], dtype=dtype)
    values, mask = torch.tensor([[2.0], [60.0]], dtype=dtype), torch.tensor([[True, False]])
    return torch.tensor([[side]], dtype=dtype), keys, values, mask


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    attend, x = kata.scaled_dot_product_attention, numbers(6, 5)

    def made(bias=False):
        return dealt(kata.SelfAttention(5, 3, bias))

    def learns():
        arguments = [part.requires_grad_() for part in (*triple(), *mask_of("floating", 4, 5))]
        seen = attend(*arguments)
        if not seen.requires_grad:
            return "nothing"
        found = torch.autograd.grad(seen.square().sum(), arguments, allow_unused=True)
        return [name for name, gradient in zip(NAMES, found, strict=True) if gradient is None or not gradient.any()]

    def apart(*before):
        """Whether the first place of a batch gives what it gives alone."""
        batch = triple(*before)
        alone = [part[(0,) * len(before)] for part in batch]
        try:
            seen = attend(*batch)
        except Exception:
            return "an error"
        return tuple(seen.shape) == (*before, 4, 6) and torch.allclose(seen[(0,) * len(before)], attend(*alone))

    def masked(kind):
        return attend(*triple(), *mask_of(kind, 4, 5))

    def even(mask):
        """Four equal keys with the values 1, 10, 100 and 1000, under a mask."""
        return attend(torch.ones(1, 4), torch.ones(4, 4), torch.tensor([[1.0], [10.0], [100.0], [1000.0]]), mask)

    def all_masked(kind):
        """What a query that sees nothing gets, and what its gradient is."""
        arguments = half_masked(kind)
        seen = attend(*[part.requires_grad_() if part.is_floating_point() else part for part in arguments])
        gradient = torch.autograd.grad(seen[:, 1].sum(), arguments[0])[0]
        first = "nan" if seen[:, 1].isnan().any() else "values" if seen[:, 1].any() else "zeros"
        return first, "nan" if gradient.isnan().any() else "finite"

    def broadcast(*shape):
        """Whether a mask of a shape, all True, changes nothing; else what comes of it."""
        try:
            seen = attend(*triple(2, 3), torch.ones(shape, dtype=torch.bool))
            return torch.allclose(seen, attend(*triple(2, 3))) if seen.shape == (2, 3, 4, 6) else "another shape"
        except Exception:
            return "refused"

    def refused(shape, dtype, named):
        try:
            attend(*triple(2, 3), torch.ones(shape, dtype=dtype))
        except Exception as error:
            return (type(error).__name__, named in str(error)) if type(error) in (ValueError, TypeError) else "nothing"
        return "nothing"

    def leaks(visible, hidden, dtype=torch.float32):
        return probes.exceeds(lambda: attend(*two_keys(visible, hidden, dtype)), 2)

    def finite(*scores):
        return [
            bool(attend(torch.ones(1, 1), torch.tensor([[s], [s]]), torch.ones(2, 2)).isfinite().all()) for s in scores
        ]

    def of_dtype(kind, dtype, theirs):
        return probes.dtype(lambda: attend(*triple(dtype=dtype), *mask_of(kind, 4, 5, dtype=theirs)))

    def on_meta():
        found = set()
        for kind in MASKS:
            try:
                found.add(attend(*(part.to("meta") for part in (*triple(), *mask_of(kind, 4, 5)))).device.type)
            except Exception as error:
                asked = "item" in str(error) or "scalar" in str(error) or "bool" in str(error)
                found.add("a value is asked for" if asked else "another device")
        return sorted(found - {"meta"})

    def unchanged(kind):
        arguments = [*triple(), *mask_of(kind, 4, 5)]
        before = [part.clone() for part in arguments]
        attend(*arguments)
        return [one.equal(other) for one, other in zip(arguments, before, strict=True)]

    def biases():
        made = kata.SelfAttention(5, 3), kata.SelfAttention(5, 3, False), kata.SelfAttention(5, 3, True)
        return [[name for name, _ in each.named_parameters() if "bias" in name] for each in made]

    def beside():
        """The output, as far as it is not that of the function for the three projections."""
        attention = made(True)
        return attention(x) - attend(*(getattr(attention, name)(x) for name in PROJECTIONS))

    def module_apart():
        batch = numbers(3, 6, 5)
        return torch.allclose(made()(batch)[1], made()(batch[1]))

    def module_kept():
        attention, given = made(), x.clone()
        attention(given)
        try:
            return bool(copy.deepcopy(attention)), given.equal(x)
        except RuntimeError:
            return False, given.equal(x)

    lowest = torch.finfo(torch.float16).min
    return {
        "numbers": lambda: attend(*triple()),
        "numbers of a square": lambda: attend(*triple(queries=5, keys=5, d_k=5, d_v=5)),
        "what does not learn": learns,
        "one axis before": lambda: apart(2),
        "two axes before": lambda: apart(2, 3),
        "boolean": lambda: masked("boolean"),
        "a boolean mask of equal keys": lambda: even(torch.tensor([[True, False, False, True]])),
        "floating": lambda: masked("floating"),
        "a floating mask of equal keys": lambda: even(torch.tensor([[0.0, 1.0, 2.0, 3.0]])),
        "hidden by -inf": lambda: even(torch.tensor([[0.0, -INF, 0.0, -INF]])),
        "all masked, boolean": lambda: all_masked("boolean"),
        "all masked, floating": lambda: all_masked("floating"),
        "broadcast": lambda: [broadcast(*shape) for shape in ((), (5,), (1, 5), (4, 1), (2, 1, 4, 5), (2, 3, 4, 5))],
        "too many axes": lambda: broadcast(7, 1, 1, 4, 5),
        "wrong shape": lambda: refused((4, 4), torch.bool, "4, 4"),
        "whole numbers": lambda: refused((4, 5), torch.int64, "int64"),
        "small whole numbers": lambda: refused((4, 5), torch.uint8, "uint8"),
        "an integer mask of equal keys": lambda: even(torch.tensor([[1, 0, 0, 1]])),
        "low": lambda: [leaks(-4e4, -8e4), leaks(-(2.0**40), -(2.0**41)), leaks(lowest, lowest, torch.float16)],
        "high": lambda: leaks(0.0, 4e4) or leaks(0.0, 2.0**40),
        "finite": lambda: finite(50.0, 400.0, -40_000.0),
        "rows far apart": lambda: attend(torch.tensor([[90.0], [-90.0]]), torch.ones(2, 1), torch.ones(2, 1)),
        "float16": lambda: of_dtype("boolean", torch.float16, torch.float16),
        "bfloat16": lambda: of_dtype("none", torch.bfloat16, torch.bfloat16),
        "a wider mask": lambda: of_dtype("floating", torch.bfloat16, torch.float32),
        "precise": lambda: probes.precise(attend(*(exact := triple(dtype=torch.float64))), of_torch(*exact)),
        "on meta": on_meta,
        "unchanged": lambda: unchanged("none"),
        "mask unchanged": lambda: unchanged("boolean")[-1],
        "biases": biases,
        "parameters": lambda: len(list(made().parameters())),
        "module": lambda: made(True)(x),
        "square module": lambda: dealt(kata.SelfAttention(5, 5))(x),
        "module beside the function": beside,
        "module's batch": module_apart,
        "module kept": module_kept,
        "order": lambda: probes.in_order(lambda: kata.SelfAttention(5, 3), WEIGHTS, 5, 3),
    }


@clause("example")
def test_a_quarter_of_4_and_three_quarters_of_8_are_7():
    queries, keys = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[0.0, 0, 0, 0], [LN3, 0, 0, 0]])
    seen = scaled_dot_product_attention(queries, keys, torch.tensor([[4.0], [8.0]]))
    because = (
        f"the scores are 0 and 2 ln 3 / sqrt(4) = ln 3, so the weights are 1/4 and 3/4 and the result is 7, "
        f"not {seen.flatten().tolist()}"
    )
    close(seen, torch.tensor([[7.0]]), because)


@clause("formula")
@given(triples())
def test_agrees_with_torch(arguments):
    because = f"queries, keys and values are {[tuple(part.shape) for part in arguments]}"
    close(scaled_dot_product_attention(*arguments), of_torch(*arguments), f"PyTorch gives another number; {because}")


@clause("gradients")
def test_gradients_are_those_of_torch():
    arguments = triple()
    known = leaves(arguments)
    seen, expected = scaled_dot_product_attention(*arguments), of_torch(*arguments)
    laws.gradients_agree(seen, expected, known, "PyTorch's own function")


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_there_are_three_projections(bias):
    known = parameters(SelfAttention(3, 2, bias), *WEIGHTS)
    seen = {name: tuple(value.shape) for name, value in known.items()}
    expected = {f"{name}.weight": (2, 3) for name in PROJECTIONS}
    expected |= {f"{name}.bias": (2,) for name in PROJECTIONS if bias}
    assert seen == expected, f"d_in=3, d_out=2, qkv_bias={bias}: the parameters are {seen}, expected {expected}"


@clause("weights")
def test_there_is_no_bias_by_default():
    biases = [name for name in parameters(SelfAttention(3, 2)) if name.endswith("bias")]
    assert not biases, f"qkv_bias was not given and is False by default, but there are {biases}"


@clause("projects")
@pytest.mark.parametrize(("d_out", "bias"), [(3, False), (3, True), (5, False)])
def test_the_projections_are_queries_keys_and_values(d_out, bias):
    attention, x = dealt(SelfAttention(5, d_out, bias)), 2 * numbers(6, 5)
    close(
        attention(x), of_torch_module(attention, x), "PyTorch's own attention, with your weights, gives another number"
    )


@clause("projects")
def test_gradients_of_the_module_are_those_of_torch():
    attention, x = dealt(SelfAttention(5, 3, True)), numbers(6, 5).requires_grad_()
    known = {"the input": x} | parameters(attention, *WEIGHTS)
    laws.gradients_agree(attention(x), of_torch_module(attention, x), known, "PyTorch's own attention")


@clause("batch")
@pytest.mark.parametrize("before", [(2,), (5,), (2, 3)], ids=str)
def test_each_place_of_a_batch_is_computed_alone(before):
    arguments, x, attention = triple(*before), numbers(*before, 6, 5), dealt(SelfAttention(5, 3))
    because = f"the axes {before} stand before the last two"
    close(scaled_dot_product_attention(*arguments), of_torch(*arguments), f"the function: {because}")
    close(attention(x), of_torch_module(attention, x), f"SelfAttention: {because}")


@clause("boolean-mask")
def test_true_is_visible_and_false_is_hidden():
    queries, keys, values = torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([[4.0], [8.0]])
    for mask, expected in (([True, False], 4.0), ([False, True], 8.0), ([True, True], 6.0)):
        seen = scaled_dot_product_attention(queries, keys, values, torch.tensor([mask]))
        because = f"the scores are equal, the values are 4 and 8, and the mask is {mask}, where True means visible"
        close(seen, torch.tensor([[expected]]), because)


@clause("boolean-mask")
def test_agrees_with_torch_under_a_boolean_mask():
    arguments = [*triple(), *mask_of("boolean", 4, 5)]
    because = "PyTorch's own function, with the same boolean mask, gives another number"
    close(scaled_dot_product_attention(*arguments), of_torch(*arguments), because)


@clause("float-mask")
def test_a_floating_mask_is_added_after_the_division():
    queries, keys, values = torch.ones(1, 4), torch.ones(2, 4), torch.tensor([[4.0], [8.0]])
    seen = scaled_dot_product_attention(queries, keys, values, torch.tensor([[0.0, LN3]]))
    because = f"equal scores plus 0 and ln 3 give the weights 1/4 and 3/4, so 7, and not {seen.flatten().tolist()}"
    close(seen, torch.tensor([[7.0]]), because)


@clause("float-mask")
def test_agrees_with_torch_under_a_floating_mask():
    arguments = [*triple(), *mask_of("floating", 4, 5)]
    known = leaves(arguments)
    seen, expected = scaled_dot_product_attention(*arguments), of_torch(*arguments)
    close(seen, expected.detach(), "PyTorch's own function, with the same floating mask, gives another number")
    laws.gradients_agree(seen, expected, known, "PyTorch's own function")


@clause("mask-shape")
@pytest.mark.parametrize("kind", ["boolean", "floating"])
def test_a_mask_is_broadcast(kind):
    arguments = triple(2, 3)
    for shape in ((1,), (5,), (1, 5), (4, 1), (3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 5)):
        (mask,) = mask_of(kind, *shape)
        expected = of_torch(*arguments, mask.expand(2, 3, 4, 5))
        because = f"the scores are (2, 3, 4, 5), and a {kind} mask of shape {shape} is broadcast to that"
        close(scaled_dot_product_attention(*arguments, mask), expected, because)


@clause("mask-shape")
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32], ids=["boolean", "floating"])
def test_a_mask_that_cannot_be_broadcast_is_refused(dtype):
    for shape in ((4, 5), (3, 5, 5), (2, 5, 4), (7, 1, 1, 5, 4), (1, 2, 3, 5, 4)):
        with refuses(ValueError, ", ".join(map(str, shape))):
            scaled_dot_product_attention(*triple(2, 3, queries=5, keys=4), torch.ones(shape, dtype=dtype))


@clause("mask-shape")
def test_one_query_is_not_broadcast_to_the_rows_of_a_mask():
    with refuses(ValueError, "3, 4"):
        scaled_dot_product_attention(*triple(queries=1, keys=4), torch.ones(3, 4, dtype=torch.bool))


@clause("mask-dtype")
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8], ids=["int64", "uint8"])
def test_a_mask_of_integers_is_refused(dtype):
    with refuses(TypeError, str(dtype)[6:]):
        scaled_dot_product_attention(*triple(), torch.ones(4, 5, dtype=dtype))


@clause("all-masked")
@pytest.mark.parametrize("kind", ["boolean", "floating"])
def test_a_query_that_sees_no_key_gets_zeros(kind):
    arguments = half_masked(kind)
    seen = scaled_dot_product_attention(*arguments)
    masked = seen[:, 1]
    close(masked, torch.zeros_like(masked), f"query 1 sees no key by its {kind} mask; it got {masked[0].tolist()}")
    close(seen, of_torch(*arguments), "beside a query that sees no key, the others get other numbers")


@clause("all-masked")
@pytest.mark.parametrize("kind", ["boolean", "floating"])
def test_a_query_that_sees_no_key_gets_gradients_of_zero(kind):
    arguments = half_masked(kind)
    known = leaves(arguments)
    laws.gradients_agree(scaled_dot_product_attention(*arguments), of_torch(*arguments), known, "PyTorch's function")


@clause("hidden")
def test_a_hidden_key_has_no_weight_however_low_the_visible_scores_are():
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        limits = torch.finfo(dtype)
        for visible, hidden in ((limits.min, limits.min), (limits.min, limits.max), (0.0, limits.max)):
            seen = scaled_dot_product_attention(*two_keys(visible, hidden, dtype)).item()
            assert seen == 2, (
                f"in {dtype} the visible key, of the value 2, has the score {visible:.4g}, and the hidden key, of the "
                f"value 60, the score {hidden:.4g}: the result should be 2, and is {seen:g}"
            )


@clause("extreme")
@pytest.mark.parametrize("score", [40_000.0, -40_000.0])
def test_extreme_scores_stay_finite(score):
    queries, keys = (
        torch.tensor([[200.0, LN3], [0.0, LN3]]),
        2**0.5 * torch.tensor([[score / 200, 0], [score / 200, 1]]),
    )
    arguments = [queries, keys, torch.tensor([[4.0], [8.0]])]
    known = leaves(arguments)
    seen = scaled_dot_product_attention(*arguments)
    because = f"the scores of one query are {score:g} and {score:g} + ln 3, so it should get 7; of the other 0 and ln 3"
    close(seen, torch.tensor([[7.0], [7.0]]), because, atol=2e-2)  # at 40 000, float32 is right to 0.004
    for name, gradient in zip(known, torch.autograd.grad(seen.sum(), known.values()), strict=True):
        assert gradient.isfinite().all(), f"the result is finite, but the gradient of {name} is not"


@clause("dtype")
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_the_dtype_is_kept(dtype, kind):
    arguments = [*triple(dtype=dtype), *mask_of(kind, 4, 5, dtype=torch.float32)]
    expected = of_torch(*(part.double() if part.is_floating_point() else part for part in arguments)).to(dtype)
    close(scaled_dot_product_attention(*arguments), expected, f"queries, keys and values are {dtype}; mask: {kind}")


@clause("dtype")
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_the_module_keeps_the_dtype(dtype):
    attention, x = dealt(SelfAttention(5, 3, qkv_bias=True).to(dtype)), numbers(6, 5, dtype=dtype)
    laws.keeps_dtype(attention, x, of_torch_module(copy.deepcopy(attention).double(), x.double()))


@clause("device")
@pytest.mark.parametrize("kind", MASKS)
def test_it_works_on_the_meta_device(kind):
    arguments = [part.to("meta") for part in (*triple(2), *mask_of(kind, 4, 5))]
    try:
        seen = scaled_dot_product_attention(*arguments)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):
            raise
        pytest.fail(f"on the meta device (mask: {kind}), a value was asked for, or a tensor is elsewhere: {error}")
    where, shape = seen.device.type, tuple(seen.shape)
    assert (where, shape) == ("meta", (2, 4, 6)), f"on the meta device, the result is on {where}, of shape {shape}"


@clause("pure")
@pytest.mark.parametrize("kind", MASKS)
def test_no_argument_is_changed(kind):
    laws.leaves_its_inputs_alone(scaled_dot_product_attention, *triple(), *mask_of(kind, 4, 5))


@clause("pure")
def test_a_call_leaves_input_and_module_as_they_were():
    attention = dealt(SelfAttention(5, 3))
    laws.leaves_its_inputs_alone(attention, numbers(6, 5))
    try:
        copy.deepcopy(attention)
    except RuntimeError:
        pytest.fail("after a call the module cannot be copied: it keeps a result, and with it the graph of that call")


@clause("seed")
def test_the_layers_are_created_in_the_books_order():
    torch.manual_seed(789)
    in_turn = {name: torch.nn.Linear(3, 2, bias=True) for name in PROJECTIONS}
    torch.manual_seed(789)
    known = parameters(SelfAttention(3, 2, qkv_bias=True), *WEIGHTS)
    for name, expected in in_turn.items():
        because = f"after the same seed, {name} is not the nn.Linear(3, 2) made in the order query, key, value"
        close(known[f"{name}.weight"], expected.weight, because)
