"""The ladder of attention: what passes the gate, what is timed and left out, and how it is told."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from dojo.ladder import checks as checking
from dojo.ladder import classes, training_step
from dojo.ladder.attention import BOTH, FORWARD, Attention, lengths_for
from dojo.ladder.attention_gate import check, truth
from dojo.ladder.attention_rungs import Fused, FusedMask, FusedProjection, Size, deal, variants
from dojo.ladder.checks import FAILS, HOLDS, UNKNOWN, checks
from dojo.ladder.generation import Generation, Katas, ModernGeneration, ModernKatas
from dojo.ladder.ladder import FAILED, SKIPPED, TIMED, Cell, Climb, NotRight, Variant, climb, growth
from dojo.ladder.measuring import Step, in_turn, peak_of
from dojo.ladder.table import as_json, table
from dojo.ladder.tiled import TILE, tiled_attention
from dojo.ladder.tokenizer import Encoding, Training

[multihead] = classes.reference("attention/multihead")
SIZE = Size(heads=2, head_dim=8, tokens=24)


def rungs(size=SIZE, dtype=torch.float32):
    """Every rung that a CPU can take, built from the same weights."""
    problem = Attention(multihead, heads=size.heads, head_dim=size.head_dim, dtype=dtype).problem(size.tokens)
    return {variant.name: variant.build(problem) for variant in variants(multihead) if not variant.compiled}


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


def attention(*chosen, lengths=(8, 16)):
    """A small ladder, with some rungs only."""
    ladder = Attention(multihead, heads=2, head_dim=8, lengths=lengths)
    ladder.variants = [*chosen] or ladder.variants
    return ladder


def named(*names):
    return [variant for variant in variants(multihead) if variant.name in names]


def test_a_climb_times_what_is_right_and_says_what_is_not():
    found = named("weight-split", "fused, causal")
    found += [Variant("inverted", lambda problem: Inverted(problem.weights, problem.size))]
    found += [Variant("broken", lambda problem: 1 / 0), Variant("short", found[1].build, longest=8)]
    found += [Variant("for CUDA", found[1].build, compiled=True)]
    climbed = climb(attention(*found), budget=0.01)
    states = {(cell.variant, cell.size): (cell.state, cell.why) for cell in climbed.cells if cell.which == FORWARD}
    assert states["weight-split", 16] == (TIMED, "")
    assert states["inverted", 8][0] == FAILED
    assert states["inverted", 16] == (SKIPPED, "failed at 8 tokens")
    assert states["broken", 8] == (FAILED, "ZeroDivisionError: division by zero")
    assert states["short", 16] == (SKIPPED, "measured up to 8 tokens")
    assert states["for CUDA", 8] == (SKIPPED, "on CUDA only")
    cell = climbed.cell("fused, causal", 16, BOTH)
    assert cell.of_base == 1.0
    assert cell.seconds > 0 < cell.memory
    assert len(climbed.cells) == 2 * 2 * len(found)


def test_a_cell_that_would_not_fit_is_left_out_with_the_number(monkeypatch):
    monkeypatch.setattr("dojo.ladder.ladder.free_memory", lambda device: 100_000)
    climbed = climb(attention(lengths=[8, 256]), budget=0.01)
    assert climbed.cell("weight-split", 8, BOTH).state == TIMED
    left_out = climbed.cell("weight-split", 256, BOTH)
    assert left_out.state == SKIPPED
    assert left_out.why.startswith("needs 0.0 of 0.0 GiB free")


def test_when_the_time_is_up_nothing_more_is_begun():
    climbed = climb(attention(), seconds=0.0)
    assert {(cell.state, cell.why) for cell in climbed.cells} <= {
        (SKIPPED, "no time was left for it"),
        (SKIPPED, "on CUDA only"),
    }


def test_a_time_that_no_machine_can_reach_is_refused():
    ladder = attention(*named("fused, causal"), lengths=[8])
    ladder.floor = lambda size, which: 60.0
    [cell, _] = climb(ladder, budget=0.01).cells
    assert cell.state == FAILED
    assert cell.why.endswith("s is less than this machine can take: 6.0e+01 s")


def test_every_time_is_taken_with_fresh_inputs():
    seen = []
    ladder = attention(lengths=[8])
    problem = ladder.problem(8)
    step = ladder.step(lambda x: seen.append(x.clone()), problem, FORWARD)
    in_turn({"a": step}, "cpu", 0.0)
    assert len(seen) == 4
    assert not torch.equal(seen[0], seen[1])


def test_rungs_take_turns_and_their_ratio_is_that_of_rounds(monkeypatch):
    """A machine that gets slower in the middle slows both, and the ratio stays."""
    order, now = [], [0.0]

    def step(name, seconds):
        def run():
            order.append(name)
            now[0] += seconds * (1 if len(order) < 5 else 10)

        return Step(run)

    monkeypatch.setattr("dojo.ladder.measuring.time.perf_counter", lambda: now[0])
    rounds = in_turn({"a": step("a", 1.0), "b": step("b", 2.0)}, "cpu", 0.0)
    assert order == ["a", "b"] * 4
    assert checking.median(checking.ratios(rounds, "a", "b")) == 2.0


def test_memory_is_what_is_held_at_the_worst_moment():
    def hold():
        kept = torch.zeros(1000, 250)  # 1 MB
        for _ in range(3):
            torch.ones(500, 250)  # half a MB, given back each time
        del kept

    assert peak_of(Step(hold), "cpu") == pytest.approx(1_500_000, rel=0.01)


def test_causal_work_counts_half():
    one, three = (Attention(multihead, heads=2, head_dim=4, batch=batch) for batch in (1, 3))
    projections, products = 4 * 2 * 100 * 8 * 8, 2 * 2 * 2 * 100 * 100 * 4
    assert one.work(100, FORWARD) == projections + products / 2
    assert three.work(100, BOTH) == 9 * one.work(100, FORWARD)


def cell(variant, tokens, which=BOTH, **measured):
    return Cell(variant, tokens, which, TIMED, **{"seconds": 1.0, "memory": 2**20, "rate": 1.0} | measured)


def empty(lengths, device="cpu"):
    ladder = Attention(multihead, device=device, lengths=lengths)
    about = ("name", "shape", "slug", "unit", "passes")
    return Climb(*(getattr(ladder, name) for name in about), "TFLOP/s", ladder.base, device, "float32", lengths)


def test_growth_is_the_exponent_of_the_last_three_lengths():
    cells = [cell("a", 128, seconds=9.0), *(cell("a", 128 * 2**n, seconds=4.0**n) for n in (1, 2, 3))]
    assert growth(cells, lambda c: c.seconds) == pytest.approx(2.0)
    assert growth(cells[:2], lambda c: c.seconds) is None


def ladder(**seconds):
    """A ladder of made-up times, forward and with backward the same; growth in memory as it should be."""
    names = {"split": "weight-split", "fused": "fused, causal", "tiled": "tiled", "projection": "fused projection"}
    climbed = empty([512, 1024, 2048])
    for key, value in ({"split": 2.0, "fused": 1.0, "tiled": 1.2, "projection": 2.0} | seconds).items():
        for tokens in climbed.sizes:
            held = tokens**2 if key in ("split", "projection") else tokens
            climbed.cells += [cell(names[key], tokens, which, seconds=value, memory=held) for which in climbed.passes]
    return climbed


@pytest.fixture
def measured_again(monkeypatch):
    """What the second measuring of a pair gives: its ratios, and the share of the processor."""
    found = {"ratios": [0.2, 0.2, 0.2], "share": 1.0}
    monkeypatch.setattr(checking, "in_turn", lambda *_: None)
    monkeypatch.setattr(checking, "ratios", lambda *_: found["ratios"])
    monkeypatch.setattr(checking, "share_of_processor", lambda: found["share"])
    return found


def small():
    """The bars of a full ladder, with problems that are quickly built."""
    made = Attention(multihead)
    made.problem = lambda size: Attention(multihead, heads=2, head_dim=8).problem(8)
    return made


def test_the_ratios_are_checked(measured_again):
    found = checks(small(), ladder())
    assert len(found) == 10
    assert all(each.state == HOLDS for each in found)
    slow = [str(each) for each in checks(small(), ladder(fused=3.0, tiled=9.0)) if each.fails]
    assert any("speed of fused, causal in that of weight-split" in each for each in slow)
    assert any("speed of tiled in that of fused, causal, forward" in each for each in slow)
    greedy = ladder()
    for each in greedy.cells:
        each.memory = each.size**2
    assert [str(each) for each in checks(small(), greedy) if each.fails] == [
        "FAILS  growth of the memory of tiled, at most: 2.00, the bar is 1.5"
    ]


@pytest.mark.parametrize(
    ("again", "state", "note"),
    [
        ({}, FAILS, "measured twice"),
        ({"ratios": [0.4, 0.5, 0.6]}, HOLDS, "measured twice"),
        ({"share": 0.6}, UNKNOWN, "too busy to tell: other programs take 40% of its processor"),
        ({"ratios": [0.2, 0.3, 0.9]}, UNKNOWN, "a quarter of the rounds gave"),
    ],
    ids=["slow", "well", "busy", "scattered"],
)
def test_a_failing_pair_is_measured_again_before_it_is_told(measured_again, again, state, note):
    measured_again |= again
    missed = [each for each in checks(small(), ladder(tiled=9.0)) if "speed of tiled" in each.what]
    assert {each.state for each in missed} == {state}
    assert note in str(missed[0])


@pytest.fixture(scope="module")
def trainer():
    return Training(*classes.reference("text/bpe_training"))


def test_every_rung_of_training_passes_and_a_wrong_one_does_not(trainer):
    trainer.sizes = [8]
    trainer.variants += [Variant("other merges", lambda _: lambda text, size: ({}, [(b"a", b"b")]))]
    states = {cell.variant: (cell.state, cell.why) for cell in climb(trainer, budget=0.01).cells}
    assert states.pop("other merges") == (FAILED, "merge number 1 is not that of the others")
    assert {state for state, _ in states.values()} == {TIMED}, states
    assert "keep the counts" in states


def test_every_rung_of_encoding_passes_and_a_wrong_one_does_not():
    ladder = Encoding(*classes.reference("text/bpe_tokenizer"))
    ladder.tokens, ladder.sizes = 300, [2]
    ladder.variants += [Variant("nothing", lambda problem: lambda: lambda text: [1])]
    states = {(cell.variant, cell.which): (cell.state, cell.why) for cell in climb(ladder, budget=0.01).cells}
    wrong = [states.pop(("nothing", which)) for which in ladder.passes]
    assert wrong[0] == (FAILED, "id number 1 of the English is not that of the others")
    assert {state for state, _ in states.values()} == {TIMED}, states


def test_every_rung_of_generation_passes_and_a_wrong_one_does_not():
    model, config, generate = classes.reference("gpt/model", "gpt/config", "gpt/generate")
    katas = Katas(model.GPTModel, config.GPTConfig, generate.generate_greedy)
    wrong = Katas(model.GPTModel, config.GPTConfig, lambda *how: generate.generate_greedy(*how) * 0)
    ladder = Generation(katas, wrong, vocab_size=20, context_length=64, emb_dim=16, n_heads=2, n_layers=2)
    ladder.sizes = [30]  # long enough that the text repeats itself, and guesses are right
    states = {cell.variant: (cell.state, cell.why) for cell in climb(ladder, budget=0.01).cells}
    assert states.pop("yours") == (FAILED, "after 0 of 30 tokens it goes on differently")
    assert {state for state, _ in states.values()} == {TIMED}, states
    assert len(states) == 5


def test_the_cached_rung_of_the_decoder_passes_and_a_cache_that_forgets_does_not():
    decoder, kept, plain = classes.reference("modern/decoder", "modern/kv_cache", "gpt/generate")

    def cached(model, ids, new, context_length):
        return kept.generate_cached(model, ids, new, 2, context_length)

    def forgetful(model, ids, new, context_length):
        return torch.cat([ids, cached(model, ids[:, -1:], new, context_length)[:, 1:]], dim=1)

    katas = ModernKatas(decoder.DecoderModel, decoder.DecoderConfig, plain.generate_greedy, cached)
    sizes = {"emb_dim": 16, "hidden_dim": 24, "num_heads": 2, "num_kv_heads": 1, "num_layers": 2}
    ladder = ModernGeneration(katas, replace(katas, cached=forgetful), vocab_size=20, context_length=64, **sizes)
    ladder.sizes = [8]
    states = {cell.variant: (cell.state, cell.why) for cell in climb(ladder, budget=0.01).cells}
    assert states.pop("yours")[0] == FAILED
    assert states == {"no cache (plain)": (TIMED, ""), "KV cache": (TIMED, "")}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_rung_of_a_training_step_passes_and_a_wrong_one_does_not(dtype):
    model, config, loss, optimizer = classes.reference(
        "gpt/model", "gpt/config", "pretraining/loss", "pretraining/optimizer"
    )
    katas = training_step.Katas(model.GPTModel, config.GPTConfig, loss.batch_loss, optimizer.AdamW)
    wrong = replace(katas, loss=lambda *how: 2 * loss.batch_loss(*how))
    sizes = {"vocab_size": 20, "context_length": 8, "emb_dim": 16, "n_heads": 2, "n_layers": 2}
    ladder = training_step.TrainingStep(katas, wrong, dtype=dtype, batches=[2], drop_rate=0.1, **sizes)
    states = {cell.variant: (cell.state, cell.why) for cell in climb(ladder, budget=0.01).cells}
    assert states.pop("yours")[0] == FAILED
    assert {state for state, _ in states.values()} == {TIMED, SKIPPED}, states
    assert {name for name, (state, _) in states.items() if state == SKIPPED} == {"fused, compiled", "nanoGPT, compiled"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_table_fits_a_terminal_of_100_columns(device):
    lengths = lengths_for(device, quick=False)
    assert lengths[-1] == (16384 if device == "cuda" else 4096)
    climbed = empty(lengths, device)
    climbed.machine = {"device": "A processor", "torch": "2"}
    for name in ("weight-split, compiled", "fused, causal"):
        for tokens in lengths:
            climbed.cells += [
                cell(name, tokens, which, seconds=tokens**2 / 1e6, memory=2**36, of_base=1.0)
                for which in climbed.passes
            ]
    climbed.cells.append(Cell("inverted", 128, FORWARD, FAILED, "the output is off by 1 of its largest number"))
    climbed.cells.append(Cell("loop", 1024, FORWARD, SKIPPED, "measured up to 512 tokens"))
    lines = table(climbed)
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert "not right, so not timed:\n  inverted, 128 tokens: the output is off by 1 of its largest number" in text
    assert "left out:\n  loop, 1 024 tokens: measured up to 512 tokens" in text
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
    climbed = climb(attention(found[0], lengths=[8]), budget=0.01)
    assert climbed.cell("yours", 8, BOTH).state == TIMED
