"""The ladder of attention: what passes the gate, what is timed and left out, and how it is told."""

import json

import pytest
import torch
from torch import nn

from dojo.ladder import classes
from dojo.ladder.checks import checks
from dojo.ladder.gate import NotRight, check, truth
from dojo.ladder.ladder import FAILED, SKIPPED, TIMED, Cell, Climb, climb, growth, lengths_for, work
from dojo.ladder.measuring import BOTH, FORWARD, PASSES, peak_of
from dojo.ladder.table import as_json, table
from dojo.ladder.tiled import TILE, tiled_attention
from dojo.ladder.variants import Fused, FusedMask, FusedProjection, Size, Variant, deal, variants

multihead = classes.reference()
SIZE = Size(heads=2, head_dim=8, tokens=24)


def rungs(size=SIZE, dtype=torch.float32):
    """Every rung that a CPU can take, built from the same weights."""
    weights = deal(size, "cpu", dtype)
    found = variants(multihead)
    return {variant.name: variant.build(weights, size) for variant in found if not variant.compiled}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_every_rung_passes_the_gate(dtype):
    right = truth(deal(SIZE, "cpu", dtype), SIZE, batch=2)
    for rung in rungs(dtype=dtype).values():
        check(rung, right)


class Inverted(FusedMask):
    """The mask the wrong way round: a token sees its future and not its past."""

    def __init__(self, weights, size):
        super().__init__(weights, size)
        self.past = ~self.past | torch.eye(size.tokens, dtype=torch.bool)


class Unscaled(FusedProjection):
    def forward(self, x):
        with torch.no_grad():
            self.query_key_value.weight[: self.size.emb_dim] *= self.size.head_dim**0.5
        return super().forward(x)


class Blind(Fused):
    def attend(self, queries, keys, values):
        return super().attend(queries, keys, values.detach())


class Seeing(Fused):
    """Right on the first call, and without a mask afterwards: only rewriting the future shows it."""

    calls = 0

    def attend(self, queries, keys, values):
        self.calls += 1
        causal = self.calls == 1
        return nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=causal)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Inverted, "the output is off"),
        (Unscaled, "the output is off"),
        (Blind, "no gradient reaches the value weights"),
        (Seeing, "the past moves when the future is rewritten"),
    ],
)
def test_what_is_wrong_does_not_pass_the_gate(wrong, why):
    weights = deal(SIZE, "cpu", torch.float32)
    with pytest.raises(NotRight, match=why):
        check(wrong(weights, SIZE), truth(weights, SIZE, batch=2))


@pytest.mark.parametrize("tokens", [1, 7, TILE, TILE + 1, 2 * TILE + 3])
def test_tiles_give_what_the_whole_gives(tokens):
    draw = torch.Generator().manual_seed(0)
    mine, theirs = ([torch.randn(2, 3, tokens, 4, generator=draw, dtype=torch.float64) for _ in range(3)] for _ in "ab")
    theirs = [x.clone().requires_grad_() for x in mine]
    mine = [x.requires_grad_() for x in mine]
    grad = torch.randn(2, 3, tokens, 4, generator=draw, dtype=torch.float64)
    seen = tiled_attention(*mine)
    expected = nn.functional.scaled_dot_product_attention(*theirs, is_causal=True)
    torch.testing.assert_close(seen, expected)
    seen.backward(grad)
    expected.backward(grad)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_climb_times_what_is_right_and_says_what_is_not():
    found = [variant for variant in variants(multihead) if variant.name in ("weight-split", "fused, causal")]
    found += [Variant("inverted", Inverted), Variant("broken", lambda weights, size: 1 / 0)]
    found += [Variant("short", Fused, longest=8), Variant("for CUDA", Fused, compiled=True)]
    climbed = climb(found, heads=2, head_dim=8, lengths=[8, 16], budget=0.01)
    states = {(cell.variant, cell.tokens): (cell.state, cell.why) for cell in climbed.cells if cell.which == FORWARD}
    assert states["weight-split", 16] == (TIMED, "")
    assert states["inverted", 8][0] == FAILED
    assert states["inverted", 16] == (SKIPPED, "failed at 8 tokens")
    assert states["broken", 8] == (FAILED, "ZeroDivisionError: division by zero")
    assert states["short", 16] == (SKIPPED, "measured up to 8 tokens")
    assert states["for CUDA", 8] == (SKIPPED, "on CUDA only")
    cell = climbed.cell("fused, causal", 16, BOTH)
    assert cell.of_fused == 1.0
    assert cell.seconds > 0 < cell.memory
    assert cell.tokens_a_second == pytest.approx(16 / cell.seconds)
    assert len(climbed.cells) == 2 * 2 * len(found)


def test_a_cell_that_would_not_fit_is_left_out_with_the_number(monkeypatch):
    monkeypatch.setattr("dojo.ladder.ladder.free_memory", lambda device: 100_000)
    climbed = climb(variants(multihead), heads=2, head_dim=8, lengths=[8, 256], budget=0.01)
    assert climbed.cell("weight-split", 8, BOTH).state == TIMED
    left_out = climbed.cell("weight-split", 256, BOTH)
    assert left_out.state == SKIPPED
    assert left_out.why.startswith("needs 0.0 of 0.0 GiB free")


def test_memory_is_what_is_held_at_the_worst_moment():
    def hold():
        kept = torch.zeros(1000, 250)  # 1 MB
        for _ in range(3):
            torch.ones(500, 250)  # half a MB, given back each time
        del kept

    assert peak_of(hold, "cpu") == pytest.approx(1_500_000, rel=0.01)


def test_causal_work_counts_half():
    size = Size(heads=2, head_dim=4, tokens=100)
    projections, products = 4 * 2 * 100 * 8 * 8, 2 * 2 * 2 * 100 * 100 * 4
    assert work(size, 1, FORWARD) == projections + products / 2
    assert work(size, 3, BOTH) == 9 * work(size, 1, FORWARD)


def cell(variant, tokens, which=BOTH, **measured):
    return Cell(variant, tokens, which, TIMED, **{"seconds": 1.0, "memory": 2**20, "flops": 1e9} | measured)


def test_growth_is_the_exponent_of_the_last_three_lengths():
    cells = [cell("a", 128, seconds=9.0), *(cell("a", 128 * 2**n, seconds=4.0**n) for n in (1, 2, 3))]
    assert growth(cells, lambda c: c.seconds) == pytest.approx(2.0)
    assert growth(cells[:2], lambda c: c.seconds) is None


def ladder(**seconds):
    """A ladder of made-up times, forward and with backward the same; growth in memory as it should be."""
    names = {"split": "weight-split", "fused": "fused, causal", "tiled": "tiled", "projection": "fused projection"}
    climbed = Climb("cpu", "float32", 12, 64, 1, [512, 1024, 2048], 1e11)
    for key, value in ({"split": 2.0, "fused": 1.0, "tiled": 1.2, "projection": 2.0} | seconds).items():
        for tokens in climbed.lengths:
            held = tokens**2 if key in ("split", "projection") else tokens
            climbed.cells += [cell(names[key], tokens, which, seconds=value, memory=held) for which in PASSES]
    return climbed


def test_the_ratios_are_checked():
    found = checks(ladder())
    assert len(found) == 10
    assert all(each.holds for each in found)
    slow = [str(each) for each in checks(ladder(fused=3.0, tiled=9.0)) if not each.holds]
    assert any("speed of fused, causal in that of weight-split" in each for each in slow)
    assert any("speed of tiled in that of fused, causal, forward" in each for each in slow)
    greedy = ladder()
    for each in greedy.cells:
        each.memory = each.tokens**2
    assert [str(each) for each in checks(greedy) if not each.holds] == [
        "FAILS  growth of the memory of tiled, at most: 2.00, the bar is 1.5"
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_table_fits_a_terminal_of_100_columns(device):
    lengths = lengths_for(device, quick=False)
    assert lengths[-1] == (16384 if device == "cuda" else 4096)
    climbed = Climb(device, "float32", 12, 64, 1, lengths, 1e11, machine={"device": "A processor", "torch": "2"})
    for name in ("weight-split, compiled", "fused, causal"):
        for tokens in lengths:
            climbed.cells += [
                cell(name, tokens, which, seconds=tokens**2 / 1e6, memory=2**36, of_fused=1.0) for which in PASSES
            ]
    climbed.cells.append(Cell("inverted", 128, FORWARD, FAILED, "the output is off by 1 of its largest number"))
    climbed.cells.append(Cell("loop", 1024, FORWARD, SKIPPED, "measured up to 512 tokens"))
    lines = table(climbed)
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert "not right, so not timed:\n  inverted, 128 tokens: the output is off by 1 of its largest number" in text
    assert "left out:\n  loop, 1024 tokens: measured up to 512 tokens" in text
    assert "    2.0" in lines[4], "the growth of the first variant"


def test_json_holds_everything():
    data = json.loads(as_json([ladder()], ["holds  something"]))
    assert data["checks"] == ["holds  something"]
    assert data["climbs"][0]["cells"][0]["variant"] == "weight-split"


def test_the_figure_has_a_line_for_every_variant():
    from dojo.ladder.drawing import draw

    figure = draw(ladder())
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert [label.split("  ")[0] for label in labels] == ladder().variants()
    assert "n^2.0" in figure.axes[1].lines[0].get_label()


def test_a_learner_stands_on_the_ladder_beside_the_others():
    found = variants(multihead, own=multihead.MultiHeadAttention)
    assert found[0].name == "yours"
    climbed = climb(found[:1], heads=2, head_dim=8, lengths=[8], budget=0.01)
    assert climbed.cell("yours", 8, BOTH).state == TIMED
