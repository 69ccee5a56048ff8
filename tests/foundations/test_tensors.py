"""Tensors, clause by clause. The why: docs/foundations/tensors.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.foundations.tensors import merge_heads, one_hot, pairwise_dot, rank, running_mean, split_heads
from tests.support import OneDevice, clause, close, numbers, refuses, same

SIZE, SEED = st.integers(1, 5), st.integers(0, 99)


@st.composite
def batches(draw):
    """Hypothesis draws the sizes and the seed, which shrink; the seed deals the numbers."""
    batch, tokens, width = (draw(SIZE, label=axis) for axis in ("batch", "tokens", "width"))
    return numbers(batch, tokens, width, seed=draw(SEED, label="seed"))


@st.composite
def heads(draw):
    """Numbers in heads: (batch, num_heads, tokens, head_dim)."""
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


def cases(kata=None, dtype=torch.float32):
    """From pairwise_dot on: the name of each function, the call, an input, and its definition as a loop."""
    mine = (pairwise_dot, running_mean, split_heads, merge_heads)
    if kata:
        mine = (kata.pairwise_dot, kata.running_mean, kata.split_heads, kata.merge_heads)
    x, y = numbers(2, 5, 6, dtype=dtype), numbers(2, 3, 5, 2, dtype=dtype)
    return [
        ("pairwise_dot", mine[0], x, dots),
        ("running_mean", mine[1], x, means),
        ("split_heads", lambda x: mine[2](x, 3), x, lambda x: in_heads(x, 3)),
        ("merge_heads", mine[3], y, side_by_side),
    ]


def seen_as(view, x):
    """A view of the same shape as x whose numbers do not lie in a row; `one item` repeats the first of the batch."""
    if view == "transposed":
        return x.transpose(1, -1).contiguous().transpose(1, -1)
    if view == "every other number":
        return torch.stack([x, x + 1], dim=-1).flatten(-2)[..., ::2]
    return x[:1].expand(x.shape)


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x = numbers(2, 5, 6)
    ids = torch.tensor([[0, 3, 1], [2, 2, 0]])

    def refused(call, *values):
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]

    def precision(dtype):
        found = []
        for _, function, x, definition in cases(kata, dtype):
            try:
                seen = function(x)
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")
                continue
            exact = definition(x.double())
            close_to = [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (2e-2, 1e-4, 1e-9)]
            found.append((str(seen.dtype), close_to))
        return found

    def gradients():
        found = []
        for _, function, x, _ in cases(kata):
            leaf = x.clone().requires_grad_()
            seen = function(leaf)
            if seen.requires_grad:
                seen.square().sum().backward()
            found.append(leaf.grad)
        return found

    def changed():
        given = [(lambda ids: kata.one_hot(ids, 4), ids), *((function, x) for _, function, x, _ in cases(kata))]
        found = []
        for function, x in given:
            theirs = x.clone()
            function(theirs)
            found.append((tuple(theirs.shape), theirs))
        return found

    def devices():
        with OneDevice():
            return [function(x.to("meta")).device.type for _, function, x, _ in cases(kata)]

    return {
        "rank": lambda: [kata.rank(torch.zeros(shape)) for shape in ((2,), (3, 4), (5, 2, 3))],
        "rank of one number": lambda: kata.rank(torch.tensor(7.0)),
        "rank with axes of 1": lambda: [kata.rank(torch.zeros(shape)) for shape in ((1, 3), (3, 1, 1))],
        "rank with an empty axis": lambda: kata.rank(torch.zeros(3, 0, 2, 2)),
        "ids": lambda: kata.one_hot(torch.tensor([2, 0, 3]), 5),
        "ids in rows": lambda: kata.one_hot(ids.clone(), 4),
        "single ids": lambda: [kata.one_hot(torch.tensor(2), 4), kata.one_hot(torch.tensor([[2]]), 4)],
        "no ids": lambda: kata.one_hot(ids[:0], 4),
        "view of ids": lambda: kata.one_hot(ids.clone().T, 4),
        "ids too high": lambda: [refused(lambda i=i: kata.one_hot(torch.tensor([0, i]), 9), i, 9) for i in (9, 17)],
        "id too high": lambda: refused(lambda: kata.one_hot(torch.tensor([0, 17]), 9), 17, 9),
        "id too low": lambda: refused(lambda: kata.one_hot(torch.tensor([0, -3]), 9), -3, 9),
        "pairs": lambda: kata.pairwise_dot(x),
        "pairs in a cube": lambda: kata.pairwise_dot(numbers(3, 3, 3)),
        "means": lambda: kata.running_mean(x),
        "split": lambda: kata.split_heads(x, 3),
        "split into one": lambda: kata.split_heads(x, 1),
        "merged": lambda: kata.merge_heads(numbers(2, 3, 5, 2)),
        "split view": lambda: kata.split_heads(seen_as("transposed", x), 3),
        "merged view": lambda: kata.merge_heads(seen_as("transposed", numbers(2, 3, 5, 2))),
        "5 heads": lambda: refused(lambda: kata.split_heads(numbers(2, 5, 12), 5), 5, 12),
        "too few heads": lambda: [refused(lambda n=n: kata.split_heads(numbers(2, 5, 12), n), n, 12) for n in (0, -3)],
        "all heads": lambda: [refused(lambda n=n: kata.split_heads(numbers(2, 5, 12), n), n) for n in (5, 0, -3, 3)],
        "changed": changed,
        "gradients": gradients,
        "float64": lambda: precision(torch.float64),
        "bfloat16": lambda: precision(torch.bfloat16),
        "devices": devices,
    }


@clause("axes")
@pytest.mark.parametrize(
    ("what", "expected"), [(7.0, 0), ([2.0, 4.0, 6.0], 1), ([[1.0, 2.0], [3.0, 4.0]], 2), ([[[5.0]]], 3)]
)
def test_each_bracket_is_an_axis(what, expected):
    same(rank(torch.tensor(what)), expected, f"the rank of {what}: count the brackets that open before a number")


@clause("axes")
@given(st.lists(st.integers(0, 3), max_size=5))
def test_how_long_an_axis_is_does_not_matter(shape):
    same(rank(torch.zeros(shape)), len(shape), f"the rank of a tensor of shape {tuple(shape)}")


@clause("one-hot")
def test_the_ids_0_and_2_of_3_classes():
    seen = one_hot(torch.tensor([0, 2]), 3)
    close(seen, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), f"the ids 0, 2 of 3 classes became {seen.tolist()}")


@clause("one-hot")
@given(st.data())
def test_agrees_with_torch(data):
    num_classes = data.draw(st.integers(1, 6), label="num_classes")
    ids = data.draw(st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=5), label="ids")
    expected = torch.nn.functional.one_hot(torch.tensor(ids), num_classes).float()
    because = "PyTorch's own one_hot, turned into float32, gives other vectors"
    close(one_hot(torch.tensor(ids), num_classes), expected, because)


@clause("any-shape")
@pytest.mark.parametrize("shape", [(), (1,), (3, 2), (1, 4), (2, 3, 2)], ids=str)
def test_classes_become_the_last_axis(shape):
    ids = torch.arange(torch.Size(shape).numel()).reshape(shape) % 5
    expected = torch.nn.functional.one_hot(ids, 5).float()
    close(one_hot(ids, 5), expected, f"ids of shape {shape} and 5 classes give {(*shape, 5)}: an axis more, the last")


@clause("any-shape")
@pytest.mark.parametrize("shape", [(0,), (2, 0)], ids=str)
def test_no_id_gives_no_vector(shape):
    ids = torch.zeros(shape, dtype=torch.int64)
    close(one_hot(ids, 5), torch.zeros(*shape, 5), f"ids of shape {shape} hold none, and so none is out of range")


@clause("range")
@pytest.mark.parametrize("wrong", [-1, -3, 9, 17])
def test_an_id_out_of_range_is_refused(wrong):
    with refuses(ValueError, wrong, 9):
        one_hot(torch.tensor([[0, 8], [wrong, 1]]), 9)


@clause("pairs")
def test_three_tokens_of_two_features():
    seen = pairwise_dot(torch.tensor([[[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]]]))
    because = f"tokens (1, 0), (2, 1), (0, 3): token 1 with token 2 gives 2 · 0 + 1 · 3 = 3; seen {seen.tolist()}"
    close(seen, torch.tensor([[[1.0, 2.0, 0.0], [2.0, 5.0, 3.0], [0.0, 3.0, 9.0]]]), because)


@clause("pairs")
@given(batches())
def test_every_pair_has_its_dot_product(x):
    close(
        pairwise_dot(x), dots(x), f"x is {tuple(x.shape)}; a loop over all pairs of each sequence gives other numbers"
    )


@clause("mean")
def test_two_four_six_become_two_three_four():
    seen = running_mean(torch.tensor([[[2.0], [4.0], [6.0]]]))
    close(seen, torch.tensor([[[2.0], [3.0], [4.0]]]), f"2, 4, 6 became {seen.flatten().tolist()}")


@clause("mean")
@given(batches())
def test_each_position_has_the_mean_of_its_past(x):
    close(running_mean(x), means(x), f"x is {tuple(x.shape)}; a loop over the positions gives other numbers")


@clause("split")
def test_two_tokens_in_two_heads():
    seen = split_heads(torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2)
    because = (
        "tokens (1, 2, 3, 4) and (5, 6, 7, 8): head 0 holds (1, 2) and (5, 6), head 1 holds (3, 4) and (7, 8); "
        f"seen {seen.tolist()}"
    )
    close(seen, torch.tensor([[[[1, 2], [5, 6]], [[3, 4], [7, 8]]]]), because)


@clause("split")
@given(batches(), SIZE)
def test_a_head_is_a_run_of_features(x, num_heads):
    x = x.repeat_interleave(num_heads, dim=-1) + torch.arange(x.shape[-1] * num_heads)
    because = f"x is {tuple(x.shape)}, num_heads {num_heads}; PyTorch's chunk() cuts the features elsewhere"
    close(split_heads(x, num_heads), in_heads(x, num_heads), because)


@clause("heads")
@pytest.mark.parametrize(("width", "num_heads"), [(12, 5), (12, 24), (12, 0), (12, -3)])
def test_heads_that_do_not_fit_are_refused(width, num_heads):
    with refuses(ValueError, width, num_heads):
        split_heads(numbers(2, 3, width), num_heads)


@clause("merge")
def test_two_heads_side_by_side():
    seen = merge_heads(torch.tensor([[[[1, 2], [5, 6]], [[3, 4], [7, 8]]]]))
    because = (
        "head 0 holds (1, 2) and (5, 6), head 1 holds (3, 4) and (7, 8), so token 0 is (1, 2, 3, 4); "
        f"seen {seen.tolist()}"
    )
    close(seen, torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), because)


@clause("merge")
@given(heads())
def test_heads_stand_side_by_side(x):
    because = f"x is {tuple(x.shape)}; PyTorch's cat() puts the heads side by side in another way"
    close(merge_heads(x), side_by_side(x), because)


@clause("inverse")
@given(heads())
def test_there_and_back_again(x):
    batch, num_heads, tokens, head_dim = x.shape
    flat = x.reshape(batch, tokens, num_heads * head_dim)
    because = f"{tuple(flat.shape)} was split into {num_heads} heads and merged, and is not what it was"
    close(merge_heads(split_heads(flat, num_heads)), flat, because)
    because = f"{tuple(x.shape)} was merged and split into {num_heads} heads again, and is not what it was"
    close(split_heads(merge_heads(x), num_heads), x, because)


@clause("view")
@pytest.mark.parametrize("view", ["transposed", "every other number", "one item"])
def test_a_view_is_as_good_as_a_copy(view):
    ids = seen_as(view, torch.tensor([[0, 3, 1], [2, 2, 0]]))
    because = f"the ids are a view ({view}): their numbers do not lie in a row"
    close(one_hot(ids, 5), torch.nn.functional.one_hot(ids, 5).float(), f"one_hot: {because}")
    for name, function, x, definition in cases():
        x = seen_as(view, x)
        because = f"{name}: x is a view ({view}), its numbers do not lie in a row"
        close(function(x), definition(x), because)


@clause("pure")
def test_a_call_leaves_its_input_alone():
    given = torch.tensor([[0, 3, 1], [2, 2, 0]])
    ids = given.clone()
    one_hot(ids, 5)
    assert torch.equal(ids, given), f"one_hot: the ids were {given.tolist()} and are {ids.tolist()} after the call"
    for name, function, given, definition in cases():
        x = given.clone()
        seen = function(x)
        assert torch.equal(x, given), f"{name}: x has another shape or other numbers after the call: was it in place?"
        close(seen, definition(given), f"{name}: x was left alone, but the result is not the one it should give")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    for name, function, x, definition in cases(dtype=dtype):
        because = f"{name}: {dtype} went in, and in that dtype and its precision a loop gives other numbers"
        close(function(x), definition(x.double()).to(dtype), because)


@clause("dtype")
def test_heads_of_whole_numbers_stay_whole():
    large = 2**53 + torch.arange(16).reshape(2, 2, 4)  # where float64 skips every other number
    seen = split_heads(large, 2)
    because = "whole numbers above 2**53 went through split_heads: nothing is to be computed, only moved"
    assert torch.equal(seen, in_heads(large, 2)), because
    because = "whole numbers above 2**53 went through merge_heads: nothing is to be computed, only moved"
    assert torch.equal(merge_heads(in_heads(large, 2)), large), because


@clause("gradients")
def test_gradients_are_those_of_the_definition():
    for name, function, x, definition in cases(dtype=torch.float64):
        leaf = x.requires_grad_()
        seen, expected = function(leaf), definition(leaf)
        assert seen.requires_grad, f"{name}: no gradient flows back from the result: was it detached, or built anew?"
        towards = numbers(*expected.shape, seed="towards", dtype=torch.float64)
        (right,) = torch.autograd.grad(expected, leaf, towards)
        (mine,) = torch.autograd.grad(seen, leaf, towards, allow_unused=True)
        assert mine is not None, f"{name}: no gradient reaches x: was it detached on the way?"
        close(mine, right, f"{name}: the gradient of x is not the one that a loop has")


@clause("device")
def test_everything_happens_on_the_device_of_x():
    for name, function, x, definition in cases():
        with OneDevice():
            seen = function(x.to("meta"))
        assert seen.device.type == "meta", f"{name}: x is on the device meta, and the result on {seen.device}"
        assert seen.shape == definition(x).shape, f"{name}: on the device meta the shape is {tuple(seen.shape)}"
