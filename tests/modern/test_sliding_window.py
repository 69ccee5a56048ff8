"""Sliding-window attention, clause by clause. The why: docs/modern/sliding_window.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, scaled_dot_product_attention

from katas.modern.grouped_query import GroupedQueryAttention
from katas.modern.sliding_window import SlidingWindowAttention, sliding_window_mask
from tests.support import clause, close, dealt, numbers, parameters, refuses, same

WEIGHTS = ("W_query.weight", "W_key.weight", "W_value.weight", "out_proj.weight")
ANGLES = torch.arange(8.0)[:, None] * torch.tensor([1.0, 0.3])  # for 8 positions and a head_dim of 4


class Memory:
    """A cache of one layer."""

    def __init__(self):
        self.length, self.given = 0, []

    def append(self, keys, values):
        self.length += keys.shape[2]
        self.given.append((keys, values))
        return tuple(torch.cat(all_of_one, dim=2) for all_of_one in zip(*self.given, strict=True))


def made(window, kata_class=SlidingWindowAttention, **how):
    """A module for 8 tokens of 5 features, with 6 heads of 4 features, 2 of keys and values, and an output of 24."""
    return dealt(kata_class(5, 24, 8, 6, 2, window, **how))


def without_window(**how):
    """GroupedQueryAttention with the same weights."""
    return dealt(GroupedQueryAttention(5, 24, 8, 6, 2, **how))


def in_chunks(attention, x, cuts):
    """The output for a text that is read in pieces of these lengths, with a cache."""
    cache = Memory()
    return torch.cat([attention(piece, cache=cache) for piece in x.split(cuts, dim=1)], dim=1)


def seen_by_hand(query_positions, key_positions, window):
    """The mask by its meaning: for each query, the positions of its window are listed, and each key is looked up."""
    rows = [{position - back for back in range(window)} for position in query_positions]
    return torch.tensor([[key in row for key in key_positions] for row in rows]).reshape(len(rows), len(key_positions))


def of_torch(attention, x, window):
    """What PyTorch's own grouped attention makes of the same weights, with a mask."""
    known, places = parameters(attention, *WEIGHTS), range(x.shape[1])
    parts = [linear(x, known[name]).unflatten(-1, (-1, 4)).transpose(1, 2) for name in WEIGHTS[:3]]
    mask = seen_by_hand(places, places, window)
    joined = scaled_dot_product_attention(*parts, attn_mask=mask, enable_gqa=True).transpose(1, 2).flatten(2)
    return linear(joined, known["out_proj.weight"])


def shown(mask):
    """The positions of the keys that each query sees, as lists."""
    return [row.nonzero().flatten().tolist() for row in mask]


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x = numbers(2, 8, 5)

    def tried(call):
        try:
            return call()
        except ValueError:
            return "refused"
        except Exception as error:
            return type(error).__name__

    def mask(queries, keys, window):
        return kata.sliding_window_mask(torch.tensor(queries), torch.tensor(keys), window)

    def of(window, **how):
        return made(window, kata.SlidingWindowAttention, **how)

    def parts_of(**how):
        attention = of(3, **how)
        return sorted(f"{name} {tuple(each.shape)}" for name, each in attention.named_parameters())

    return {
        "one": lambda: mask([4], [0, 1, 2, 3, 4, 5, 6], 3),
        "a window of one": lambda: mask([0, 1, 2], [0, 1, 2], 1),
        "square": lambda: mask([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 2),
        "a chunk": lambda: mask([3, 4], [0, 1, 2, 3, 4], 2),
        "wide": lambda: mask([0, 1, 2], [0, 1, 2], 9),
        "later keys": lambda: mask([2], [1, 2, 3, 4], 2),
        "keys from 5 on": lambda: mask([6, 7], [5, 6, 7], 2),
        "numbers": lambda: of(3)(x),
        "one token": lambda: of(3)(x[:, :1]),
        "window of one": lambda: of(1)(x),
        "wide window": lambda: of(8)(x),
        "chunks": lambda: in_chunks(of(3), x, [5, 3]),
        "one by one": lambda: in_chunks(of(3), x, [1] * 8),
        "rotated": lambda: of(3, angles=ANGLES)(x),
        "shapes": parts_of,
        "shapes with head_dim": lambda: parts_of(head_dim=2),
        "shapes with biases": lambda: parts_of(qkv_bias=True),
        "shapes with norms": lambda: parts_of(qk_norm=True),
        "no window": lambda: str(tried(lambda: type(of(0)))),
        "mask of no window": lambda: str(tried(lambda: mask([0, 1], [0, 1], 0).tolist())),
    }


@clause("example")
def test_position_four_sees_two_three_and_four():
    seen = sliding_window_mask(torch.tensor([4]), torch.arange(7), 3)
    because = "with a window of 3: the positions, of 0 to 6, that the token at position 4 sees"
    same(shown(seen), [[2, 3, 4]], because)


@clause("itself")
@pytest.mark.parametrize("window", [1, 2, 9])
def test_a_token_sees_itself_and_no_later_one(window):
    seen = sliding_window_mask(torch.arange(5), torch.arange(5), window)
    assert seen.diagonal().all(), f"with a window of {window}, a token does not see itself: {shown(seen)}"
    assert not seen.triu(diagonal=1).any(), f"with a window of {window}, a token sees a later one: {shown(seen)}"


@clause("window")
@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_token_sees_as_many_tokens_as_the_window_has(window):
    counts = sliding_window_mask(torch.arange(6), torch.arange(6), window).sum(dim=1).tolist()
    expected = [min(position + 1, window) for position in range(6)]
    same(counts, expected, f"how many of 6 tokens each position sees, itself included, with a window of {window}")


@clause("positions")
@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 3), st.integers(1, 9), st.integers(1, 8))
def test_a_chunk_sees_what_its_positions_say(start, tokens, first_key, count, window):
    queries, keys = range(start, start + tokens), range(first_key, first_key + count)
    seen = sliding_window_mask(torch.tensor(queries), torch.tensor(keys), window)
    because = f"queries at positions {list(queries)}, keys at {list(keys)}, window={window}"
    close(seen, seen_by_hand(queries, keys, window), because)


@clause("attention")
@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_agrees_with_torch_and_a_mask(window):
    attention, x = made(window), numbers(2, 8, 5)
    because = f"PyTorch's attention with your weights and a window of {window} gives another number"
    close(attention(x), of_torch(attention, x, window), because)


@clause("attention")
def test_a_token_that_left_the_window_changes_nothing():
    attention, x = made(3), numbers(1, 8, 5)
    changed = x.clone()
    changed[:, 1] += 1
    moved = (attention(changed) != attention(x)).any(dim=-1)[0].nonzero().flatten().tolist()
    same(
        moved, [1, 2, 3], "with a window of 3, the token at position 1 was changed: the positions whose output changed"
    )


@clause("chunks")
def test_a_text_in_chunks_gives_the_output_of_the_whole_text():
    attention, x = made(3, angles=ANGLES), numbers(2, 8, 5)
    whole = attention(x)
    assert not torch.equal(whole[:, 4:], attention(x[:, 4:])), "tokens 4 to 7 do not depend on those before them"
    for cuts in ([1] * 8, [5, 3], [3, 5], [7, 1], [1, 7], [2, 2, 4]):
        because = f"8 tokens were read in chunks of {cuts} with a cache; all at once they give another number"
        close(in_chunks(attention, x, cuts), whole, because)


@clause("wide")
@pytest.mark.parametrize("window", [8, 100])
def test_a_wide_window_changes_nothing(window):
    x = numbers(2, 8, 5)
    because = f"context_length is 8, and with a window of {window} GroupedQueryAttention gives another number"
    close(made(window)(x), without_window()(x), because)


@clause("refused")
@pytest.mark.parametrize("window", [0, -3])
def test_a_mask_without_a_window_is_refused(window):
    with refuses(ValueError, window):
        sliding_window_mask(torch.arange(3), torch.arange(3), window)


@clause("keywords")
@pytest.mark.parametrize(
    "how", [{"head_dim": 2}, {"qkv_bias": True}, {"qk_norm": True}, {"angles": ANGLES}], ids=lambda how: next(iter(how))
)
def test_keywords_reach_the_attention(how):
    attention, expected, x = made(8, **how), without_window(**how), numbers(2, 8, 5)
    shapes = [{name: tuple(p.shape) for name, p in each.named_parameters()} for each in (attention, expected)]
    same(*shapes, f"the parameters with {next(iter(how))}, beside those of GroupedQueryAttention")
    close(attention(x), expected(x), f"{next(iter(how))} changes the output of GroupedQueryAttention, and not this one")


@clause("no-window")
def test_a_module_without_a_window_is_refused():
    with refuses(ValueError, 0):
        made(0)
