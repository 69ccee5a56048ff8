"""Preferences, clause by clause. The why: docs/finetuning/preference.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from katas.finetuning.preference import dpo_loss, sequence_log_prob
from tests.support import clause, close, numbers, refuses, same, toy_model

LN2, LN3, INF, NAN = math.log(2), math.log(3), math.inf, math.nan
FOUR = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


class Table(nn.Module):
    """A model whose logits are its parameters, whatever it reads; it keeps what it was called with, and its mode."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits).clone())
        self.seen = []

    def forward(self, ids):
        self.seen.append((ids.tolist(), self.training, torch.is_grad_enabled()))
        return self.logits * 1.0  # no leaf, for a caller may write into it


def ids(*shape, below=11, seed="ids"):
    return (numbers(*shape, seed=seed) * below).long() % below


def masked(*shape, seed="mask"):
    return numbers(*shape, seed=seed) > 0


@st.composite
def cases(draw):
    """Logits, inputs, targets and a mask."""
    batch, tokens, vocab_size = (draw(st.integers(1, 5), label=axis) for axis in ("batch", "tokens", "vocab_size"))
    seed = draw(st.integers(0, 99), label="seed")
    logits = 4 * numbers(batch, tokens, vocab_size, seed=seed, dtype=torch.float64)
    shape = (batch, tokens)
    return logits, ids(*shape), ids(*shape, below=vocab_size, seed=seed), masked(*shape, seed=f"mask {seed}")


def by_places(logits, targets, mask):
    """The sum over the places that count, one by one; (batch)."""
    rows = []
    for row in range(len(logits)):
        total = logits[row, :0].sum()
        for place in range(logits.shape[1]):
            if mask[row, place]:
                total = total + logits[row, place].log_softmax(dim=-1)[targets[row, place]]
        rows.append(total)
    return torch.stack(rows)


def pairs(*shape, dtype=torch.float64, spread=4.0, seed=""):
    """The four log-probabilities of some pairs of answers, leaves that require gradients."""
    return [(spread * numbers(*shape, seed=f"{name}{seed}", dtype=dtype) - 5).requires_grad_() for name in FOUR]


def margins(four):
    """The margin of each pair, as a list of floats."""
    chosen, rejected, chosen_before, rejected_before = (one.tolist() for one in four)
    rows = zip(chosen, rejected, chosen_before, rejected_before, strict=True)
    return [(pc - rc) - (pr - rr) for pc, pr, rc, rr in rows]


def cost(margin, beta):
    """What one pair costs, in Python's floats."""
    z = beta * margin
    return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)


def number(value, dtype=torch.float64):
    return torch.tensor(value, dtype=dtype)


def vary(tensors, **instead):
    """Four log-probabilities with some of them replaced."""
    return [instead.get(name, one) for name, one in zip(FOUR, tensors, strict=True)]


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and which of the values it names."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def summed(shape=(3, 4), dtype=torch.float32, logits=None, **instead):
        logits = 4 * numbers(*shape, 5) if logits is None else logits
        targets = instead.get("targets", ids(*shape, below=5, seed="targets"))
        model = Table(logits.to(dtype))
        return model, kata.sequence_log_prob(model, ids(*shape), targets, instead.get("mask", masked(*shape)))

    def rows_apart():
        mask = torch.tensor([[False, True, True, False], [True, True, True, True], [False, False, False, True]])
        return summed(mask=mask)[1]

    def anything():
        mask, targets = masked(3, 4), ids(3, 4, below=5, seed="targets")
        for spoiled in (-100, -1, 5, 10**6):
            yield tried(lambda s=spoiled: summed(targets=targets.where(mask, s))[1])
        logits = (4 * numbers(3, 4, 5)).masked_fill(~mask[..., None], NAN)
        yield tried(lambda: summed(logits=logits)[1])

    def nothing():
        mask = masked(3, 4)
        mask[1] = False
        yield tried(lambda: summed(mask=mask)[1])
        yield tried(lambda: summed(mask=torch.zeros(3, 4, dtype=torch.bool))[1])

    def called():
        for training in (True, False):
            model = Table(4 * numbers(3, 4, 5)).train(training)
            kata.sequence_log_prob(model, ids(3, 4), ids(3, 4, below=5, seed="targets"), masked(3, 4))
            yield model.seen, model.training

    def gradient(logits=None):
        model, result = summed(logits=logits)
        result.square().sum().backward()
        return result, model.logits.grad

    def graph():
        model, result = summed()
        return model.seen, result.requires_grad

    def beside_nan():
        return gradient((4 * numbers(3, 4, 5)).masked_fill(~masked(3, 4)[..., None], NAN))[1]

    def loud():
        model, result = summed(logits=10_000 * numbers(3, 4, 5).sign())
        result.sum().backward()
        return result, model.logits.grad

    def long(dtype):
        seen = summed((1, 4_000), dtype)[1]
        logits = (4 * numbers(1, 4_000, 5)).to(dtype)
        exact = by_places(logits.double(), ids(1, 4_000, below=5, seed="targets"), masked(1, 4_000))
        right = [torch.allclose(seen.double(), exact, rtol=bar) for bar in (1e-3, 1e-5, 1e-9)]
        return str(seen.dtype), right, summed((40, 9), dtype)[1]

    def precise():
        seen = summed(dtype=torch.float64)[1]
        exact = by_places((4 * numbers(3, 4, 5)).double(), ids(3, 4, below=5, seed="targets"), masked(3, 4))
        return str(seen.dtype), [torch.allclose(seen.double(), exact, rtol=bar, atol=bar) for bar in (1e-5, 1e-12)]

    def kinds():
        for dtype in (torch.int64, torch.float32):
            yield tried(lambda d=dtype: summed(mask=masked(3, 4).to(d))[1])

    def changed():
        mask = masked(3, 4)
        given = [ids(3, 4), ids(3, 4, below=5, seed="targets").where(mask, -100), mask]
        came = tried(lambda: kata.sequence_log_prob(Table(4 * numbers(3, 4, 5)), *given))
        return came, given

    def misshapen():
        inputs, targets, mask = ids(3, 4), ids(3, 4, below=5, seed="targets"), masked(3, 4)
        for shape in ((3, 3), (4,), (1, 4), (3, 1), (4, 3), (12,)):
            other = targets.new_zeros(shape)
            model = Table(4 * numbers(3, 4, 5))
            yield tried(lambda m=model, t=other: kata.sequence_log_prob(m, inputs, t, mask), shape, (3, 4))
            yield tried(lambda m=model, t=other: kata.sequence_log_prob(m, inputs, targets, t.bool()), shape, (3, 4))

    def outside():
        for target in (-100, -1, 5, 77):
            targets = ids(3, 4, below=5, seed="targets").where(~masked(3, 4), target)
            yield tried(lambda t=targets: summed(targets=t)[1], target, 5)
        yield list(anything())

    def losses(call=None, **options):
        call = call or kata.dpo_loss
        four = pairs(5)
        loss = call(*four, **options)
        loss.backward()
        return loss, [one.grad for one in four]

    def at_start():
        chosen, rejected, *_ = pairs(5)
        return [kata.dpo_loss(chosen, rejected, chosen, rejected, beta) for beta in (0.1, 1.0, 7.0)]

    def far():
        for margin in (10_000.0, -10_000.0):
            for place in range(4):
                four = [torch.zeros(2, requires_grad=True) for _ in FOUR]
                with torch.no_grad():
                    four[place][0] = margin
                loss = kata.dpo_loss(*four, beta=0.5)
                loss.backward()
                yield loss, four[0].grad, four[1].grad
        half = torch.tensor([-12.0], dtype=torch.float16)
        yield kata.dpo_loss(half, -half, half * 0, half * 0, beta=0.5).float()

    def apart():
        for place in range(1, 4):
            for shape in ((1,), (5, 1), (4,), ()):
                four = pairs(5)
                four[place] = torch.zeros(shape)
                yield tried(lambda f=four: kata.dpo_loss(*f), shape, (5,))

    def strange_betas():
        for beta in (0, 0.0, -0.1, NAN):
            yield tried(lambda b=beta: kata.dpo_loss(*pairs(5), b), beta)

    return {
        "sums": lambda: summed()[1],
        "rows": rows_apart,
        "anything": lambda: list(anything()),
        "nothing": lambda: list(nothing()),
        "called": lambda: list(called()),
        "graph": graph,
        "gradient": gradient,
        "beside nan": beside_nan,
        "loud": loud,
        "float16": lambda: long(torch.float16),
        "bfloat16": lambda: long(torch.bfloat16),
        "float64": precise,
        "kinds": lambda: list(kinds()),
        "changed": changed,
        "misshapen": lambda: list(misshapen()),
        "outside": lambda: list(outside()),
        "loss": lambda: [losses(beta=1.0), losses(beta=0.3)],
        "default": lambda: [losses(), losses(beta=0.3)],
        "start": at_start,
        "far": lambda: list(far()),
        "apart": lambda: list(apart()),
        "betas": lambda: list(strange_betas()),
    }


@clause("answer")
def test_a_case_by_hand():
    model = Table([[[0.0, LN3]] * 4])
    seen = sequence_log_prob(model, ids(1, 4), torch.tensor([[1, 0, 1, 1]]), torch.tensor([[False, True, True, True]]))
    because = "logits 0 and ln 3 are 1/4 and 3/4; the answer is 0, 1, 1 after a prompt of one: ln(1/4) + 2 ln(3/4)"
    close(seen, torch.tensor([math.log(1 / 4) + 2 * math.log(3 / 4)]), because)


@clause("answer")
@given(cases())
def test_it_is_the_sum_over_the_places_that_count(case):
    logits, inputs, targets, mask = case
    seen = sequence_log_prob(Table(logits), inputs, targets, mask)
    because = f"targets are {targets.tolist()}, the mask {mask.int().tolist()}: one by one, the places give another sum"
    close(seen.detach(), by_places(logits, targets, mask), because)


@clause("answer")
def test_a_model_that_reads_is_asked_about_its_inputs():
    model, inputs, targets, mask = toy_model(), ids(3, 5), ids(3, 5, seed="targets"), masked(3, 5)
    expected = by_places(model(inputs), targets, mask).detach()
    close(sequence_log_prob(model, inputs, targets, mask).detach(), expected, "the logits are model(inputs)")


@clause("answer")
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=lambda dtype: str(dtype)[6:])
def test_ones_and_zeros_are_a_mask_too(dtype):
    logits, targets, mask = 4 * numbers(3, 4, 5), ids(3, 4, below=5), masked(3, 4)
    seen = sequence_log_prob(Table(logits), ids(3, 4), targets, mask.to(dtype))
    close(seen.detach(), by_places(logits, targets, mask), f"the mask has ones and zeros of {dtype}")


@clause("masked")
@pytest.mark.parametrize("target", [-100, -1, 5, 10**6], ids=str)
def test_a_target_that_does_not_count_may_be_anything(target):
    logits, targets, mask = 4 * numbers(3, 4, 5), ids(3, 4, below=5), masked(3, 4)
    seen = sequence_log_prob(Table(logits), ids(3, 4), targets.where(mask, target), mask)
    close(seen.detach(), by_places(logits, targets, mask), f"where mask is false the targets are {target}")


@clause("masked")
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30], ids=str)
def test_logits_that_do_not_count_may_be_anything(value):
    logits, targets, mask = 4 * numbers(3, 4, 5), ids(3, 4, below=5), masked(3, 4)
    expected = by_places(logits, targets, mask)
    seen = sequence_log_prob(Table(logits.masked_fill(~mask[..., None], value)), ids(3, 4), targets, mask)
    close(seen.detach(), expected, f"where mask is false the logits are {value}: 0 times nan is nan")


@clause("none")
def test_a_row_without_an_answer_gives_0():
    logits, targets, mask = 4 * numbers(3, 4, 5), ids(3, 4, below=5), masked(3, 4)
    mask[1] = False
    seen = sequence_log_prob(Table(logits), ids(3, 4), targets, mask)
    close(seen.detach(), by_places(logits, targets, mask), "no place counts in row 1, and its sum is 0")
    seen = sequence_log_prob(Table(logits), ids(3, 4), targets, torch.zeros_like(mask))
    close(seen.detach(), torch.zeros(3), "no place counts in any row")


@clause("once")
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_called_once_in_its_own_mode(training):
    model = Table(4 * numbers(3, 4, 5)).train(training)
    sequence_log_prob(model, ids(3, 4), ids(3, 4, below=5, seed="targets"), masked(3, 4))
    same(len(model.seen), 1, "calls of the model: with dropout, every call is another one")
    same(model.seen[0][0], ids(3, 4).tolist(), "what the model was called with, and inputs")
    same(model.seen[0][1], training, "whether the model is in training mode during the call: that is the caller's wish")
    same(model.training, training, "whether the model is in training mode after the call")


@clause("gradients")
@given(cases())
def test_the_gradients_are_those_of_the_sum(case):
    logits, inputs, targets, mask = case
    if not mask.any():
        mask[0, 0] = True
    model, leaf = Table(logits), logits.clone().requires_grad_()
    weights = numbers(len(logits), seed="weights", dtype=torch.float64)
    seen = sequence_log_prob(model, inputs, targets, mask)
    assert seen.requires_grad, "no gradient can flow back from the result, and nothing can be learned from it"
    (seen * weights).sum().backward()
    (expected,) = torch.autograd.grad((by_places(leaf, targets, mask) * weights).sum(), leaf)
    close(
        model.logits.grad, expected, "a place that counts gets (1 at the target) - p, times what its row is asked for"
    )


@clause("gradients")
def test_logits_that_do_not_count_get_zeros():
    logits, mask = 4 * numbers(3, 4, 5), masked(3, 4)
    model = Table(logits.masked_fill(~mask[..., None], NAN))
    sequence_log_prob(model, ids(3, 4), ids(3, 4, below=5), mask).sum().backward()
    seen = model.logits.grad
    because = "where mask is false the logits are nan, and their gradients should be 0: nan came through, or something"
    close(seen[~mask], torch.zeros_like(seen[~mask]), because)
    assert seen[mask].abs().sum() > 0, "the logits that count have gradients of 0"


@clause("extreme")
def test_extreme_logits_give_what_paper_gives():
    model = Table([[[10_000.0, -10_000.0, 0.0]] * 3, [[-10_000.0, 10_000.0, 10_000.0]] * 3])
    targets, mask = torch.tensor([[0, 1, 0], [1, 2, 1]]), torch.tensor([[True, True, False], [True, False, True]])
    seen = sequence_log_prob(model, ids(2, 3), targets, mask)
    because = "p of 10 000 beside -10 000 and 0 is 1, p of -10 000 is e to the -20 000; 10 000 twice is 1/2 each"
    close(seen.detach(), torch.tensor([-20_000.0, -2 * LN2]), because)
    seen.sum().backward()
    expected = torch.zeros(2, 3, 3)
    expected[0, 1], expected[1, 0::2] = torch.tensor([-1.0, 1.0, 0.0]), torch.tensor([0.0, 0.5, -0.5])
    close(model.logits.grad, expected, "the gradients beside logits of 10 000 and of -10 000")


@clause("wide")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_a_sum_of_half_precision_is_single(dtype):
    logits, targets, mask = (4 * numbers(1, 2_000, 5)).to(dtype), ids(1, 2_000, below=5), masked(1, 2_000)
    seen = sequence_log_prob(Table(logits), ids(1, 2_000), targets, mask).detach()
    lines = logits.double().log_softmax(dim=-1).gather(-1, targets[..., None])[..., 0]
    expected = (lines * mask).sum(dim=-1).float()
    close(seen, expected, f"2 000 tokens, logits of {dtype}: was a softmax or a sum in half precision?", rtol=1e-5)


@clause("wide")
def test_double_precision_stays():
    logits, targets, mask = 4 * numbers(3, 4, 5, dtype=torch.float64), ids(3, 4, below=5), masked(3, 4)
    seen = sequence_log_prob(Table(logits), ids(3, 4), targets, mask).detach()
    close(seen, by_places(logits, targets, mask), "the logits are float64; is there another dtype on the way?")


@clause("pure")
@pytest.mark.parametrize("kind", [torch.bool, torch.int64], ids=lambda dtype: str(dtype)[6:])
def test_a_call_changes_nothing_that_it_is_given(kind):
    logits, mask = 4 * numbers(3, 4, 5), masked(3, 4)
    inputs, targets = ids(3, 4), ids(3, 4, below=5, seed="targets").where(mask, -100)
    given = {"inputs": inputs, "targets": targets, "mask": mask.to(kind)}
    before = {name: one.tolist() for name, one in given.items()}
    seen = sequence_log_prob(Table(logits), *given.values())
    for name, one in given.items():
        same(one.tolist(), before[name], f"{name} is another one after the call: written in place")
    close(seen.detach(), by_places(logits, targets, mask), "all was left alone, but the sum is another one")


@clause("shapes")
@pytest.mark.parametrize("shape", [(3, 3), (4,), (1, 4), (3, 1), (4, 3), (12,)], ids=str)
@pytest.mark.parametrize("which", ["targets", "mask"])
def test_another_shape_is_refused(which, shape):
    other = torch.ones(shape, dtype=torch.int64)
    given = {"targets": ids(3, 4, below=5), "mask": masked(3, 4), which: other if which == "targets" else other.bool()}
    with refuses(ValueError, shape, (3, 4)):
        sequence_log_prob(Table(4 * numbers(3, 4, 5)), ids(3, 4), given["targets"], given["mask"])


@clause("range")
@pytest.mark.parametrize("target", [-100, -1, 5, 77])
def test_a_target_that_counts_and_is_no_token_is_refused(target):
    targets, mask = ids(3, 4, below=5), torch.ones(3, 4, dtype=torch.bool)
    targets[2, 3] = target
    with refuses(ValueError, target, 5):
        sequence_log_prob(Table(4 * numbers(3, 4, 5)), ids(3, 4), targets, mask)


@clause("by-hand")
def test_a_pair_by_hand():
    four = [number([value]).requires_grad_() for value in (math.log(3 / 4), math.log(1 / 4), -LN2, -LN2)]
    loss = dpo_loss(*four, beta=1.0)
    because = "the policy gives 3/4 and 1/4, the reference 1/2 and 1/2: the margin is ln 3, and its sigmoid 3/4"
    close(loss.detach(), number(-math.log(3 / 4)), because)
    loss.backward()
    for name, one, expected in zip(FOUR, four, (-0.25, 0.25), strict=False):
        assert one.grad is not None, f"no gradient reaches {name}"
        close(one.grad, number([expected]), f"the gradient of {name}: 1 - 3/4 of beta, downwards for the chosen answer")


@clause("by-hand")
def test_two_tokens_by_hand():
    policy, reference = Table([[[0.0, LN3]]]), Table([[[0.0, 0.0]]])
    one, mask = torch.ones(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool)
    answers = [sequence_log_prob(model, one, one * token, mask) for model in (policy, reference) for token in (1, 0)]
    loss = dpo_loss(*answers, beta=1.0)
    close(
        loss.detach(),
        torch.tensor(-math.log(3 / 4)),
        "two tokens with logits 0 and ln 3, of which the second is chosen",
    )
    loss.backward()
    close(policy.logits.grad, torch.tensor([[[0.25, -0.25]]]), "the gradients of the policy's logits")
    assert reference.logits.grad is None, "the reference model has got a gradient"


@clause("start")
@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 50.0], ids=str)
def test_a_policy_that_is_its_reference_costs_ln_2(beta):
    chosen, rejected, *_ = (one.detach() for one in pairs(6))
    seen = dpo_loss(chosen, rejected, chosen, rejected, beta)
    close(seen, number(LN2), "policy and reference agree, and the pairs are a toss-up: sigmoid of 0 is 1/2")


@clause("pairs")
@given(st.integers(1, 5), st.sampled_from([0.05, 0.1, 0.5, 2.0]), st.integers(0, 99))
def test_a_pair_costs_what_paper_says(batch, beta, seed):
    four = pairs(batch, seed=seed)
    expected = sum(cost(margin, beta) for margin in margins(four)) / batch
    because = f"beta is {beta}, the margins are {[round(margin, 3) for margin in margins(four)]}"
    close(dpo_loss(*four, beta=beta).detach(), number(expected), because)


@clause("pairs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_beta_is_a_tenth_by_default(dtype):
    four = pairs(4, dtype=dtype, spread=20.0)
    expected = sum(cost(margin, 0.1) for margin in margins(four)) / 4
    close(dpo_loss(*four).detach(), number(expected, dtype), "beta was not given, and is 0.1")


@clause("mean")
@pytest.mark.parametrize("batch", [2, 7])
def test_the_loss_is_the_mean_of_the_pairs(batch):
    four = [one.detach() for one in pairs(batch, spread=30.0)]
    alone = [dpo_loss(*(one[row : row + 1] for one in four), 0.5) for row in range(batch)]
    close(dpo_loss(*four, 0.5), sum(alone) / batch, f"{batch} pairs, and the mean of what each costs alone")


@clause("swap")
@given(st.integers(1, 5), st.sampled_from([0.1, 1.0]), st.integers(0, 99))
def test_swapped_answers_cost_more_by_the_margin(batch, beta, seed):
    four = [one.detach() for one in pairs(batch, seed=seed)]
    chosen, rejected, chosen_before, rejected_before = four
    loss, swapped = dpo_loss(*four, beta), dpo_loss(rejected, chosen, rejected_before, chosen_before, beta)
    more = beta * sum(margins(four)) / batch
    because = (
        f"chosen and rejected answers were swapped; the loss was {loss.item():.6g}, beta times the margin {more:.6g}"
    )
    close(swapped, loss + more, because)


@clause("direction")
@given(st.integers(1, 4), st.sampled_from([0.1, 1.0]), st.integers(0, 99))
def test_the_gradients_push_the_pair_apart(batch, beta, seed):
    four = pairs(batch, seed=seed)
    expected = [-beta / (1 + math.exp(beta * margin)) / batch for margin in margins(four)]
    dpo_loss(*four, beta).backward()
    for name, one, sign in zip(FOUR, four, (1, -1), strict=False):
        assert one.grad is not None, f"no gradient reaches {name}"
        because = f"the gradient of {name}: below 0 for chosen answers, above it for rejected ones, beta {beta}"
        close(one.grad, sign * number(expected), because)


@clause("reference")
def test_no_gradient_flows_to_the_reference():
    four = pairs(3)
    dpo_loss(*four).backward()
    for name, one in zip(FOUR, four, strict=True):
        if name.startswith("policy"):
            assert one.grad is not None, f"no gradient reaches {name}"
        else:
            assert one.grad is None, f"{name} has the gradient {one.grad.tolist()}: it is to be taken as a number"


@clause("reference")
def test_one_model_may_be_both():
    chosen, rejected, *_ = pairs(3)
    dpo_loss(chosen, rejected, chosen, rejected, 1.0).backward()
    because = "policy and reference are the same tensors: as the policy they get -1/2 a pair, as the reference nothing"
    close(chosen.grad, number([-1 / 6] * 3), because)
    close(rejected.grad, number([1 / 6] * 3), because)


@clause("far")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("place", FOUR)
@pytest.mark.parametrize("value", [10_000.0, -10_000.0])
def test_far_margins_cost_what_paper_says(value, place, dtype):
    four = [torch.zeros(1, dtype=dtype) for _ in FOUR]
    four = [one.requires_grad_() for one in vary(four, **{place: torch.tensor([value], dtype=dtype)})]
    (margin,) = margins(four)
    loss = dpo_loss(*four, beta=1.0)
    because = f"{place} is {value:g}, the margin {margin:g}"
    close(loss.detach(), torch.tensor(max(-margin, 0.0), dtype=dtype), because)
    loss.backward()
    expected = torch.tensor([-1.0 if margin < 0 else 0.0], dtype=dtype)
    close(four[0].grad, expected, f"{because}: the gradient of policy_chosen")
    close(four[1].grad, -expected, f"{because}: the gradient of policy_rejected")


@clause("unequal")
@pytest.mark.parametrize("name", FOUR[1:])
@pytest.mark.parametrize("shape", [(1,), (5, 1), (4,), ()], ids=str)
def test_other_shapes_are_refused(name, shape):
    four = vary([one.detach() for one in pairs(5)], **{name: torch.zeros(shape)})
    with refuses(ValueError, shape, (5,)):
        dpo_loss(*four)


@clause("beta")
@pytest.mark.parametrize("beta", [0, 0.0, -0.1, NAN], ids=repr)
def test_a_beta_that_is_not_above_0_is_refused(beta):
    with refuses(ValueError, "beta", beta):
        dpo_loss(*pairs(3), beta=beta)
