"""Tensors, clause by clause. The why: docs/foundations/tensors.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.foundations.tensors import merge_heads, one_hot, pairwise_dot, rank, running_mean, split_heads
from tests.laws import gradients_agree, keeps_dtype, leaves_its_inputs_alone, works_on_views
from tests.support import Moved, clause, close, numbers, refuses, same

SIZE, SEED = st.integers(1, 5), st.integers(0, 99)
IDS = torch.tensor([[0, 3, 1], [2, 2, 0]])
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)


@st.composite
def batches(draw):
    """Numbers of the shape (batch, tokens, width)."""
    sizes = [draw(SIZE, label=axis) for axis in ("batch", "tokens", "width")]
    return numbers(*sizes, seed=draw(SEED, label="seed"))


@st.composite
def heads(draw):
    """Numbers of the shape (batch, num_heads, tokens, head_dim)."""
    sizes = [draw(SIZE, label=axis) for axis in ("batch", "num_heads", "tokens", "head_dim")]
    return numbers(*sizes, seed=draw(SEED, label="seed"))


def dots(x):
    """The dot products, pair by pair."""
    tokens = range(x.shape[1])
    rows = [torch.stack([(x[:, i] * x[:, j]).sum(dim=-1) for j in tokens], dim=-1) for i in tokens]
    return torch.stack(rows, dim=1)


def means(x):
    """The means, position by position."""
    return torch.stack([x[:, : t + 1].mean(dim=1) for t in range(x.shape[1])], dim=1)


def in_heads(x, num_heads):
    return torch.stack(x.chunk(num_heads, dim=-1), dim=1)


def side_by_side(x):
    return torch.cat(x.unbind(dim=1), dim=-1)


# From pairwise_dot on: the call, the shape of an input, and the definition as a loop.
FUNCTIONS = {
    "pairwise_dot": (pairwise_dot, (2, 5, 6), dots),
    "running_mean": (running_mean, (2, 5, 6), means),
    "split_heads": (lambda x: split_heads(x, 3), (2, 5, 6), lambda x: in_heads(x, 3)),
    "merge_heads": (merge_heads, (2, 3, 5, 2), side_by_side),
}
EACH = pytest.mark.parametrize("name", FUNCTIONS)


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x, y = numbers(2, 5, 6), numbers(2, 3, 5, 2)
    rank, one_hot = kata.rank, kata.one_hot

    def refused(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def afterwards(function, x):
        given = x.clone()
        function(given)
        return given

    def gradient(function, x):
        leaf = x.clone().requires_grad_()
        seen = function(leaf)
        return torch.autograd.grad(seen.square().sum(), leaf)[0] if seen.requires_grad else "no gradient"

    parts = {
        "rank": lambda: [rank(torch.zeros(shape)) for shape in ((2,), (3, 4), (5, 2, 3))],
        "rank with axes of 1": lambda: [rank(torch.zeros(shape)) for shape in ((1, 3), (3, 1, 1))],
        "ids": lambda: one_hot(torch.tensor([2, 0, 3]), 5).double(),
        "ids in rows": lambda: one_hot(IDS.clone(), 4).double(),
        "single id": lambda: one_hot(torch.tensor([[2]]), 4).double(),
        "dtype of one_hot": lambda: str(one_hot(torch.tensor([2, 0, 3]), 5).dtype),
        "id too high": lambda: refused(lambda: one_hot(torch.tensor([0, 17]), 9)),
        "num_classes as an id": lambda: refused(lambda: one_hot(torch.tensor([0, 9]), 9)),
        "id too low": lambda: refused(lambda: one_hot(torch.tensor([0, -3]), 9)),
        "pairs": lambda: kata.pairwise_dot(x),
        "pairs in a cube": lambda: kata.pairwise_dot(numbers(3, 3, 3)),
        "means": lambda: kata.running_mean(x),
        "split": lambda: kata.split_heads(x, 3),
        "split into two": lambda: kata.split_heads(x, 2),
        "merged": lambda: kata.merge_heads(y.clone()),
        "5 heads": lambda: refused(lambda: kata.split_heads(numbers(2, 5, 12), 5)),
        "0 heads": lambda: refused(lambda: kata.split_heads(numbers(2, 5, 12), 0)),
        "digits": lambda: bool(kata.running_mean(1 + torch.tensor([[[0], [1e-9]]]).double()).diff(dim=1) > 0),
    }
    functions = {
        "pairwise_dot": (kata.pairwise_dot, x),
        "running_mean": (kata.running_mean, x),
        "split_heads": (lambda x: kata.split_heads(x, 3), x),
        "merge_heads": (kata.merge_heads, y),
    }
    for name, (function, sample) in functions.items():
        parts |= {
            f"float64 in {name}": lambda function=function, sample=sample: str(function(sample.double()).dtype),
            f"gradient of {name}": lambda function=function, sample=sample: gradient(function, sample),
            f"input of {name} afterwards": lambda function=function, sample=sample: afterwards(function, sample),
        }
    return parts


@clause("axes")
@pytest.mark.parametrize(
    ("what", "expected"), [(7.0, 0), ([2.0, 4.0, 6.0], 1), ([[1.0, 2.0], [3.0, 4.0]], 2), ([[[5.0]]], 3)]
)
def test_each_bracket_is_an_axis(what, expected):
    same(rank(torch.tensor(what)), expected, f"the rank of {what} is the number of brackets before the first number")


@clause("axes")
@given(st.lists(st.integers(0, 3), max_size=5))
def test_the_size_of_an_axis_does_not_matter(shape):
    same(rank(torch.zeros(shape)), len(shape), f"the rank of a tensor of shape {tuple(shape)}")


@clause("one-hot")
def test_the_ids_0_and_2_of_3_classes():
    seen = one_hot(torch.tensor([0, 2]), 3).float()
    close(seen, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), f"the ids 0, 2 of 3 classes became {seen.tolist()}")


@clause("one-hot")
@given(st.data())
def test_agrees_with_torch(data):
    num_classes = data.draw(st.integers(1, 6), label="num_classes")
    ids = data.draw(st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=5), label="ids")
    expected = torch.nn.functional.one_hot(torch.tensor(ids), num_classes).float()
    because = f"the ids {ids} of {num_classes} classes: PyTorch's one_hot gives other vectors"
    close(one_hot(torch.tensor(ids), num_classes).float(), expected, because)


@clause("any-shape")
@pytest.mark.parametrize("shape", [(3, 2), (1, 4), (2, 3, 2), ()], ids=str)
def test_classes_become_the_last_axis(shape):
    ids = torch.arange(torch.Size(shape).numel()).reshape(shape) % 5
    expected = torch.nn.functional.one_hot(ids, 5).float()
    close(one_hot(ids, 5).float(), expected, f"ids of shape {shape} and 5 classes should give {(*shape, 5)}")


@clause("pairs")
def test_three_tokens_of_two_features():
    seen = pairwise_dot(torch.tensor([[[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]]]))
    because = f"the tokens are (1, 0), (2, 1), (0, 3); token 1 with token 2 is 2 · 0 + 1 · 3 = 3; seen {seen.tolist()}"
    close(seen, torch.tensor([[[1.0, 2.0, 0.0], [2.0, 5.0, 3.0], [0.0, 3.0, 9.0]]]), because)


@clause("pairs")
@given(batches())
def test_every_pair_has_its_dot_product(x):
    because = f"x has the shape {tuple(x.shape)}, and a loop over the pairs of each sequence gives another number"
    close(pairwise_dot(x), dots(x), because)


@clause("mean")
def test_two_four_six_become_two_three_four():
    seen = running_mean(torch.tensor([[[2.0], [4.0], [6.0]]]))
    close(seen, torch.tensor([[[2.0], [3.0], [4.0]]]), f"2, 4, 6 became {seen.flatten().tolist()}")


@clause("mean")
@given(batches())
def test_each_position_has_the_mean_of_its_past(x):
    because = f"x has the shape {tuple(x.shape)}, and a loop over the positions gives another number"
    close(running_mean(x), means(x), because)


@clause("split")
def test_two_tokens_in_two_heads():
    seen = split_heads(torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8]]]), 2)
    because = (
        "the tokens are (1, 2, 3, 4) and (5, 6, 7, 8); head 0 holds (1, 2) and (5, 6), head 1 holds (3, 4) and (7, 8); "
        f"seen {seen.tolist()}"
    )
    close(seen, torch.tensor([[[[1.0, 2], [5, 6]], [[3, 4], [7, 8]]]]), because)


@clause("split")
@given(batches(), SIZE)
def test_a_head_holds_neighbouring_features(x, num_heads):
    x = x.repeat_interleave(num_heads, dim=-1) + torch.arange(x.shape[-1] * num_heads)
    because = f"x has the shape {tuple(x.shape)}, num_heads is {num_heads}, and PyTorch's chunk() cuts it otherwise"
    close(split_heads(x, num_heads), in_heads(x, num_heads), because)


@clause("merge")
def test_two_heads_side_by_side():
    seen = merge_heads(torch.tensor([[[[1.0, 2], [5, 6]], [[3, 4], [7, 8]]]]))
    because = (
        "head 0 holds (1, 2) and (5, 6), head 1 holds (3, 4) and (7, 8), so token 0 is (1, 2, 3, 4); "
        f"seen {seen.tolist()}"
    )
    close(seen, torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8]]]), because)


@clause("merge")
@given(heads())
def test_heads_are_joined_side_by_side(x):
    because = f"x has the shape {tuple(x.shape)}, and PyTorch's cat() of its heads gives other tokens"
    close(merge_heads(x), side_by_side(x), because)


@clause("float32")
def test_the_vectors_are_float32():
    same(str(one_hot(torch.tensor([0, 2]), 3).dtype), "torch.float32", "this is the dtype of one_hot's result")


@clause("range")
@pytest.mark.parametrize("wrong", [-1, -3, 9, 17])
def test_an_id_out_of_range_is_refused(wrong):
    with refuses(ValueError, wrong, 9):
        one_hot(torch.tensor([[0, 8], [wrong, 1]]), 9)


@clause("heads")
@pytest.mark.parametrize(("width", "num_heads"), [(12, 5), (12, 24), (12, 0), (12, -3)])
def test_heads_that_do_not_fit_are_refused(width, num_heads):
    with refuses(ValueError, width, num_heads):
        split_heads(numbers(2, 3, width), num_heads)


@clause("view")
@EACH
def test_a_view_gives_the_result_of_a_copy(name):
    function, shape, definition = FUNCTIONS[name]
    works_on_views(function, shape, definition)


@clause("view")
def test_ids_may_be_a_view():
    close(one_hot(IDS.T, 5), torch.nn.functional.one_hot(IDS.T, 5).float(), "the ids are transposed")


@clause("pure")
@EACH
def test_a_call_leaves_its_input_alone(name):
    function, shape, _ = FUNCTIONS[name]
    leaves_its_inputs_alone(function, numbers(*shape))


@clause("pure")
def test_one_hot_leaves_the_ids_alone():
    leaves_its_inputs_alone(lambda ids: one_hot(ids, 5), IDS.clone())


@clause("dtype")
@EACH
@DTYPES
def test_the_dtype_is_kept(name, dtype):
    function, shape, definition = FUNCTIONS[name]
    x = numbers(*shape, dtype=dtype)
    keeps_dtype(function, x, definition(x.double()))


@clause("gradients")
@EACH
def test_gradients_are_those_of_the_definition(name):
    function, shape, definition = FUNCTIONS[name]
    x = numbers(*shape).requires_grad_()
    gradients_agree(function(x), definition(x), {"x": x}, "a loop")


@clause("device")
@EACH
def test_everything_happens_on_the_device_of_x(name):
    function, shape, _ = FUNCTIONS[name]
    x = numbers(*shape)
    with Moved(None, x) as there:
        seen = function(x)
    assert there.has(seen), "x is on another device than the CPU, and the result is not there"
