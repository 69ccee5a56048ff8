"""Rotary positions, clause by clause. The why: docs/modern/rope.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.modern.rope import RotaryScaling, apply_rotary, rotary_angles
from tests import laws
from tests.support import clause, close, numbers, refuses

LLAMA = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_context_length": 8192}
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda one: str(one)[6:])


def frequency(pair, head_dim, base):
    """The radians that a pair turns in each token."""
    return base ** (-2 * pair / head_dim)


def table(head_dim, context_length, base=100.0):
    """The angles, by the formula: what apply_rotary is tested with does not depend on rotary_angles."""
    pairs = [frequency(pair, head_dim, base) for pair in range(head_dim // 2)]
    return torch.tensor([[position * pair for pair in pairs] for position in range(context_length)])


def turned(x, angles):
    """Each pair as a complex number, times one of length 1 that has the angle; angles are (..., tokens, pairs)."""
    a, b = x.double().chunk(2, dim=-1)
    product = torch.complex(a, b) * torch.polar(torch.ones_like(angles.double()), angles.double())
    return torch.cat([product.real, product.imag], dim=-1).to(x.dtype)


def slowdown(pair):
    """What Llama 3 multiplies a frequency by, in heads of 64 features with base 500 000."""
    turns = LLAMA["original_context_length"] * frequency(pair, 64, 500_000.0) / (2 * math.pi)
    if turns > LLAMA["high_freq_factor"]:
        return 1.0
    if turns < LLAMA["low_freq_factor"]:
        return 1 / LLAMA["factor"]
    share = (turns - LLAMA["low_freq_factor"]) / (LLAMA["high_freq_factor"] - LLAMA["low_freq_factor"])
    return share + (1 - share) / LLAMA["factor"]


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no angle of two pairs is."""
    x, angles = numbers(2, 3, 5, 6), table(6, 9) + 0.3

    def at(*positions):
        return kata.apply_rotary(x[:, :, : len(positions)], angles, torch.tensor(positions))

    def pair(a, b, angle):
        return kata.apply_rotary(torch.tensor([[a, b]]), torch.tensor([[angle]]))

    def scaled(first, last):
        scaling = kata.RotaryScaling(**LLAMA)
        kept, slow = (kata.rotary_angles(64, 2, 500_000.0, each)[1, first:last] for each in (None, scaling))
        return slow / kept

    def tried(call):
        try:
            return call()
        except Exception as error:
            return f"{type(error).__name__} {'7' in str(error)}"

    def default(dtype):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            return str(kata.rotary_angles(6, 4).dtype)
        finally:
            torch.set_default_dtype(before)

    def far(dtype):
        long = table(6, 3002)
        seen = kata.apply_rotary(torch.ones(1, 6, dtype=dtype), long, torch.tensor([3001])).double()
        return torch.allclose(seen, turned(torch.ones(1, 6), long[3001:]).double(), atol=0.1)

    def precise():
        seen = kata.apply_rotary(x.double(), angles).double()
        return torch.allclose(seen, turned(x.double(), angles[:5]), rtol=1e-9, atol=1e-9)

    def gradient():
        leaf = x.clone().requires_grad_()
        seen = kata.apply_rotary(leaf, angles)
        towards = numbers(2, 3, 5, 6, seed="towards")
        return torch.autograd.grad(seen.mul(towards).sum(), leaf)[0] if seen.requires_grad else "detached"

    def unchanged():
        given = x.clone()
        kata.apply_rotary(given, angles)
        return torch.equal(given, x)

    def rows(batch):
        positions = torch.tensor([[4, 1, 2], [0, 3, 8]])[:batch]
        return kata.apply_rotary(numbers(batch, 2, 3, 6), angles, positions)

    return {
        "table": lambda: kata.rotary_angles(4, 3, base=100),
        "first column": lambda: kata.rotary_angles(2, 7)[:, 0],
        "frequencies": lambda: kata.rotary_angles(10, 3, base=1000.0)[2],
        "default base": lambda: kata.rotary_angles(6, 4)[3],
        "position 301": lambda: kata.rotary_angles(6, 302)[301],
        "odd": lambda: tried(lambda: kata.rotary_angles(7, 3).shape),
        "default dtype float64": lambda: default(torch.float64),
        "default dtype bfloat16": lambda: default(torch.bfloat16),
        "fast pairs": lambda: scaled(0, 15),
        "middle pairs": lambda: scaled(15, 18),
        "slow pairs": lambda: scaled(18, 32),
        "quarter turn of (1, 0)": lambda: pair(1.0, 0.0, math.pi / 2),
        "quarter turn of (0, 1)": lambda: pair(0.0, 1.0, math.pi / 2),
        "half a radian": lambda: pair(0.6, 0.8, 0.5),
        "one feature": lambda: kata.apply_rotary(torch.eye(6)[1:2], angles),
        "lengths": lambda: kata.apply_rotary(x, angles).norm(dim=-1),
        "numbers": lambda: kata.apply_rotary(x, angles),
        "text of a batch": lambda: kata.apply_rotary(x[0, 0], angles),
        "later positions": lambda: at(4, 5, 6),
        "shuffled positions": lambda: at(7, 0, 3),
        "each row": lambda: tried(lambda: rows(2)),
        "gradient": gradient,
        "float64": precise,
        "dtype": lambda: str(kata.apply_rotary(x.bfloat16(), angles).dtype),
        "far in bfloat16": lambda: far(torch.bfloat16),
        "far in float16": lambda: far(torch.float16),
        "too long": lambda: tried(lambda: kata.apply_rotary(numbers(9, 6), angles[:7]).shape),
        "unchanged": unchanged,
    }


@clause("table")
def test_the_table_of_the_specification():
    seen = rotary_angles(4, 3, base=100).float()
    expected = torch.tensor([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]])
    close(seen, expected, "rotary_angles(4, 3, base=100) has a row for each position and a column for each pair")


@clause("frequencies")
@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from([100.0, 10_000.0, 500_000.0]))
def test_each_pair_turns_at_its_own_speed(pairs, context_length, base):
    seen = rotary_angles(2 * pairs, context_length, base).float()
    because = f"head_dim={2 * pairs}, base={base:g}: at position p, pair i has the angle p * base ** (-2 i / head_dim)"
    close(seen, table(2 * pairs, context_length, base), because)


@clause("frequencies")
def test_the_base_is_10_000_unless_another_is_given():
    because = "no base was given, which means 10 000"
    close(rotary_angles(6, 4).float(), table(6, 4, 10_000.0), because, rtol=1e-5)


@clause("frequencies")
def test_late_positions_have_angles_of_their_own():
    seen = rotary_angles(4, 3002)[2999:].float()
    close(
        seen, table(4, 3002, 10_000.0)[2999:], "the positions 2 999 to 3 001; bfloat16 and float16 cannot count so far"
    )


@clause("example")
@pytest.mark.parametrize(("pair", "becomes"), [((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (-1.0, 0.0))], ids=str)
def test_a_quarter_turn(pair, becomes):
    seen = apply_rotary(torch.tensor([[pair]]), torch.tensor([[math.pi / 2]]))
    because = f"the angle is pi / 2, so {pair} becomes {becomes}; it became {seen.flatten().tolist()}"
    close(seen, torch.tensor([[becomes]]), because)


@clause("halves")
@pytest.mark.parametrize("feature", [0, 1, 2])
def test_a_feature_is_paired_with_the_one_half_a_head_away(feature):
    x = torch.zeros(1, 1, 6)
    x[..., feature] = 1
    seen = apply_rotary(x, torch.full((1, 3), 0.5)).flatten()
    moved = torch.nonzero(seen).flatten().tolist()
    because = f"head_dim is 6 and only feature {feature} was 1: expected numbers at {feature} and {feature + 3}"
    assert moved == [feature, feature + 3], f"{because}, and they are at {moved}"


@clause("rotation")
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_agrees_with_a_product_of_complex_numbers(heads, tokens, pairs, seed):
    x, angles = numbers(2, heads, tokens, 2 * pairs, seed=seed), 4 * numbers(6, pairs, seed="angles")
    because = "expected (a + b i) (cos + i sin) of each pair, computed with complex numbers in float64"
    close(apply_rotary(x, angles), turned(x, angles[:tokens]), because)


@clause("rotation")
@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 6), (2, 1, 3, 4, 6)], ids=str)
def test_any_axes_may_stand_before_the_tokens(shape):
    x, angles = numbers(*shape), table(6, 5)
    close(apply_rotary(x, angles), turned(x, angles[:4]), f"x has the shape {shape}")


@clause("positions")
@pytest.mark.parametrize("positions", [[4, 5, 6], [7, 0, 7], [6]], ids=str)
def test_a_token_has_the_angles_of_its_position(positions):
    """With a table whose rows have another order as the yardstick: how a pair is turned does not matter here."""
    x, angles, at = numbers(2, 3, len(positions), 6), table(6, 9), torch.tensor(positions)
    seen = apply_rotary(x, angles, at)
    because = f"positions={positions}; expected what the rows {positions} of angles give to the tokens in turn"
    close(seen, apply_rotary(x, angles[at].clone()), because)
    assert not torch.allclose(seen[:, :, :1], apply_rotary(x, angles)[:, :, :1]), "positions changed nothing"


@clause("positions")
def test_without_positions_tokens_stand_at_0_1_2():
    x, angles = numbers(2, 3, 4, 6), table(6, 9) + 0.3
    because = "no positions were given; expected what positions 0, 1, 2, 3 give"
    close(apply_rotary(x, angles), apply_rotary(x, angles, torch.arange(4)), because)


@clause("distance")
@pytest.mark.parametrize(("query_at", "key_at"), [(0, 0), (5, 2), (2, 9)])
def test_a_score_depends_on_the_distance(query_at, key_at):
    query, key, angles = numbers(1, 6), numbers(1, 6, seed="key"), table(6, 99)

    def score(query_at, key_at):
        at = apply_rotary(query, angles, torch.tensor([query_at])), apply_rotary(key, angles, torch.tensor([key_at]))
        return (at[0] * at[1]).sum()

    because = f"the query stood at {query_at} and the key at {key_at}, then both 80 tokens later"
    close(score(query_at + 80, key_at + 80), score(query_at, key_at), because)
    moved = not torch.allclose(score(query_at, key_at + 1), score(query_at, key_at), rtol=1e-3)
    assert moved, f"query at {query_at}: the score is the same for a key at {key_at} and at {key_at + 1}"


@clause("gradients")
def test_the_gradient_is_that_of_the_formula():
    x, angles = numbers(2, 3, 4, 6).requires_grad_(), table(6, 5)
    laws.gradients_agree(apply_rotary(x, angles), turned(x, angles[:4]), {"x": x}, "the product of complex numbers")


@clause("odd")
@pytest.mark.parametrize("head_dim", [7, 1, -2])
def test_a_width_without_pairs_is_refused(head_dim):
    with refuses(ValueError, head_dim):
        rotary_angles(head_dim, 3)


@clause("float32")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda one: str(one)[6:])
def test_the_angles_are_float32_whatever_the_default(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        seen = rotary_angles(6, 400, base=100.0)
    finally:
        torch.set_default_dtype(before)
    close(seen, table(6, 400), f"torch's default dtype was {dtype}")


@clause("scaling")
@pytest.mark.parametrize(
    ("kind", "pairs"), [("many turns", range(15)), ("some turns", range(15, 18)), ("few turns", range(18, 32))]
)
def test_llama_3_slows_slow_pairs_down(kind, pairs):
    """Measured on the learner's own frequencies, so that a wrong one does not fail here."""
    kept, slow = (rotary_angles(64, 2, 500_000.0, each)[1] for each in (None, RotaryScaling(**LLAMA)))
    because = f"pairs {pairs[0]} to {pairs[-1]} ({kind} within 8 192 tokens), as in Llama 3.2: scaled by unscaled"
    expected = torch.tensor([slowdown(pair) for pair in pairs])
    close((slow / kept)[pairs[0] : pairs[-1] + 1].float(), expected, because)


@clause("each-row")
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_each_text_may_have_positions_of_its_own(heads):
    x, angles, positions = numbers(2, heads, 3, 6), table(6, 9), torch.tensor([[4, 1, 2], [0, 3, 8]])
    try:
        seen = apply_rotary(x, angles, positions)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        pytest.fail(f"2 texts of {heads} heads, positions (2, 3), ended in {type(error).__name__}: {error}")
    expected = torch.stack([apply_rotary(x[row], angles, positions[row]) for row in range(2)])
    close(seen, expected, f"2 texts of {heads} heads; expected what each text gives alone with its row of positions")


@clause("dtype")
@DTYPES
def test_the_dtype_is_kept(dtype):
    x, angles = numbers(2, 3, 4, 6, dtype=dtype), table(6, 5)
    laws.keeps_dtype(lambda x: apply_rotary(x, angles), x, turned(x.double(), angles[:4]))


@clause("half")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=lambda one: str(one)[6:])
def test_late_positions_are_told_apart_in_half_precision(dtype):
    x, angles, at = numbers(3, 6, dtype=dtype), table(6, 3002), torch.tensor([1001, 2049, 3001])
    because = f"x is {dtype}, the positions are {at.tolist()}; in that dtype the angles themselves are rounded"
    seen = apply_rotary(x, angles, at)
    close(seen.to(dtype), turned(x.double(), angles[at]).to(dtype), because)


@clause("too-long")
@pytest.mark.parametrize(("tokens", "rows"), [(9, 7), (8, 7)])
def test_more_tokens_than_angles_are_refused(tokens, rows):
    with refuses(ValueError, tokens, rows):
        apply_rotary(numbers(2, 3, tokens, 6), table(6, rows))


@clause("pure")
def test_a_call_leaves_its_inputs_alone():
    laws.leaves_its_inputs_alone(apply_rotary, numbers(2, 3, 4, 6), table(6, 5), torch.tensor([3, 1, 4, 2]))
