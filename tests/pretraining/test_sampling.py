"""Sampling, clause by clause. The why: docs/pretraining/sampling.md."""

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.pretraining.sampling import generate, sample_next_token
from tests.support import clause, close, numbers, refuses, same, toy_model

LN3, INF = math.log(3), math.inf
DRAWS, VOCAB = 20_000, 7  # VOCAB is that of the toys below
# What a chi-square statistic stays below, but for one case in a million, by degrees of freedom.
CRITICAL = {1: 23.93, 2: 27.63, 3: 30.66, 4: 33.38, 5: 35.89, 6: 38.26, 7: 40.52, 8: 42.70}
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])

# Probabilities of 0.4, 0.3, 0.2, 0.1, in another order, and what top-k leaves of them.
FOUR = (0.2, 0.4, 0.1, 0.3)
TOP_K = {
    "the greatest": (FOUR, 1, (0, 1, 0, 0)),
    "two of four": (FOUR, 2, (0, 4 / 7, 0, 3 / 7)),
    "three of four": (FOUR, 3, (2 / 9, 4 / 9, 0, 3 / 9)),
    "four of four": (FOUR, 4, FOUR),
    "more than there are": (FOUR, 9, FOUR),
    "two, and a third that ties": ((0.1, 0.3, 0.3, 0.3), 2, (0, 1 / 3, 1 / 3, 1 / 3)),
    "one, and all tie": ((0.25, 0.25, 0.25, 0.25), 1, (0.25, 0.25, 0.25, 0.25)),
}
TOP_P = {
    "less than the greatest": (FOUR, 0.1, (0, 1, 0, 0)),
    "a little less than the greatest": (FOUR, 0.39, (0, 1, 0, 0)),
    "a little more than the greatest": (FOUR, 0.41, (0, 4 / 7, 0, 3 / 7)),
    "a little less than two": (FOUR, 0.69, (0, 4 / 7, 0, 3 / 7)),
    "a little more than two": (FOUR, 0.71, (2 / 9, 4 / 9, 0, 3 / 9)),
    "nearly all": (FOUR, 0.95, FOUR),
    "all": (FOUR, 1.0, FOUR),
    "all, as an int": (FOUR, 1, FOUR),
    "exactly half of four equals": ((0.25, 0.25, 0.25, 0.25), 0.5, (0.5, 0.5, 0, 0)),
    "a little more than half of four equals": ((0.25, 0.25, 0.25, 0.25), 0.51, (1 / 3, 1 / 3, 1 / 3, 0)),
    "one of two equals behind a third": ((0.25, 0.5, 0.25), 0.7, (1 / 3, 2 / 3, 0)),
}
ORDERS = {
    "temperature before top-p": (FOUR, {"temperature": 0.25, "top_p": 0.5}, (0, 1, 0, 0)),
    "a flat temperature before top-p": (FOUR, {"temperature": 100.0, "top_p": 0.7}, (1 / 3, 1 / 3, 0, 1 / 3)),
    "top-k before top-p": (FOUR, {"top_k": 2, "top_p": 0.5}, (0, 1, 0, 0)),
    "top-p of what top-k left": ((0.15, 0.3, 0.1, 0.25, 0.2), {"top_k": 4, "top_p": 0.6}, (0, 6 / 11, 0, 5 / 11, 0)),
    "all three": (FOUR, {"temperature": 0.5, "top_k": 3, "top_p": 0.8}, (0, 16 / 25, 0, 9 / 25)),
    "top-k is the narrower": (FOUR, {"top_k": 2, "top_p": 0.99}, (0, 4 / 7, 0, 3 / 7)),
    "top-p is the narrower": (FOUR, {"top_k": 3, "top_p": 0.3}, (0, 1, 0, 0)),
}
SETTINGS = [
    ("temperature", -1.0), ("temperature", -1e-9), ("temperature", math.nan), ("temperature", INF),
    ("top_k", 0), ("top_k", -3),
    ("top_p", 0.0), ("top_p", -0.5), ("top_p", 1.5), ("top_p", math.nan),
]  # fmt: skip
UNFIT = {
    "nan": [[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]],
    "inf": [[0.0, 1.0, 2.0], [INF, 0.0, 1.0]],
    "-inf": [[0.0, 1.0, 2.0], [-INF, -INF, -INF]],
}


def logits_of(*shares):
    """Logits, one a share, whose softmax are the shares; each is moved by the same number, which changes nothing."""
    return torch.tensor(shares, dtype=torch.float64).log().float() + 2


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(logits, times=DRAWS, seed=0, sample=sample_next_token, **how):
    """Ids that were drawn for one line of logits, all in one call."""
    return sample(logits.repeat(times, 1), generator=seeded(seed), **how)


def surprise(ids, shares):
    """Which id was drawn that cannot be, and how unlikely the others are: a chi-square statistic over its bound."""
    shares = torch.tensor(shares, dtype=torch.float64)
    counts = torch.bincount(ids.flatten(), minlength=len(shares)).double()
    never = ((shares == 0) & (counts > 0)).nonzero().flatten().tolist()
    expected = (shares * ids.numel())[shares > 0]
    statistic = ((counts[shares > 0] - expected) ** 2 / expected).sum().item()
    return never, statistic / CRITICAL.get(len(expected) - 1, INF)


def fair(ids, shares, because):
    """Assert that ids were drawn with these probabilities: with others, one in a million would pass for them."""
    __tracebackhide__ = True
    never, unlikely = surprise(ids, shares)
    counted = [round(count / ids.numel(), 3) for count in torch.bincount(ids.flatten(), minlength=len(shares)).tolist()]
    told = f"expected shares {[round(share, 3) for share in shares]}, seen {counted} in {ids.numel()} draws: {because}"
    assert not never, f"id {never[0]} cannot be drawn here, and was; {told}"
    assert unlikely < 1, told


def tosses():
    """What the global random states would give next, without a change of either."""
    python, torchs = random.getstate(), torch.get_rng_state()
    found = random.random(), torch.rand(1).item()
    random.setstate(python)
    torch.set_rng_state(torchs)
    return found


class Reader(torch.nn.Module):
    """A toy that reads its whole context: the next id hangs on every id that it is given, and on where it stands.

    It writes down what it was called with: the number of tokens, whether a part was training and gradients recorded.
    With `fails` it breaks at that call.
    """

    def __init__(self, fails=None):
        super().__init__()
        self.parts, self.fails, self.seen = toy_model(VOCAB), fails, []

    def forward(self, ids):
        training = any(part.training for part in self.modules())
        self.seen.append((ids.shape[1], training, torch.is_grad_enabled()))
        if len(self.seen) == self.fails:
            raise RuntimeError("the model broke")
        totals = (ids * torch.arange(1, ids.shape[1] + 1)).cumsum(dim=1) % VOCAB  # (batch, tokens)
        return 9.0 * torch.nn.functional.one_hot(totals, VOCAB).float()


class Constant(torch.nn.Module):
    """A toy that gives the same logits at each place, and has no parameters."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.calls = logits, 0

    def forward(self, ids):
        self.calls += 1
        return self.logits.repeat(*ids.shape, 1)


def by_hand(prompts, max_new_tokens, context_length, eos_id=None):
    """What the Reader makes of prompts, greedily, row by row and token by token."""
    rows = [list(prompt) for prompt in prompts]
    for _ in range(max_new_tokens):
        if eos_id is not None and all(eos_id in row[len(prompts[0]) :] for row in rows):
            break
        for row in rows:
            context = row[-context_length:]
            following = sum(place * token for place, token in enumerate(context, start=1)) % VOCAB
            row.append(eos_id if eos_id in row[len(prompts[0]) :] else following)
    return rows


def prompts_of(batch, tokens, seed=0):
    return ((numbers(batch, tokens, seed=seed) + 1) / 2 * VOCAB).long().clamp(max=VOCAB - 1)


def mixed(model, whole=True):
    """The model with its parts in different modes."""
    model.train(whole)
    model.parts[1].train(not whole)
    return model


def modes(model):
    return {name or "the model": part.training for name, part in model.named_modules()}


def written(model, **how):
    """Let the model write on, or break where it breaks."""
    try:
        generate(model, prompts_of(2, 3), 4, 5, **how)
    except RuntimeError as error:
        if model.fails is None or str(error) != "the model broke":
            raise
    else:
        assert model.fails is None, "the model broke, and its error did not come through"


def probe(kata):
    """Small cases on which the known mistakes differ. What is drawn is told by which ids can be, and how often."""

    def told(function, *values):
        try:
            seen = function()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]
        return seen

    def shares(logits, **how):
        ids = drawn(logits, 1_000, 0, kata.sample_next_token, **how)
        counts = torch.bincount(ids.flatten(), minlength=logits.shape[-1])
        return [(count > 0, round(count / 100)) for count in counts.tolist()]

    def lines():
        rows = torch.stack([logits_of(0.9, 0.05, 0.05), logits_of(0.05, 0.05, 0.9)]).repeat(500, 1)
        ids = kata.sample_next_token(rows, generator=seeded())
        rates = [round(10 * (ids[row::2] == token).float().mean().item()) for row in (0, 1) for token in range(3)]
        return rates, bool((ids[0::2] == ids[0]).all())

    def shapes():
        return [
            told(lambda axes=axes: tuple(kata.sample_next_token(numbers(*axes, 5)).shape))
            for axes in ((), (3,), (2, 3))
        ]

    def changed(**how):
        logits = 3 * numbers(2, 5)
        told(lambda: kata.sample_next_token(logits, **how))
        return logits

    def twice(*, with_generator):
        """Whether two calls give the same, whether the same state does, and what else tells one way from another."""
        torch.manual_seed(3)
        generator, line, state = seeded(3) if with_generator else None, torch.zeros(40, 6), torch.get_rng_state()
        first, second = (kata.sample_next_token(line, generator=generator) for _ in range(2))
        moved = not torch.equal(torch.get_rng_state(), state)
        if with_generator:
            generator.manual_seed(3)
        else:
            torch.manual_seed(3)
        third = kata.sample_next_token(line, generator=generator)
        return torch.equal(first, second), torch.equal(first, third), len(first.unique()) > 1, moved

    def used(logits, **how):
        random.seed(1)
        torch.manual_seed(1)
        generator = seeded(1)
        ids = kata.sample_next_token(logits, generator=generator, **how)
        return ids, tosses(), torch.equal(generator.get_state(), seeded(1).get_state())

    def loud_in_half():
        rows = torch.tensor([[10_000.0, -10_000.0, 10_000.0]] * 2, dtype=torch.float16)
        before = rows.clone()
        seen = told(lambda: kata.sample_next_token(rows, temperature=0.001).shape)
        return told(lambda: shares(loud.double())), str(seen), torch.equal(rows, before)

    def top_k_of_each():
        rows = torch.tensor([[50.0, 40.0, 49.9, 30.0], [-0.1, -20.0, 0.0, -9.0]]).repeat(200, 1)
        ids = kata.sample_next_token(rows, temperature=10.0, top_k=2, generator=seeded())
        return [sorted(set(ids[row::2].flatten().tolist())) for row in (0, 1)]

    def refusals(name, at_zero=False):
        how = {"temperature": 0.0} if at_zero else {}
        return [
            told(lambda v=v: tuple(kata.sample_next_token(numbers(2, 5), **{**how, name: v}).shape), name, v)
            for which, v in SETTINGS
            if which == name
        ]

    def unfit(temperature):
        return [
            told(lambda rows=rows: tuple(kata.sample_next_token(torch.tensor(rows), temperature).shape), name)
            for name, rows in UNFIT.items()
        ]

    def reading(*sizes, **how):
        model = Reader()
        ids = kata.generate(model, prompts_of(2, 3), *sizes, **how)
        return ids, [tokens for tokens, *_ in model.seen]

    def handed(**how):
        prompts = torch.zeros(500, 1, dtype=torch.int64)
        torch.manual_seed(5)
        ids = kata.generate(Constant(logits_of(*FOUR)), prompts, 2, 4, generator=seeded(), **how)[:, 1:]
        rates = (torch.bincount(ids.flatten(), minlength=4) / ids.numel()).tolist()
        return [round(10 * rate) for rate in rates], torch.equal(ids[:, 0], ids[:, 1]), tosses()[1]

    def ends(eos_id, prompts):
        model = Reader()
        return kata.generate(model, prompts, 6, 4, eos_id=eos_id), len(model.seen)

    def afterwards(fails, whole, recording=True):
        model = mixed(Reader(fails=fails), whole)
        try:
            with torch.set_grad_enabled(recording):
                seen = told(lambda: kata.generate(model, prompts_of(2, 3), 4, 5) is None)
                return seen, modes(model), torch.is_grad_enabled()
        finally:
            torch.set_grad_enabled(True)

    def meanwhile():
        model = mixed(Reader())
        kata.generate(model, prompts_of(2, 3), 4, 5)
        return model.seen

    hidden = torch.tensor([-INF, 0.0, -INF, -8.0])
    loud = torch.tensor([10_000.0, 9_999.99, -10_000.0])
    ties = torch.tensor([[1.0, 3.0, 3.0, 3.0], [2.0, 2.0, 2.0, 1.0]])
    return {
        "greedy": lambda: kata.sample_next_token(4 * numbers(6, 5), temperature=0.0),
        "greedy ties": lambda: kata.sample_next_token(ties, temperature=0),
        "greedy draws": lambda: used(ties, temperature=0.0),
        "softmax": lambda: shares(torch.tensor([0.0, LN3])),
        "defaults": lambda: shares(logits_of(*FOUR)),
        **{
            f"temperature {t}": lambda t=t: shares(logits_of(*FOUR), temperature=t) for t in (0.25, 0.5, 2.0, 5.0, 1e4)
        },
        "lines": lines,
        "shapes": shapes,
        "equal rows": lambda: drawn(torch.zeros(5), times=50, sample=kata.sample_next_token).unique().numel() > 1,
        **{
            name: lambda shares_of=shares_of, k=k: told(lambda: shares(logits_of(*shares_of), top_k=k))
            for name, (shares_of, k, _) in TOP_K.items()
        },
        "top-k of each": lambda: told(top_k_of_each),
        **{
            name: lambda shares_of=shares_of, p=p: told(lambda: shares(logits_of(*shares_of), top_p=p))
            for name, (shares_of, p, _) in TOP_P.items()
        },
        "top-p borders": lambda: [told(lambda p=p: shares(logits_of(*FOUR), top_p=p)) for p in (0.1, 0.71)],
        "top-p of each": lambda: kata.sample_next_token(4 * numbers(8, 5), top_p=0.01),
        **{name: lambda of=of, how=how: shares(logits_of(*of), **how) for name, (of, how, _) in ORDERS.items()},
        "top-k alone, and before top-p": lambda: [
            shares(logits_of(*FOUR), top_k=2), shares(logits_of(0.15, 0.3, 0.1, 0.25, 0.2), top_k=4, top_p=0.6)
        ],
        "hidden": lambda: [
            (drawn(hidden, 1_000, 0, kata.sample_next_token, temperature=t) % 2 == 1).all().item() for t in (1.0, 100.0)
        ],
        "hidden and top-k": lambda: told(lambda: shares(hidden, top_k=3, temperature=10.0)),
        "loud": lambda: told(lambda: shares(loud.double())),
        "loud in half": loud_in_half,
        "with a generator": lambda: twice(with_generator=True),
        "without one": lambda: twice(with_generator=False),
        "used": lambda: used(3 * numbers(4, 5)),
        "changed": lambda: [
            changed(), changed(temperature=2.0), changed(top_k=2), changed(top_p=0.5), changed(temperature=0)
        ],
        "refused temperature": lambda: refusals("temperature"),
        "refused top_k": lambda: refusals("top_k"),
        "refused top_p": lambda: refusals("top_p"),
        "refused at zero": lambda: [refusals("top_k", at_zero=True), refusals("top_p", at_zero=True)],
        "unfit": lambda: unfit(1.0),
        "unfit at zero": lambda: [unfit(0.0), unfit(1.0)],
        "reading": lambda: reading(4, 9),
        "cropped": lambda: reading(5, 2),
        "nothing new": lambda: reading(0, 4),
        "one token": lambda: kata.generate(Reader(), prompts_of(1, 1), 3, 1),
        "handed temperature": lambda: [
            handed(temperature=3.0), shares(logits_of(*FOUR), temperature=3.0),
            used(3 * numbers(4, 5)), twice(with_generator=True),
        ],
        "handed top_k": lambda: handed(temperature=1.0, top_k=2),
        "handed top_p": lambda: handed(temperature=1.0, top_p=0.41),
        "by default": lambda: handed(),
        "ends": lambda: [ends(eos_id, prompts_of(4, 3)) for eos_id in range(VOCAB)],
        "end in the prompt": lambda: [ends(eos_id, prompts_of(1, 4)) for eos_id in prompts_of(1, 4)[0].tolist()],
        "no end": lambda: ends(None, prompts_of(4, 3)),
        "meanwhile": meanwhile,
        "afterwards": lambda: [afterwards(fails, whole) for fails in (None, 2) for whole in (True, False)],
        "without gradients": lambda: afterwards(None, True, recording=False),
        "counts": lambda: [
            told(lambda c=c: reading(*c)[0], *named)
            for c, named in (
                ((-2, 4), ("max_new_tokens", -2)), ((2, 0), ("context_length", 0)), ((2, -3), ("context_length", -3))
            )
        ],
        "no prompt": lambda: told(lambda: kata.generate(Reader(), prompts_of(2, 0), 3, 4), (2, 0)),
    }  # fmt: skip


@clause("greedy")
def test_of_equal_logits_the_lowest_id_is_taken():
    logits = torch.tensor([[1.0, 3.0, 3.0, 3.0], [2.0, 2.0, 2.0, 2.0], [0.0, -1.0, 0.0, 0.0]])
    seen = sample_next_token(logits, temperature=0)
    same(seen.tolist(), [1, 0, 0], f"the ids of the greatest logits of {logits.tolist()}, where several are equal")


@clause("greedy")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_temperature_zero_takes_the_greatest(batch, vocab_size, seed):
    logits = numbers(batch, vocab_size, seed=seed)
    seen = sample_next_token(logits, temperature=0.0)
    because = "at temperature 0 there is no chance: the greatest logit of each line"
    close(seen, torch.tensor([max(range(vocab_size), key=row.__getitem__) for row in logits.tolist()]), because)


@clause("greedy")
def test_the_greatest_needs_no_random_number():
    generator, before = seeded(), tosses()
    seen = sample_next_token(4 * numbers(9, 5), temperature=0.0, top_k=3, top_p=0.9, generator=generator)
    close(seen, (4 * numbers(9, 5)).argmax(dim=-1), "at temperature 0, with top_k and top_p")
    used_up = not torch.equal(generator.get_state(), seeded().get_state()) or tosses() != before
    assert not used_up, "temperature 0 leaves nothing to chance, and yet a random number was drawn"


@clause("softmax")
def test_a_quarter_and_three():
    fair(drawn(torch.tensor([0.0, LN3])), (0.25, 0.75), "logits 0 and ln 3 have softmax probabilities of 1/4 and 3/4")


@clause("softmax")
@pytest.mark.parametrize("shift", [-50.0, 0.0, 50.0])
def test_ids_are_drawn_with_their_softmax_probabilities(shift):
    logits = 2 * numbers(6) + shift
    fair(drawn(logits), logits.double().softmax(dim=0).tolist(), f"the softmax of {logits.tolist()}")


@clause("temperature")
@pytest.mark.parametrize("temperature", [0.25, 0.5, 2, 5.0, 1e4])
def test_logits_are_divided_by_the_temperature(temperature):
    logits = 2 * numbers(6)
    expected = (logits.double() / temperature).softmax(dim=0).tolist()
    fair(drawn(logits, temperature=temperature), expected, f"temperature {temperature}: low is sharp, high is flat")


@clause("lines")
@pytest.mark.parametrize("temperature", [0.0, 0.001])
@pytest.mark.parametrize("axes", [(), (1,), (4,), (2, 3), (2, 1, 3)])
def test_the_result_has_the_axes_before_the_vocabulary(axes, temperature):
    logits = 9 * numbers(*axes, 5)
    seen = sample_next_token(logits, temperature)
    close(seen, logits.argmax(dim=-1), f"logits {(*axes, 5)}, and temperature {temperature} leaves nothing to chance")


@clause("lines")
def test_each_line_has_its_own_probabilities():
    shares = [(0.7, 0.2, 0.1), (0.1, 0.1, 0.8), (0.2, 0.6, 0.2)]
    rows = torch.stack([logits_of(*row) for row in shares])
    seen = sample_next_token(rows.expand(DRAWS // 2, 3, 3), generator=seeded())  # (draws, 3)
    for line, expected in enumerate(shares):
        fair(seen[:, line], expected, f"line {line} of three with probabilities {shares}")


@clause("lines")
def test_each_line_has_its_own_draw():
    pairs = sample_next_token(torch.zeros(DRAWS, 2, 3), generator=seeded())  # (draws, 2)
    seen = 3 * pairs[:, 0] + pairs[:, 1]
    fair(seen, (1 / 9,) * 9, "nine pairs of neighbouring lines are equally likely, unless a draw serves for several")


@clause("top-k")
@pytest.mark.parametrize("case", TOP_K)
def test_the_k_greatest_can_be_drawn(case):
    shares, top_k, expected = TOP_K[case]
    fair(drawn(logits_of(*shares), top_k=top_k), expected, f"probabilities {shares} and top_k={top_k}, {case}")


@clause("top-k")
def test_each_line_has_k_of_its_own():
    logits = torch.tensor([[50.0, 40.0, 49.9, 30.0], [-0.1, -20.0, 0.0, -9.0]])
    seen = sample_next_token(logits.expand(500, 2, 4), temperature=10.0, top_k=2, generator=seeded())
    for line, row in enumerate(seen.unbind(dim=1)):
        same(sorted(set(row.tolist())), [0, 2], f"top_k=2: the ids drawn from line {line} of {logits.tolist()}")


@clause("top-p")
@pytest.mark.parametrize("case", TOP_P)
def test_as_many_as_it_takes_can_be_drawn(case):
    shares, top_p, expected = TOP_P[case]
    fair(drawn(logits_of(*shares), top_p=top_p), expected, f"probabilities {shares} and top_p={top_p}, {case}")


@clause("top-p")
def test_each_line_takes_as_many_as_it_needs():
    shares = [(0.05, 0.9, 0.05), (0.3, 0.3, 0.4)]
    rows = torch.stack([logits_of(*row) for row in shares])
    seen = sample_next_token(rows.expand(500, 2, 3), top_p=0.85, generator=seeded())
    for line, expected in enumerate([[1], [0, 1, 2]]):
        because = f"top_p=0.85: the ids drawn from line {line} of two with probabilities {shares}"
        same(sorted(set(seen[:, line].tolist())), expected, because)


@clause("kept")
@pytest.mark.parametrize("how", [{"top_k": 4}, {"top_p": 0.88}], ids=["top-k", "top-p"])
def test_what_is_left_keeps_its_proportions(how):
    shares = (0.03, 0.3, 0.05, 0.35, 0.02, 0.15, 0.1)
    expected = [share / 0.9 if share >= 0.1 else 0.0 for share in shares]
    because = f"of probabilities {shares}, {how} leaves the four greatest: 0.9, to be shared as before"
    fair(drawn(logits_of(*shares), **how), expected, because)


@clause("order")
@pytest.mark.parametrize("case", ORDERS)
def test_temperature_then_top_k_then_top_p(case):
    shares, how, expected = ORDERS[case]
    fair(drawn(logits_of(*shares), **how), expected, f"probabilities {shares} with {how}, {case}")


@clause("hidden")
@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"top_k": 9}, {"top_p": 1.0}, {"top_k": 3, "top_p": 1.0}], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 50.0])
def test_what_is_impossible_is_never_drawn(temperature, how):
    logits = torch.tensor([-INF, 0.0, -INF, -20.0, -INF])
    share = 1 / (1 + math.exp(-20 / temperature))
    because = f"logits {logits.tolist()}, temperature {temperature}, {how}"
    if temperature == 1:
        same(set(drawn(logits, times=2_000, **how).tolist()), {1}, because)
    else:
        fair(drawn(logits, temperature=temperature, **how), (0, share, 0, 1 - share, 0), because)


@clause("loud")
@pytest.mark.parametrize("top", [10_000.0, -10_000.0])
def test_far_from_zero_the_probabilities_stay(top):
    logits = torch.tensor([0.0, LN3, -INF], dtype=torch.float64) + top
    fair(drawn(logits), (0.25, 0.75, 0), f"logits {top:g} and {top:g} + ln 3: exp() of a logit so far out?")


@clause("loud")
@HALVES
def test_half_precision_is_no_smaller(dtype):
    logits = torch.tensor([10_000.0, -10_000.0, 10_000.0], dtype=dtype)
    for how in ({}, {"temperature": 0.001}, {"temperature": 0.001, "top_k": 3, "top_p": 0.99}):
        fair(drawn(logits, **how), (0.5, 0, 0.5), f"logits {logits.tolist()} in {dtype} with {how or 'temperature 1'}")


@clause("generator")
def test_the_same_generator_state_gives_the_same_ids():
    logits = 2 * numbers(200, 6)
    first = sample_next_token(logits, generator=seeded(5))
    torch.manual_seed(1)
    again, other = sample_next_token(logits, generator=seeded(5)), sample_next_token(logits, generator=seeded(6))
    same(again.tolist(), first.tolist(), "two generators with the seed 5 gave other ids: are all numbers from them?")
    assert not torch.equal(other, first), "generators with the seeds 5 and 6 gave the same 200 ids"


@clause("generator")
def test_the_next_call_goes_on():
    generator, logits = seeded(5), torch.zeros(200, 6)
    first, second = sample_next_token(logits, generator=generator), sample_next_token(logits, generator=generator)
    assert not torch.equal(first, second), "two calls with the same generator gave the same 200 ids: was it set back?"


@clause("generator")
def test_a_generator_leaves_the_global_state_alone():
    before = tosses()
    seen = drawn(logits_of(*FOUR), times=200, top_k=3, top_p=0.9)
    assert seen.unique().numel() > 1, "200 draws gave one id only"
    for whose, mine, right in zip(("Python's random", "torch"), tosses(), before, strict=True):
        same(mine, right, f"a generator was given, and yet the next number of {whose} is another one")


@clause("global")
def test_without_a_generator_the_global_seed_decides():
    logits = torch.zeros(200, 6)
    torch.manual_seed(5)
    first, second = sample_next_token(logits), sample_next_token(logits)
    torch.manual_seed(5)
    again = sample_next_token(logits)
    same(again.tolist(), first.tolist(), "torch.manual_seed(5) was called before each of two calls: the ids differ")
    assert not torch.equal(first, second), "two calls in a row gave the same 200 ids: was something seeded within?"
    fair(torch.cat([first, second]), (1 / 6,) * 6, "six equal logits, drawn from the global state")


@clause("pure")
@pytest.mark.parametrize(
    "how", [{}, {"temperature": 2.0}, {"top_k": 2}, {"top_p": 0.5}, {"temperature": 0.0}, {"top_k": 2, "top_p": 0.5}]
)
def test_the_logits_stay_as_they_were(how):
    logits = 2 * numbers(3, 5, dtype=torch.float32)
    before = logits.clone()
    seen = sample_next_token(logits, **how)
    assert torch.equal(logits, before), f"with {how} logits have other numbers after the call: written in place"
    assert seen.shape == (3,), f"logits (3, 5) gave ids of shape {tuple(seen.shape)}"


@clause("settings")
@pytest.mark.parametrize(("name", "value"), SETTINGS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_settings_that_mean_nothing_are_refused(temperature, name, value):
    with refuses(ValueError, name, value):
        sample_next_token(numbers(2, 5), **{"temperature": temperature, name: value})


@clause("unfit")
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("found", UNFIT)
def test_logits_that_mean_nothing_are_refused(found, temperature):
    with refuses(ValueError, found):
        sample_next_token(torch.tensor(UNFIT[found]), temperature, top_k=2, top_p=0.9)


@clause("prompt")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 5))
def test_the_prompt_comes_first_and_the_new_tokens_after_it(batch, tokens, more):
    prompts = prompts_of(batch, tokens)
    before = prompts.clone()
    seen = generate(Reader(), prompts, more, 9)
    close(seen[:, :tokens], before, f"{tokens} tokens of a prompt: they come first, and as they were")
    same(tuple(seen.shape), (batch, tokens + more), f"{more} new tokens after a prompt {(batch, tokens)}")
    assert torch.equal(prompts, before), "token_ids have other numbers after the call"


@clause("context")
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 99))
def test_the_last_tokens_decide_and_no_others(batch, tokens, more, context_length, seed):
    prompts, model = prompts_of(batch, tokens, seed=seed), Reader()
    seen = generate(model, prompts, more, context_length)
    because = f"a model that reads all it is given, {tokens} tokens of a prompt, context_length {context_length}"
    close(seen, torch.tensor(by_hand(prompts.tolist(), more, context_length)), because)
    widths = [width for width, *_ in model.seen]
    same(widths, [min(tokens + new, context_length) for new in range(more)], f"tokens at each call: {because}")


@clause("chosen")
def test_by_default_the_greatest_is_taken():
    before = tosses()
    prompts = prompts_of(40, 3)
    seen = generate(Constant(logits_of(*FOUR)), prompts, 2, 4)[:, 3:]
    same(set(seen.flatten().tolist()), {1}, f"no temperature was given: of probabilities {FOUR} the greatest is at 1")
    same(tosses(), before, "no temperature was given, and yet random numbers were drawn")


@clause("chosen")
@pytest.mark.parametrize("case", ["temperature", "top_k", "top_p", "all"])
def test_the_settings_are_handed_on(case):
    how, expected = {
        "temperature": ({"temperature": 2.0}, [share**0.5 / 1.9436 for share in FOUR]),
        "top_k": ({"temperature": 1.0, "top_k": 2}, (0, 4 / 7, 0, 3 / 7)),
        "top_p": ({"temperature": 1.0, "top_p": 0.71}, (2 / 9, 4 / 9, 0, 3 / 9)),
        "all": ({"temperature": 0.5, "top_k": 3, "top_p": 0.8}, (0, 16 / 25, 0, 9 / 25)),
    }[case]
    prompts = torch.zeros(DRAWS // 2, 1, dtype=torch.int64)
    seen = generate(Constant(logits_of(*FOUR)), prompts, 2, 4, generator=seeded(), **how)[:, 1:]
    fair(seen, expected, f"two new tokens each, with {how}, for logits with probabilities {FOUR}")


@clause("chosen")
def test_the_generator_is_handed_on():
    model, prompts, before = Constant(torch.zeros(6)), torch.zeros(50, 1, dtype=torch.int64), tosses()
    first, again = (generate(model, prompts, 3, 4, temperature=1.0, generator=seeded(5)) for _ in range(2))
    same(again.tolist(), first.tolist(), "two generators with the seed 5: other tokens were drawn")
    same(tosses(), before, "a generator was given, and yet a global random state moved")
    assert not torch.equal(first[:, 1], first[:, 2]), "each step drew the same as the one before: was a seed set again?"


@clause("end")
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 8), st.integers(0, VOCAB - 1), st.integers(0, 99))
def test_each_row_stops_at_its_own_end(batch, tokens, more, eos_id, seed):
    prompts, model = prompts_of(batch, tokens, seed=seed), Reader()
    expected = by_hand(prompts.tolist(), more, 5, eos_id)
    because = f"eos_id is {eos_id}, and greedily alone the rows go {by_hand(prompts.tolist(), more, 5)}"
    close(generate(model, prompts, more, 5, eos_id=eos_id), torch.tensor(expected).reshape(batch, -1), because)
    same(len(model.seen), len(expected[0]) - tokens, f"calls of the model: {because}")


@clause("end")
def test_an_end_in_the_prompt_ends_nothing():
    prompts = torch.tensor([[2, 2, 2], [4, 4, 2]])
    expected = by_hand(prompts.tolist(), 3, 4, eos_id=2)
    assert len(expected[0]) == 6
    close(generate(Reader(), prompts, 3, 4, eos_id=2), torch.tensor(expected), "eos_id is 2, and the prompts hold it")


@clause("end")
def test_without_an_eos_id_nothing_ends():
    for token in range(VOCAB):
        model = Constant(9.0 * torch.eye(VOCAB)[token])
        seen = generate(model, torch.tensor([[1], [2]]), 3, 4)
        close(seen[:, 1:], torch.full((2, 3), token), f"eos_id was not given, and {token} is drawn three times")


@clause("quiet")
def test_meanwhile_nothing_drops_and_nothing_is_recorded():
    model = mixed(Reader())
    generate(model, prompts_of(2, 3), 4, 5)
    assert model.seen, "the model was not called"
    _, training, recording = (any(found) for found in zip(*model.seen, strict=True))
    assert not training, "while it works, a part of the model is in training mode: its dropout drops"
    assert not recording, "while it works, gradients are recorded, which takes time and memory for nothing"


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
@pytest.mark.parametrize("whole", [True, False])
def test_every_part_gets_its_mode_back(whole, fails):
    model = mixed(Reader(fails=fails), whole)
    before = modes(model)
    written(model)
    changed = [f"{name} ({mode} before)" for name, mode in modes(model).items() if mode != before[name]]
    assert not changed, f"another training mode than before: {', '.join(changed)}"
    same(len(model.seen), fails or 4, "calls of the model, for 4 new tokens")


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
@pytest.mark.parametrize("recording", [True, False])
def test_gradients_are_recorded_as_before(recording, fails):
    model = Reader(fails=fails)
    try:
        with torch.set_grad_enabled(recording):
            written(model)
            now = torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    same(now, recording, "whether gradients are recorded after generation")


@clause("counts")
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("max_new_tokens", (-1, 4)), ("max_new_tokens", (-7, 4)), ("context_length", (3, 0)), ("context_length", (3, -2))],
)
def test_lengths_that_mean_nothing_are_refused(name, sizes):
    with refuses(ValueError, name, min(sizes)):
        generate(Reader(), prompts_of(2, 3), *sizes)


@clause("counts")
@pytest.mark.parametrize("more", [0, 3])
def test_a_prompt_of_no_tokens_is_refused(more):
    with refuses(ValueError, (2, 0)):
        generate(Reader(), prompts_of(2, 0), more, 4)
