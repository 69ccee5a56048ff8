"""Grouped-query attention, clause by clause. The why: docs/modern/grouped_query.md.

Rotation and norm are computed here once more, by other means, so that a failure is this kata's own.
"""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention

from katas.modern.grouped_query import GroupedQueryAttention
from tests import laws
from tests.support import Moved, clause, close, dealt, filled, numbers, parameters, refuses, same

PROJECTIONS = ("W_query", "W_key", "W_value")
LAYERS = (*PROJECTIONS, "out_proj")
WEIGHTS = tuple(f"{name}.weight" for name in LAYERS)
ANGLES = torch.arange(8.0)[:, None] * torch.tensor([1.0, 0.3])  # for 8 positions and a head_dim of 4


class Memory:
    """A cache as the specification describes it, which notes what it was given."""

    def __init__(self, length=0):
        self.length, self.given = length, []

    def append(self, keys, values):
        self.length += keys.shape[2]
        self.given.append((keys, values))
        return tuple(torch.cat(all_of_one, dim=2) for all_of_one in zip(*self.given, strict=True))


class Itself(GroupedQueryAttention):
    """Each token sees itself only; it notes the positions that it was given."""

    def visible(self, query_positions, key_positions):
        self.seen = query_positions.tolist(), key_positions.tolist()
        return query_positions[:, None] == key_positions


def made(kata_class=GroupedQueryAttention, heads=6, kv_heads=2, **how):
    """A module for 8 tokens of 12 features, with heads of 4 features and an output of 18."""
    return dealt(kata_class(12, 18, 8, heads, kv_heads, **{"head_dim": 4} | how))


def in_chunks(attention, x, cuts, cache=None):
    """The output for a text that is read in pieces of these lengths, with a cache."""
    cache = Memory() if cache is None else cache
    return torch.cat([attention(piece, cache=cache) for piece in x.split(cuts, dim=1)], dim=1)


def every_way_to_cut(tokens):
    """Each list of lengths that sum to tokens."""
    for places in itertools.product([False, True], repeat=tokens - 1):
        ends = [place + 1 for place, is_cut in enumerate(places) if is_cut] + [tokens]
        yield [end - start for start, end in zip([0, *ends], ends, strict=False)]


def rotated(x, angles=ANGLES):
    """Feature i and feature i + half of position t, as a complex number, times that of the angle of t and i."""
    half, turn = x.shape[-1] // 2, torch.polar(torch.ones_like(angles), angles).to(torch.complex128)
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double()) * turn[: x.shape[-2]]
    return torch.cat([pairs.real, pairs.imag], dim=-1).to(x.dtype)


def projected(attention, heads, kv_heads, x, norm=False, angles=None):
    """Queries, keys and values as they should enter the scores, each (batch, heads, tokens, head_dim)."""
    known = parameters(attention, *WEIGHTS)
    counts = dict(zip(PROJECTIONS, (heads, kv_heads, kv_heads), strict=True))
    parts = {
        name: linear(x, known[f"{name}.weight"], known.get(f"{name}.bias")).unflatten(-1, (count, -1)).transpose(1, 2)
        for name, count in counts.items()
    }
    for name, of in (("query_norm", "W_query"), ("key_norm", "W_key")) if norm else ():
        weight = parameters(attention, f"{name}.weight")[f"{name}.weight"]
        parts[of] = rms_norm(parts[of], (parts[of].shape[-1],), weight, eps=1e-6)
    for of in ("W_query", "W_key") if angles is not None else ():
        parts[of] = rotated(parts[of], angles)
    return tuple(parts.values())


def of_torch(attention, heads, kv_heads, x, norm=False, angles=None):
    """What PyTorch's own grouped attention makes of the same weights."""
    parts = projected(attention, heads, kv_heads, x, norm, angles)
    joined = scaled_dot_product_attention(*parts, is_causal=True, enable_gqa=True).transpose(1, 2).flatten(2)
    return linear(joined, parameters(attention)["out_proj.weight"])


@st.composite
def cases(draw):
    """A module, its heads, its heads of keys and values, and an input."""
    sizes = ("batch", "tokens", "in", "out", "dim", "kv_heads", "groups")
    batch, tokens, d_in, d_out, head_dim, kv_heads, groups = (draw(st.integers(1, 3), label=size) for size in sizes)
    heads, bias = kv_heads * groups, draw(st.booleans(), label="qkv_bias")
    if draw(st.booleans(), label="head_dim is given"):
        attention = GroupedQueryAttention(d_in, d_out, 4, heads, kv_heads, head_dim=head_dim, qkv_bias=bias)
    else:
        attention = GroupedQueryAttention(d_in, heads * head_dim, 4, heads, kv_heads, qkv_bias=bias)
    return dealt(attention), heads, kv_heads, 2 * numbers(batch, tokens, d_in, seed=draw(st.integers(0, 99)))


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no weight is zero."""
    x = numbers(2, 6, 12)

    def of(**how):
        return made(kata.GroupedQueryAttention, **how)

    def tried(call):
        try:
            return call()
        except ValueError:
            return "refused"
        except Exception as error:
            return type(error).__name__

    def shapes(**how):
        return sorted(f"{name} {tuple(value.shape)}" for name, value in of(**how).named_parameters())

    def joined(**how):
        attention = of(**how)
        attention.out_proj = torch.nn.Identity()
        return attention(x)

    def equal_scores():
        attention = dealt(kata.GroupedQueryAttention(2, 4, 4, 4, 2))
        filled(attention, {"W_key.weight": 0.0, "W_value.weight": torch.eye(2)})
        attention.out_proj = torch.nn.Identity()
        return attention(torch.tensor([[[2.0, 20.0], [4.0, 40.0]]]))

    def stored(what, **how):
        memory = Memory()
        of(**how)(x[:, :3], cache=memory)
        return what(memory.given)

    def noted(cuts):
        class Noting(kata.GroupedQueryAttention):
            def visible(self, query_positions, key_positions):
                seen.append((query_positions.tolist(), key_positions.tolist()))
                return super().visible(query_positions, key_positions)

        seen = []
        in_chunks(made(Noting), x, cuts)
        return seen

    def only_itself():
        class Alone(kata.GroupedQueryAttention):
            def visible(self, query_positions, key_positions):
                return query_positions[:, None] == key_positions

        return made(Alone)(x)

    def learned():
        attention = of()
        found = torch.autograd.grad(attention(x).square().sum(), list(attention.parameters()), allow_unused=True)
        return [gradient is not None and bool(gradient.any()) for gradient in found]

    def mask_of_a_chunk():
        """Whether the mask of two tokens after four fits their scores."""
        try:
            in_chunks(of(), x, [4, 2])
        except RuntimeError as error:
            return "another size" if "must match" in str(error) else "another error"
        return "fits"

    def of_dtype(dtype):
        return str(tried(lambda: of().to(dtype)(x.to(dtype)).dtype))

    def far():
        """Whether the key of position 499 in bfloat16 is rotated by an angle that is near the right one."""
        angles, one = torch.arange(500.0)[:, None].expand(-1, 2), x[:, :1].bfloat16()
        attention, memory = dealt(kata.GroupedQueryAttention(12, 18, 500, 6, 2, 4, angles=angles)).bfloat16(), Memory()
        memory.append(*torch.zeros(2, 2, 2, 499, 4).bfloat16())
        attention(one, cache=memory)
        plain = projected(attention, 6, 2, one)[1]
        right = rotated(plain, angles[499:])
        return torch.allclose(memory.given[-1][0], right, atol=0.05) if memory.given[1:] else "nothing"

    def moved(**how):
        attention = of(**how)
        with Moved(attention, x) as there:
            return str(tried(lambda: there.has(attention(x))))

    def saved():
        attention = of(angles=ANGLES)
        return sorted(attention.state_dict()) == sorted(name for name, _ in attention.named_parameters())

    def lengths():
        """Whether 8 and 9 tokens, and then 5 after 3 and after 4 in a cache, come through where 8 fit."""
        found = []
        for before, tokens in ((0, 8), (0, 9), (3, 5), (4, 5)):
            memory = Memory()
            if before:
                of()(numbers(1, before, 12), cache=memory)
            found.append(
                str(tried(lambda n=tokens, m=memory: len(of()(numbers(1, n, 12), cache=m if m.given else None))))
            )
        return found

    return {
        "shapes": shapes,
        "shapes with biases": lambda: shapes(qkv_bias=True),
        "shapes with norms": lambda: shapes(qk_norm=True),
        "shapes by default": lambda: [
            str(tuple(each.shape)) for each in kata.GroupedQueryAttention(5, 12, 8, 6, 2).parameters()
        ],
        "equal scores": equal_scores,
        "numbers": lambda: of()(x),
        "joined": joined,
        "one token": lambda: of()(x[:, :1]),
        "as many": lambda: of(heads=2)(x),
        "one of keys": lambda: of(kv_heads=1)(x),
        "last token": lambda: joined()[:, -1],
        "what learns": learned,
        "rotated": lambda: of(angles=ANGLES)(x),
        "rotated, two tokens": lambda: of(angles=ANGLES)(x[:, :2]),
        "normed": lambda: of(qk_norm=True)(x),
        "normed and rotated": lambda: of(qk_norm=True, angles=ANGLES)(x),
        "chunks": lambda: in_chunks(of(), x, [3, 3]),
        "one by one": lambda: in_chunks(of(), x, [1] * 6),
        "chunks, rotated": lambda: in_chunks(of(angles=ANGLES), x, [4, 2]),
        "one by one, rotated": lambda: in_chunks(of(angles=ANGLES), x, [1] * 6),
        "appended": lambda: stored(lambda given: [str(tuple(keys.shape)) for keys, _ in given]),
        "stored keys": lambda: stored(lambda given: given[0][0], angles=ANGLES),
        "stored values": lambda: stored(lambda given: given[0][1], angles=ANGLES),
        "visible": lambda: of().visible(torch.arange(2, 4), torch.arange(4)),
        "mask of a chunk": mask_of_a_chunk,
        "asked": lambda: noted([4, 2]),
        "only itself": only_itself,
        "4 heads of keys": lambda: str(tried(lambda: type(kata.GroupedQueryAttention(5, 12, 8, 6, 4)))),
        "width 29": lambda: str(tried(lambda: type(kata.GroupedQueryAttention(5, 29, 8, 6, 2)))),
        "width 29 and head_dim": lambda: str(
            tried(lambda: len(kata.GroupedQueryAttention(5, 29, 8, 6, 2, 4).W_key.weight))
        ),
        "lengths": lengths,
        "float64": lambda: of_dtype(torch.float64),
        "bfloat16": lambda: of_dtype(torch.bfloat16),
        "far": far,
        "moved": moved,
        "moved, rotated": lambda: moved(angles=ANGLES),
        "saved": saved,
    }


@clause("weights")
@pytest.mark.parametrize("bias", [False, True])
def test_keys_and_values_have_fewer_rows_than_queries(bias):
    known = parameters(GroupedQueryAttention(5, 10, 8, 6, 2, head_dim=4, qkv_bias=bias))
    expected = {
        "W_query.weight": (24, 5),
        "W_key.weight": (8, 5),
        "W_value.weight": (8, 5),
        "out_proj.weight": (10, 24),
    }
    expected |= {"W_query.bias": (24,), "W_key.bias": (8,), "W_value.bias": (8,)} if bias else {}
    because = f"the parameters for d_in=5, d_out=10, 6 query heads, 2 key-value heads, head_dim=4, qkv_bias={bias}"
    same({name: tuple(value.shape) for name, value in known.items()}, expected, because)


@clause("weights")
def test_without_head_dim_the_query_heads_share_d_out():
    known = parameters(GroupedQueryAttention(5, 12, 8, 6, 2), *WEIGHTS)
    expected = {
        "W_query.weight": (12, 5),
        "W_key.weight": (4, 5),
        "W_value.weight": (4, 5),
        "out_proj.weight": (12, 12),
    }
    because = "d_out is 12, and there are 6 query heads, so head_dim is 2; there are 2 key-value heads"
    same({name: tuple(known[name].shape) for name in WEIGHTS}, expected, because)


@clause("groups")
def test_neighbouring_query_heads_share_a_head_of_values():
    attention = GroupedQueryAttention(2, 4, 4, 4, 2)
    filled(attention, {"W_query.weight": 0.0, "W_key.weight": 0.0, "W_value.weight": torch.eye(2)})
    filled(attention, {"out_proj.weight": torch.eye(4)})
    seen = attention(torch.tensor([[[2.0, 20.0], [4.0, 40.0]]]))
    because = (
        "all scores are equal, out_proj is the identity, and the two heads of values have 2, 4 and 20, 40: the 4 query "
        f"heads should give the second token 3, 3, 30, 30, and gave {seen[0, -1].tolist()}"
    )
    close(seen, torch.tensor([[[2.0, 2.0, 20.0, 20.0], [3.0, 3.0, 30.0, 30.0]]]), because)


@clause("groups")
def test_neighbouring_query_heads_share_a_head_of_keys():
    attention = GroupedQueryAttention(3, 4, 4, 4, 2)
    # The key of the first token is 99 in head 0 and -99 in head 1; the other keys are 0, and all queries are 1.
    values = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    filled(attention, {"W_query.weight": [[0.0, 0.0, 1.0]], "W_key.weight": [[0.0, 99.0, 0.0], [0.0, -99.0, 0.0]]})
    filled(attention, {"W_value.weight": values, "out_proj.weight": torch.eye(4)})
    seen = attention(torch.tensor([[[2.0, 1.0, 1.0], [4.0, 0.0, 1.0]]]))[0, -1]
    because = (
        "by the first head of keys the second token attends to the first one, of the value 2, by the second head to "
        f"itself, of the value 4: the 4 query heads should give 2, 2, 4, 4, and gave {seen.tolist()}"
    )
    close(seen, torch.tensor([2.0, 2.0, 4.0, 4.0]), because)


@clause("formula")
@given(cases())
def test_agrees_with_torch(case):
    attention, heads, kv_heads, x = case
    because = (
        f"PyTorch's attention, with your weights, {heads} query heads and {kv_heads} of keys, gives another number"
    )
    close(attention(x), of_torch(attention, heads, kv_heads, x), because)


@clause("gradients")
def test_gradients_are_those_of_torch():
    attention, x = made(heads=3, kv_heads=1, qkv_bias=True), numbers(2, 6, 12).requires_grad_()
    leaves = {"the input": x, **parameters(attention)}
    laws.gradients_agree(attention(x), of_torch(attention, 3, 1, x), leaves, "PyTorch's grouped attention")


@clause("rotation")
@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (3, 1)])
def test_queries_and_keys_are_rotated_by_their_positions(heads, kv_heads):
    attention, x = made(heads=heads, kv_heads=kv_heads, angles=ANGLES), numbers(2, 6, 12)
    because = (
        "attention with queries and keys that are rotated by angles, and values that are not, gives another number"
    )
    close(attention(x), of_torch(attention, heads, kv_heads, x, angles=ANGLES), because)


@clause("qk-norm")
def test_there_is_a_norm_of_the_width_of_a_head():
    known, plain = parameters(made(qk_norm=True)), parameters(made())
    shapes = {name: tuple(value.shape) for name, value in known.items() if name not in plain}
    because = "with qk_norm and a head_dim of 4: the parameters beside those of the four layers"
    same(shapes, {"query_norm.weight": (4,), "key_norm.weight": (4,)}, because)


@clause("qk-norm")
@pytest.mark.parametrize("angles", [None, ANGLES], ids=["not rotated", "rotated"])
def test_queries_and_keys_are_normalized_before_the_rotation(angles):
    attention, x = made(heads=3, kv_heads=1, qk_norm=True, angles=angles), numbers(2, 6, 12)
    then = "" if angles is None else " and then rotated"
    because = (
        f"attention with queries and keys that are normalized by query_norm and key_norm{then} gives another number"
    )
    close(attention(x), of_torch(attention, 3, 1, x, norm=True, angles=angles), because)


@clause("cache")
def test_a_text_in_chunks_gives_the_output_of_the_whole_text():
    attention, x = made(), numbers(2, 4, 12)
    whole = attention(x)
    for cuts in every_way_to_cut(4):
        because = (
            f"4 tokens were read in chunks of {cuts} with a cache; all at once, without one, they give another number"
        )
        close(in_chunks(attention, x, cuts), whole, because)
    alone = attention(x[:, 2:])
    assert not torch.equal(whole[:, 2:], alone), "tokens 2 and 3 have the same output with and without the ones before"


@clause("cache")
def test_positions_go_on_from_chunk_to_chunk():
    attention, x = made(angles=ANGLES), numbers(2, 4, 12)
    whole = attention(x)
    assert not torch.equal(whole, made()(x)), "with angles the output is the same as without"
    for cuts in every_way_to_cut(4):
        because = (
            f"4 tokens were read in chunks of {cuts} with a cache and angles; all at once they give another number: "
            "a chunk begins at position cache.length, as it was before append"
        )
        close(in_chunks(attention, x, cuts), whole, because)


@clause("stored")
def test_the_cache_gets_few_heads_once():
    memory = Memory()
    in_chunks(made(), numbers(2, 5, 12), [3, 2], memory)
    shapes = [(tuple(keys.shape), tuple(values.shape)) for keys, values in memory.given]
    because = "keys and values that append got for chunks of 3 and 2 tokens, with 2 key-value heads of 4 features"
    same(shapes, [((2, 2, 3, 4), (2, 2, 3, 4)), ((2, 2, 2, 4), (2, 2, 2, 4))], because)


@clause("stored")
def test_the_cache_gets_rotated_keys_and_values_that_are_not():
    attention, x, memory = made(angles=ANGLES), numbers(2, 5, 12), Memory()
    attention(x, cache=memory)
    _, keys, values = projected(attention, 6, 2, x, angles=ANGLES)
    close(memory.given[0][0], keys, "the keys that append got should be rotated, so that nobody rotates them again")
    close(memory.given[0][1], values, "the values that append got should be those of W_value, not rotated")


@clause("visible")
def test_a_query_sees_its_own_position_and_earlier_ones():
    seen = made().visible(torch.tensor([2, 3]), torch.arange(5)).tolist()
    expected = [[True, True, True, False, False], [True, True, True, True, False]]
    same(seen, expected, "what queries at positions 2 and 3 see of keys at 0 to 4")


@clause("visible")
def test_a_subclass_decides_what_is_seen():
    attention, x = made(Itself, heads=2), numbers(2, 5, 12)
    values = projected(attention, 2, 2, x)[2].transpose(1, 2).flatten(2)
    expected = linear(values, parameters(attention)["out_proj.weight"])
    because = (
        "a subclass overrides visible so that each token sees itself only, and the output is not that of its value"
    )
    close(attention(x), expected, because)


@clause("visible")
def test_visible_gets_the_positions_in_the_whole_text():
    attention, memory = made(Itself), Memory()
    in_chunks(attention, numbers(2, 5, 12), [3, 2], memory)
    because = "the positions of queries and keys that visible got for 2 tokens after 3 in the cache"
    same(attention.seen, ([3, 4], [0, 1, 2, 3, 4]), because)


@clause("indivisible")
@pytest.mark.parametrize("kv_heads", [4, 0])
def test_query_heads_that_cannot_be_shared_out_are_refused(kv_heads):
    with refuses(ValueError, 6, kv_heads):
        GroupedQueryAttention(5, 12, 8, 6, kv_heads)


@clause("indivisible")
def test_a_width_that_cannot_be_shared_out_is_refused():
    with refuses(ValueError, 29, 6):
        GroupedQueryAttention(5, 29, 8, 6, 2)
    GroupedQueryAttention(5, 29, 8, 6, 2, head_dim=4)


@clause("too-long")
def test_too_many_tokens_are_refused():
    with refuses(ValueError, 9, 8):
        made()(numbers(1, 9, 12))


@clause("too-long")
def test_too_many_tokens_with_those_in_the_cache_are_refused():
    attention, memory = made(), Memory()
    attention(numbers(1, 5, 12), cache=memory)
    with refuses(ValueError, 9, 8):
        attention(numbers(1, 4, 12), cache=memory)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    attention, x = made(heads=3, kv_heads=1, qkv_bias=True).to(dtype), numbers(2, 6, 12, dtype=dtype)
    laws.keeps_dtype(attention, x, of_torch(copy.deepcopy(attention).double(), 3, 1, x.double()))


@clause("angles")
def test_a_far_position_keeps_its_angle_in_bfloat16():
    angles, x, memory = torch.arange(500.0)[:, None].expand(-1, 2), numbers(2, 1, 12).bfloat16(), Memory()
    attention = dealt(GroupedQueryAttention(12, 18, 500, 6, 2, head_dim=4, angles=angles)).bfloat16()
    memory.append(*torch.zeros(2, 2, 2, 499, 4).bfloat16())
    attention(x, cache=memory)
    expected = rotated(projected(attention, 6, 2, x)[1], angles[499:])
    because = "the key of position 499, whose angle is 499, in bfloat16: its angle was rounded"
    close(memory.given[-1][0], expected, because, atol=0.05)


@clause("device")
@pytest.mark.parametrize("angles", [None, ANGLES], ids=["without angles", "with angles"])
def test_it_works_where_it_is_moved(angles):
    laws.works_where_it_is_moved(made(angles=angles), numbers(1, 4, 12))


@clause("state-dict")
def test_only_parameters_are_saved():
    attention = made(angles=ANGLES)
    extra = [name for name in attention.state_dict() if name not in parameters(attention)]
    assert not extra, f"the state dict also holds {extra}, which follows from the arguments"
