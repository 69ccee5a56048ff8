"""The loss, clause by clause. The why: docs/pretraining/loss.md."""

import contextlib
import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from katas.pretraining.loss import batch_loss, cross_entropy, mean_loss, perplexity
from tests.support import clause, close, numbers, refuses, same, toy_model

LN3, INF = math.log(3), math.inf
VOCAB = 11  # of the toy model
VIEWS = {
    "transposed": lambda: numbers(3, 7, 4).mT,
    "every other logit": lambda: numbers(3, 4, 14)[..., ::2],
    "one line twelve times": lambda: numbers(7).expand(3, 4, -1),
}


@st.composite
def cases(draw):
    """Hypothesis draws the axes, none too, and the seed, which deals logits and targets; none is ignored."""
    axes = draw(st.lists(st.integers(1, 4), max_size=3).map(tuple), label="axes")
    vocab_size, seed = draw(st.integers(1, 7), label="vocab_size"), draw(st.integers(0, 99), label="seed")
    return 4 * numbers(*axes, vocab_size, seed=seed, dtype=torch.float64), ids(*axes, below=vocab_size, seed=seed)


def ids(*shape, below=VOCAB, seed=0):
    """Ids of a vocabulary, the same everywhere."""
    return ((numbers(*shape, seed=f"ids {seed}", dtype=torch.float64) + 1) / 2 * below).long().clamp(max=below - 1)


def lines(*of):
    return torch.tensor(of)


def gradient(loss_of, logits, targets, **how):
    """The gradient that a loss sends to the logits."""
    leaf = logits.clone().requires_grad_()
    loss = loss_of(leaf, targets, **how)
    assert loss.requires_grad, "no gradient flows back from the loss: it was detached, or made of plain numbers"
    (found,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    assert found is not None, "no gradient reaches the logits: something on the way was detached"
    return found


def uneven(ignored=True):
    """Batches of different sizes, some with ignored targets, one with nothing else."""
    batches = [(ids(rows, 5, seed=rows), ids(rows, 5, seed=f"targets {rows}")) for rows in (3, 1, 2)]
    if ignored:
        batches[0][1][:, :4] = -100
        batches[1][1][:] = -100
    return batches


def as_one(model, batches):
    """The loss of all batches, computed as that of one."""
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with torch.no_grad():
        return functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item()


class Counted:
    """Batches that can only be gone through, and that know how many were taken."""

    def __init__(self, batches):
        self.batches, self.taken = batches, 0

    def __iter__(self):
        for batch in self.batches:
            self.taken += 1
            yield batch


class Luggage(torch.Tensor):
    """Ids that write down where they are sent, and stay where they are."""

    def to(self, *where, **more):
        device = more.get("device", where[0] if where else None)
        if not isinstance(device, str | torch.device):  # to another dtype
            return super().to(*where, **more)
        self.sent.append(torch.device(device).type)
        return self.as_subclass(torch.Tensor)


def luggage(tokens, sent):
    found = tokens.as_subclass(Luggage)
    found.sent = sent
    return found


class Table(torch.nn.Module):
    """Logits by id. Its first parameter is on another device, the numbers that it uses are a plain tensor."""

    def __init__(self, device=None):
        super().__init__()
        if device:
            self.first = torch.nn.Parameter(torch.zeros(1, device=device))
            self.second = torch.nn.Parameter(torch.zeros(1))
        self.table = 3 * numbers(VOCAB, VOCAB, seed="table")

    def forward(self, token_ids):
        return self.table[token_ids]


class Witness(torch.nn.Module):
    """A toy with dropout that writes down, at each call, what mode it is in; with `fails`, it breaks at that call."""

    def __init__(self, fails=None):
        super().__init__()
        self.toy, self.fails, self.seen = toy_model(VOCAB, dropout=0.5), fails, []

    def forward(self, token_ids):
        self.seen.append((any(part.training for part in self.modules()), torch.is_grad_enabled()))
        if len(self.seen) == self.fails:
            raise RuntimeError("the model broke")
        return self.toy(token_ids)


def mixed(model):
    """The model with its parts in different modes: itself training, the middle of its toy not."""
    model.train()
    model.toy[1].eval()
    return model


def modes(model):
    return {name or "the model": part.training for name, part in model.named_modules()}


def restless(batches):
    """Batches on whose way numbers are drawn from both global random states, as by a loader that shuffles."""
    for batch in batches:
        random.random()
        torch.rand(3)
        yield batch


def tosses():
    """What both global random states would give next, without a change of either."""
    python, torchs = random.getstate(), torch.get_rng_state()
    found = random.random(), torch.rand(1).item()
    random.setstate(python)
    torch.set_rng_state(torchs)
    return found


def evaluated(model):
    """Let mean_loss run through, or break where the model does."""
    try:
        mean_loss(model, restless(uneven(ignored=False)))
    except RuntimeError as error:
        if model.fails is None or str(error) != "the model broke":
            raise
    else:
        assert not model.fails, "the model broke, and its error did not come through"


def probe(kata):
    """Small cases on which the known mistakes differ: no two sizes are equal, and no number is zero."""
    logits, targets = 4 * numbers(2, 3, 5), ids(2, 3, below=5)
    some, first, gone = targets.clone(), targets.clone(), torch.full_like(targets, -100)
    some[0, 1:], first[1, 2] = -100, 3
    loss = kata.cross_entropy

    def told(function, *values):
        try:
            seen = function()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]
        return seen

    def precision():
        seen = loss(logits.double(), targets)
        exact = functional.cross_entropy(logits.double().flatten(0, 1), targets.flatten())
        return str(seen.dtype), [abs(seen.item() - exact.item()) < bar for bar in (1e-4, 1e-6, 1e-12)]

    def changed():
        mine, theirs = logits.clone(), some.clone()
        loss(mine, theirs)
        return mine, theirs

    def learned(model):
        seen = kata.batch_loss(model, ids(2, 4), ids(2, 4, seed=1))
        seen.backward()
        return seen, [parameter.grad for parameter in model.parameters()]

    def calls():
        model = mixed(Witness())
        kata.batch_loss(model, ids(2, 4), ids(2, 4, seed=1))
        return model.seen, modes(model)

    def sent(device):
        journeys = [], []
        bags = [luggage(ids(2, 4, seed=seed), journey) for seed, journey in enumerate(journeys)]
        kata.batch_loss(Table(device), *bags)
        return journeys

    def taken(number):
        loader = Counted(uneven(ignored=False))
        return kata.mean_loss(toy_model(VOCAB), loader, number), loader.taken

    def meanwhile(model):
        kata.mean_loss(model, uneven())
        return model.seen

    def kept():
        model = toy_model(VOCAB)
        kata.batch_loss(model, ids(2, 4), ids(2, 4, seed=1)).backward()
        kata.mean_loss(model, uneven())
        return [parameter.grad for parameter in model.parameters()], torch.is_grad_enabled()

    def afterwards(fails, whole, recording=True):
        model, broke = mixed(Witness(fails=fails)), ""
        model.training = whole
        try:
            with torch.set_grad_enabled(recording):
                try:
                    kata.mean_loss(model, restless(uneven(ignored=False)))
                except RuntimeError as error:
                    broke = str(error)
                return broke, modes(model), torch.is_grad_enabled()
        finally:
            torch.set_grad_enabled(True)

    def next_tosses(fails):
        model = Witness(fails=fails)
        random.seed(1)
        torch.manual_seed(1)
        try:
            with contextlib.suppress(RuntimeError):
                kata.mean_loss(model, restless(uneven(ignored=False)))
        finally:
            torch.set_grad_enabled(True)
        return tosses()

    half, wide = torch.full((20_000, 3), 0.0, dtype=torch.float16), torch.zeros(20_000, dtype=torch.int64)
    half[:, 0] = -8
    loud = lines([10_000.0, 0.0, -10_000.0], [-10_000.0, -10_000.0 + LN3, -10_001.0], [0.0, 100.0, 50.0])
    hidden = lines([-INF, 0.0, LN3], [0.0, -INF, LN3])
    return {
        "example": lambda: [loss(lines(0.0, LN3), torch.tensor(target)) for target in (0, 1)],
        "numbers": lambda: loss(logits, targets),
        "one line": lambda: loss(logits[0, 0], targets[0, 0]),
        "two axes": lambda: loss(logits[0], targets[0]),
        "four axes": lambda: loss(4 * numbers(2, 3, 4, 5), ids(2, 3, 4, below=5)),
        "view": lambda: [loss(VIEWS[view](), ids(3, 4, below=7)) for view in VIEWS],
        "cube": lambda: loss(4 * numbers(3, 3, 3), ids(3, 3, below=3)),
        "apart": lambda: loss(lines([80.0, 81.0], [-80.0, -82.0]), torch.tensor([0, 1])),
        "ignored": lambda: loss(logits, some),
        "ignored others": lambda: [
            told(lambda at=at: loss(logits, first.where(first != 3, at), ignore_index=at)) for at in (3, -1)
        ],
        "ignored nan": lambda: loss(logits.where((some != -100)[..., None], math.nan), some),
        "ignored inf": lambda: loss(lines([0.0, LN3], [-INF, LN3]), torch.tensor([0, -100])),
        "nothing": lambda: loss(logits, gone),
        "no targets": lambda: loss(logits[:0], targets[:0]),
        "loud": lambda: [loss(line, torch.tensor(target)) for line in loud for target in range(3)],
        "loud together": lambda: loss(loud, torch.tensor([1, 0, 1])),
        "hidden": lambda: [loss(line, torch.tensor(target)) for line in hidden for target in range(3)],
        "gradients": lambda: gradient(loss, logits, targets),
        "gradients ignored": lambda: gradient(loss, logits, some),
        "gradients hidden": lambda: gradient(loss, hidden, torch.tensor([1, 0])),
        "float64": precision,
        "float16": lambda: str(loss(half[:9], wide[:9]).dtype),
        "large vocabulary": lambda: loss(torch.zeros(100_000, dtype=torch.float16), torch.tensor(7)),
        "many": lambda: [loss(half, wide), loss(half[:9], wide[:9])],
        "changed": changed,
        "shapes": lambda: told(lambda: loss(logits, targets.mT), (2, 3, 5), (3, 2)),
        "shapes that spread": lambda: told(lambda: loss(logits, targets[:1]), (2, 3, 5), (1, 3)),
        "range": lambda: [told(lambda at=at: loss(logits, targets.fill_diagonal_(at)), at, 5) for at in (5, 6, -1)],
        "ignored that are no tokens": lambda: [
            told(lambda at=at: loss(logits, targets.clone().fill_diagonal_(at), ignore_index=at)) for at in (9, -7, -1)
        ],
        "perplexity": lambda: [kata.perplexity(0.5), kata.perplexity(torch.tensor(0.5))],
        "perplexity derived": lambda: gradient(lambda leaf, _: kata.perplexity(leaf), torch.tensor(0.5), None),
        "overflow": lambda: [kata.perplexity(1_000.0), kata.perplexity(INF), kata.perplexity(700.0)],
        "overflow beside": lambda: [kata.perplexity(-1_000.0), kata.perplexity(torch.tensor(1_000.0))],
        "batch": lambda: learned(toy_model(VOCAB)),
        "calls": calls,
        "sent": lambda: sent("meta"),
        "nowhere to go": lambda: sent(None),
        "weighted": lambda: kata.mean_loss(toy_model(VOCAB), uneven()),
        "equal": lambda: kata.mean_loss(toy_model(VOCAB), uneven(ignored=False)),
        "first": lambda: [taken(number) for number in (1, 2, 3, None)],
        "more": lambda: taken(7),
        "none": lambda: taken(0),
        "empty": lambda: kata.mean_loss(toy_model(VOCAB), []),
        "only ignored": lambda: kata.mean_loss(toy_model(VOCAB), uneven()[1:2]),
        "meanwhile": lambda: meanwhile(mixed(Witness())),
        "kept": kept,
        "afterwards": lambda: [afterwards(None, whole) for whole in (True, False)],
        "after an error": lambda: [afterwards(fails, whole) for fails in (None, 2) for whole in (True, False)],
        "without gradients": lambda: afterwards(None, True, recording=False),
        "random afterwards": lambda: next_tosses(None),
        "random after an error": lambda: [next_tosses(fails) for fails in (None, 2)],
    }


@clause("example")
@pytest.mark.parametrize(("target", "cost"), [(0, math.log(4)), (1, math.log(4) - LN3)])
def test_a_quarter_costs_ln_four_and_three_quarters_less(target, cost):
    seen = cross_entropy(lines(0.0, LN3), torch.tensor(target))
    because = f"target {target} has the probability {math.exp(-cost):.2f}, whose natural logarithm is {-cost:.4f}"
    close(seen, torch.tensor(cost), because)


@clause("uniform")
@pytest.mark.parametrize("vocab_size", [1, 2, 1_000, 50_257])
def test_without_a_preference_every_token_costs_the_logarithm_of_their_number(vocab_size):
    seen = cross_entropy(torch.full((2, vocab_size), 0.7), torch.tensor([0, vocab_size - 1]))
    because = f"{vocab_size} tokens that are equally likely have a probability of 1/{vocab_size} each"
    close(seen, torch.tensor(math.log(vocab_size)), because)


@clause("agrees")
@given(cases())
def test_agrees_with_torch(case):
    logits, targets = case
    expected = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    because = f"PyTorch's own gives this for logits {tuple(logits.shape)}: the mean of -ln p over all targets"
    close(cross_entropy(logits, targets), expected, because)


@clause("agrees")
def test_a_line_far_below_another_costs_what_it_would_alone():
    logits = lines([90.0, 90.0 + LN3], [-90.0, -90.0 + LN3])
    because = "both lines are 1/4 and 3/4, 180 apart: was the second lowered by the greatest logit of the first?"
    close(cross_entropy(logits, torch.tensor([0, 0])), torch.tensor(math.log(4)), because)


@clause("agrees")
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_as_good_as_a_copy(view):
    logits, targets = VIEWS[view](), ids(4, 3, below=7).mT
    expected = functional.cross_entropy(logits.reshape(-1, 7), targets.reshape(-1))
    close(cross_entropy(logits, targets), expected, f"logits and targets are views, {view}: they do not lie in a row")


@clause("ignored")
@given(cases(), st.sampled_from([-100, -1, 0, 999]), st.data())
def test_an_ignored_target_is_as_good_as_none(case, ignore_index, data):
    logits, targets = case
    logits = torch.stack([logits, logits + numbers(logits.shape[-1], dtype=torch.float64)])
    places = data.draw(st.lists(st.booleans(), min_size=targets.numel(), max_size=targets.numel()), label="ignored")
    second = targets.where(~torch.tensor(places).reshape(targets.shape), ignore_index)
    targets = torch.stack([targets.where(targets != ignore_index, logits.shape[-1] - 1), second])
    stay = targets != ignore_index
    if not stay.any():
        return
    expected = functional.cross_entropy(logits[stay], targets[stay])
    because = f"{int((~stay).sum())} of {stay.numel()} targets are {ignore_index}, to be ignored, and should not count"
    close(cross_entropy(logits, targets, ignore_index=ignore_index), expected, because)


@clause("ignored")
def test_minus_one_hundred_is_ignored_unless_another_is_named():
    logits, targets = lines([0.0, LN3], [0.0, LN3]), torch.tensor([0, -100])
    because = "one target is 0, which costs ln 4, and one is -100, the default of ignore_index"
    close(cross_entropy(logits, targets), torch.tensor(math.log(4)), because)


@clause("ignored")
@pytest.mark.parametrize("at", [math.nan, INF, -INF])
def test_what_stands_at_an_ignored_target_does_not_matter(at):
    logits = lines([0.0, LN3], [at, LN3], [at, at])
    seen = cross_entropy(logits, torch.tensor([0, -100, -100]))
    because = f"the ignored targets have logits of {at}: nan and inf do not vanish when they are multiplied by 0"
    close(seen, torch.tensor(math.log(4)), because)


@clause("nothing")
@pytest.mark.parametrize("shape", [(), (2, 3), (0,), (2, 0)])
def test_nothing_that_counts_is_nan(shape):
    seen = cross_entropy(torch.zeros(*shape, 5), torch.full(shape, -100))
    because = f"targets of shape {shape} are all -100, so the mean is one of nothing: nan, and neither 0 nor an error"
    close(seen, torch.tensor(math.nan), because, equal_nan=True)


@clause("stable")
@pytest.mark.parametrize("far", [10_000, -10_000])
def test_far_from_zero_the_loss_stays(far):
    logits = torch.tensor([0.0, LN3], dtype=torch.float64) + far
    because = f"logits {far} and {far} + ln 3 are 1/4 and 3/4: exp() of a logit so far out?"
    close(cross_entropy(logits, torch.tensor(0)), torch.tensor(math.log(4), dtype=torch.float64), because)


@clause("stable")
@pytest.mark.parametrize(("target", "cost"), [(0, 0.0), (1, 10_000.0), (2, 20_000.0)])
def test_far_from_each_other_a_wrong_target_costs_the_distance(target, cost):
    seen = cross_entropy(lines([10_000.0, 0.0, -10_000.0]), torch.tensor([target]))
    because = f"of logits 10 000, 0, -10 000 the target is the one at {target}, {cost:g} below the greatest"
    close(seen, torch.tensor(cost), f"{because}: its probability is no number of a float, its logarithm is one")


@clause("stable")
def test_an_impossible_token_changes_nothing_for_the_others():
    logits = lines([-INF, 0.0, LN3], [LN3, -INF, 0.0])
    because = "beside a logit of -inf the others share as if it were not there, 1/4 and 3/4, and the targets are 1/4"
    close(cross_entropy(logits, torch.tensor([1, 2])), torch.tensor(math.log(4)), because)


@clause("stable")
def test_an_impossible_target_costs_infinity():
    seen = cross_entropy(lines([-INF, 0.0, LN3], [0.0, 0.0, 0.0]), torch.tensor([0, 0]))
    close(seen, torch.tensor(INF), "a target of probability 0 came, and nothing is more surprising than that")


@clause("gradients")
@given(cases(), st.booleans())
def test_gradients_are_those_of_torch(case, ignoring):
    logits, targets = case
    if ignoring and targets.numel() > 1:
        targets = targets.flatten()
        targets[0], targets = -100, targets.reshape(case[1].shape)

    def exact(logits, targets):
        return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    because = "PyTorch's own loss sends other gradients to the logits: each line gets (p - 1 at the target) / number"
    close(gradient(cross_entropy, logits, targets), gradient(exact, logits, targets), because)


@clause("gradients")
def test_gradients_beside_an_impossible_token_are_finite():
    logits, targets = lines([-INF, 0.0, LN3], [10_000.0, -10_000.0, 0.0]), torch.tensor([1, 1])
    seen = gradient(cross_entropy, logits, targets)
    because = f"beside a logit of -inf, and 20 000 below another, the gradients are {seen.tolist()}"
    close(seen, lines([0.0, -0.375, 0.375], [0.5, -0.5, 0.0]), because)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_is_kept(dtype):
    logits, targets = (4 * numbers(6, 5)).to(dtype), ids(6, below=5)
    expected = functional.cross_entropy(logits.double(), targets).to(dtype)
    close(cross_entropy(logits, targets), expected, f"logits of {dtype} went in; is there another dtype on the way?")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_mean_of_many_fits_where_their_sum_does_not(dtype):
    logits = torch.tensor([-8.0, 0.0, 0.0], dtype=dtype).expand(20_000, -1)
    expected = functional.cross_entropy(logits[:1].double(), torch.tensor([0])).to(dtype)
    because = "20 000 targets cost 8.7 each: the sum, 174 000, is more than a float16 holds, and the mean is not"
    close(cross_entropy(logits, torch.zeros(20_000, dtype=torch.int64)), expected, because)


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_a_vocabulary_may_be_larger_than_a_float16(dtype):
    seen = cross_entropy(torch.zeros(2, 100_000, dtype=dtype), torch.tensor([0, 99_999]))
    because = "100 000 equal logits cost ln 100 000: were their powers, 1 each, summed up in half precision?"
    close(seen, torch.tensor(math.log(100_000), dtype=dtype), because)


@clause("pure")
def test_a_call_leaves_logits_and_targets_alone():
    logits, targets = numbers(2, 3, 5), torch.tensor([[0, -100, 4], [1, 2, -100]])
    before = logits.clone(), targets.clone()
    seen = cross_entropy(logits, targets)
    assert torch.equal(logits, before[0]), "logits have other numbers after the call: written in place"
    assert torch.equal(targets, before[1]), f"targets were {before[1].tolist()} and are {targets.tolist()} now"
    expected = functional.cross_entropy(before[0].flatten(0, 1), before[1].flatten())
    close(seen, expected, "logits and targets were left alone, but the loss is not the one it should be")


@clause("shapes")
@pytest.mark.parametrize(
    ("logits", "targets"),
    [((2, 3, 5), (3, 2)), ((2, 3, 5), (6,)), ((2, 3, 5), (1, 3)), ((2, 3, 5), (2,)), ((6, 5), (2, 3)), ((5,), (1,))],
)
def test_targets_of_another_shape_are_refused(logits, targets):
    with refuses(ValueError, logits, targets):
        cross_entropy(torch.zeros(logits), torch.zeros(targets, dtype=torch.int64))


@clause("range")
@pytest.mark.parametrize("target", [5, 77, -1, -99, -101])
def test_a_target_that_is_no_token_is_refused(target):
    with refuses(ValueError, target, 5):
        cross_entropy(torch.zeros(2, 3, 5), torch.tensor([[0, 4, -100], [3, target, 1]]))


@clause("range")
@pytest.mark.parametrize("ignore_index", [5, 77, -1, -101])
def test_an_ignored_target_need_not_be_a_token(ignore_index):
    targets = torch.tensor([0, ignore_index, 4])
    because = f"ignore_index is {ignore_index}: such a target is no token, and is not to be refused either"
    close(cross_entropy(torch.zeros(3, 5), targets, ignore_index=ignore_index), torch.tensor(math.log(5)), because)


@clause("choices")
@given(st.integers(1, 60_000))
def test_a_loss_of_ln_n_is_a_choice_among_n(number):
    seen, because = perplexity(math.log(number)), f"the loss is ln {number}, that of a choice among {number} equals"
    assert isinstance(seen, float), f"{because}: a float went in, and a {type(seen).__name__} came back"
    close(torch.tensor(seen, dtype=torch.float64), torch.tensor(float(number), dtype=torch.float64), because)


@clause("choices")
def test_a_tensor_gives_a_tensor_with_its_gradient():
    loss = torch.tensor(math.log(8), requires_grad=True)
    seen = perplexity(loss)
    close(seen, torch.tensor(8.0), "the loss is ln 8, in a tensor")
    assert seen.requires_grad, "a tensor with a gradient went in, and none flows back from the perplexity"
    seen.backward()
    close(loss.grad, torch.tensor(8.0), "exp is its own derivative: the gradient of the loss is the perplexity")


@clause("overflow")
@pytest.mark.parametrize("loss", [710.0, 1_000.0, 1e300, INF])
def test_a_huge_loss_is_an_infinite_perplexity(loss):
    same(perplexity(loss), INF, f"exp({loss:g}) is more than any float")


@clause("overflow")
def test_a_great_loss_that_fits_is_told_exactly():
    same(perplexity(700.0), math.exp(700), "exp(700) is about 1e304, which a float can hold")


@clause("batch")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_it_is_the_loss_of_what_the_model_gives(batch, tokens, seed):
    model, inputs, targets = toy_model(VOCAB), ids(batch, tokens, seed=seed), ids(batch, tokens, seed=seed + 100)
    expected = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    seen = batch_loss(model, inputs, targets)
    close(seen, expected, f"inputs and targets are ({batch}, {tokens}), the vocabulary has {VOCAB} tokens")
    assert seen.requires_grad, "no gradient flows back from the loss, and nothing can be learned from it"
    found = torch.autograd.grad(seen, list(model.parameters()))
    for (name, _), mine, right in zip(
        model.named_parameters(), found, torch.autograd.grad(expected, list(model.parameters())), strict=True
    ):
        close(mine, right, f"the gradient of {name} is another one")


@clause("batch")
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_called_once_in_its_own_mode(training):
    model = Witness().train(training)
    batch_loss(model, ids(2, 3), ids(2, 3))
    same(len(model.seen), 1, "calls of the model for one batch: with dropout, every call is another one")
    same(model.seen[0][0], training, "whether the model is in training mode during the call: that is the caller's wish")
    same(model.training, training, "whether the model is in training mode after the call")


@clause("device")
def test_inputs_and_targets_go_where_the_model_is():
    sent = {"inputs": [], "targets": []}
    inputs, targets = luggage(ids(2, 3), sent["inputs"]), luggage(ids(2, 3, seed=1), sent["targets"])
    batch_loss(Table(device="meta"), inputs, targets)
    for name, journey in sent.items():
        because = f"the model's first parameter is on the device meta, and {name} went to {journey or 'no device'}"
        assert set(journey) == {"meta"}, because


@clause("device")
def test_a_model_without_parameters_is_fine():
    model, inputs, targets = Table(), ids(2, 3), ids(2, 3, seed=1)
    expected = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    close(batch_loss(model, inputs, targets), expected, "the model has no parameters, and so no device")


@clause("weighted")
def test_batches_are_as_good_as_one():
    model, batches = toy_model(VOCAB), uneven()
    counts = [int((targets != -100).sum()) for _, targets in batches]
    seen = mean_loss(model, batches)
    because = f"batches with {counts} targets that count are not {len(counts)} equal parts: weigh the tokens"
    assert isinstance(seen, float), f"a {type(seen).__name__} came back, and no float"
    close(torch.tensor(seen), torch.tensor(as_one(model, batches)), because)


@clause("weighted")
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_how_tokens_are_dealt_into_batches_does_not_matter(sizes, data):
    model, batches = toy_model(VOCAB), []
    for number, rows in enumerate(sizes):
        inputs, targets = ids(rows, 3, seed=number), ids(rows, 3, seed=f"targets {number}")
        targets[0, : data.draw(st.integers(0, 2), label="ignored")] = -100
        batches.append((inputs, targets))
    because = f"batches of {sizes} rows, against all of them as one batch"
    close(torch.tensor(mean_loss(model, batches)), torch.tensor(as_one(model, batches)), because)


@clause("first")
@pytest.mark.parametrize("number", [1, 2, 3, 4, 9, None])
def test_only_the_first_batches_are_taken(number):
    model, batches = toy_model(VOCAB), uneven(ignored=False)
    loader, expected = Counted(batches), batches[:number]
    seen = mean_loss(model, loader, number)
    because = f"num_batches is {number}, and the loader has 3 batches"
    close(torch.tensor(seen), torch.tensor(as_one(model, expected)), because)
    same(loader.taken, len(expected), f"{because}: this many were taken from it")


@clause("first")
def test_a_data_loader_is_read_to_its_end():
    model, tokens = toy_model(VOCAB), ids(7, 4)
    windows = torch.utils.data.TensorDataset(tokens, ids(7, 4, seed=1))
    seen = mean_loss(model, torch.utils.data.DataLoader(windows, batch_size=3))
    close(torch.tensor(seen), torch.tensor(as_one(model, [windows.tensors])), "7 windows, in batches of 3, 3 and 1")


@clause("empty")
@pytest.mark.parametrize("case", ["an empty loader", "num_batches 0", "only ignored targets"])
def test_nothing_that_counts_is_no_mean(case):
    loader = Counted({"an empty loader": [], "only ignored targets": uneven()[1:2]}.get(case, uneven()))
    seen = mean_loss(toy_model(VOCAB), loader, 0 if case == "num_batches 0" else None)
    assert isinstance(seen, float), f"{case}: a {type(seen).__name__} came back, and no float"
    assert math.isnan(seen), f"{case}: there is nothing to take the mean of, expected nan, seen {seen:g}"
    same(loader.taken, 1 if case == "only ignored targets" else 0, f"{case}: this many batches were taken")


@clause("empty")
def test_a_batch_without_a_target_spoils_no_other():
    model, batches = toy_model(VOCAB), uneven()
    seen, expected = mean_loss(model, batches[:2]), as_one(model, batches[:1])
    because = f"the second of two batches has only ignored targets, seen {seen:g}: nan times 0 is nan"
    close(torch.tensor(seen), torch.tensor(expected), because)


@clause("quiet")
def test_meanwhile_nothing_drops_and_nothing_is_recorded():
    model, batches = mixed(Witness()), uneven(ignored=False)
    seen = mean_loss(model, batches)
    training, recording = (any(found) for found in zip(*model.seen, strict=True))
    assert not training, "while it works, a part of the model is in training mode: its dropout drops"
    assert not recording, "while it works, gradients are recorded, which takes time and memory for nothing"
    expected = as_one(model.eval(), batches)
    close(torch.tensor(seen), torch.tensor(expected), "the model has dropout 0.5, and in eval mode another loss")


@clause("quiet")
def test_gradients_of_the_training_stay():
    model = toy_model(VOCAB)
    with torch.enable_grad():  # an earlier evaluation may have switched gradients off for good
        functional.cross_entropy(model(ids(9)), ids(9, seed=1)).backward()
    before = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    mean_loss(model, uneven())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} had a gradient, and has none afterwards"
        close(parameter.grad, before[name], f"{name} has another gradient after an evaluation")


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
@pytest.mark.parametrize("start", ["mixed", "eval"])
def test_every_part_gets_its_mode_back(start, fails):
    model = mixed(Witness(fails=fails)) if start == "mixed" else Witness(fails=fails).eval()
    before = modes(model)
    evaluated(model)
    changed = [f"{name} ({mode} before)" for name, mode in modes(model).items() if mode != before[name]]
    assert not changed, f"another training mode than before: {', '.join(changed)}"
    same(len(model.seen), 3 if fails is None else fails, "calls of the model, for 3 batches")


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
@pytest.mark.parametrize("recording", [True, False])
def test_gradients_are_recorded_as_before(recording, fails):
    model = Witness(fails=fails)
    try:
        with torch.set_grad_enabled(recording):
            evaluated(model)
            now = torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    same(now, recording, "whether gradients are recorded after the evaluation")


@clause("random")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
def test_the_next_random_numbers_are_what_they_would_have_been(fails):
    model = Witness(fails=fails)
    before = tosses()
    evaluated(model)
    for whose, mine, right in zip(("Python's random", "torch"), tosses(), before, strict=True):
        same(mine, right, f"the next number of {whose}: the loader drew some, and so training goes another way")


@clause("random")
def test_a_shuffling_loader_leaves_no_trace():
    windows = torch.utils.data.TensorDataset(ids(7, 4), ids(7, 4, seed=1))
    model, before = toy_model(VOCAB), tosses()
    seen = mean_loss(model, torch.utils.data.DataLoader(windows, batch_size=3, shuffle=True), 2)
    assert math.isfinite(seen), f"the loss of two batches is {seen}"
    same(tosses()[1], before[1], "the next number of torch: a loader that shuffles draws from the global state")


@clause("random")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_goes_on_as_it_would_have():
    torch.cuda.manual_seed_all(1)
    before = torch.cuda.get_rng_state()
    mean_loss(toy_model(VOCAB), (torch.rand(3, device="cuda").any() and batch for batch in uneven()))
    assert torch.equal(torch.cuda.get_rng_state(), before), "numbers were drawn on the GPU, and its state moved"
