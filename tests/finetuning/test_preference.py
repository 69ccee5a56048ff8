"""Preferences, clause by clause. The why: docs/finetuning/preference.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from katas.finetuning.preference import dpo_loss, sequence_log_prob
from tests.support import clause, close, numbers, refuses, same

LN2, LN3, NAN = math.log(2), math.log(3), math.nan
FOUR = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
# A prompt, an answer and padding; an answer up to the end; a short answer.
MASK = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()


class Table(nn.Module):
    """A model whose logits are its parameters, whatever it reads; it keeps what it was called with, and its mode."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits).clone())
        self.seen = []

    def forward(self, ids):
        self.seen.append((ids.tolist(), self.training))
        return self.logits * 1.0  # no leaf, so a caller may write into it


def ids(*shape, below=7, seed="ids"):
    return (numbers(*shape, seed=seed) * 100).long() % below


def case(mask=MASK, dtype=torch.float32):
    """A model of random logits, inputs, targets and a mask."""
    logits = (4 * numbers(*mask.shape, 7)).to(dtype)
    return Table(logits), ids(*mask.shape), ids(*mask.shape, seed="targets"), mask


def by_places(logits, targets, mask):
    """The sum over the places that count, one by one; (batch)."""
    rows = []
    for row in range(len(logits)):
        counted = [place for place in range(logits.shape[1]) if mask[row, place]]
        found = [logits[row, place].log_softmax(dim=-1)[targets[row, place]] for place in counted]
        rows.append(torch.stack(found).sum() if found else logits[row, :0].sum())
    return torch.stack(rows)


def pairs(batch, spread=4.0, seed=""):
    """The four log-probabilities of some pairs of answers, float64 leaves that require gradients."""
    return [(spread * numbers(batch, seed=f"{n}{seed}", dtype=torch.float64) - 5).requires_grad_() for n in FOUR]


def margins(four):
    """The margin of each pair, as a list of floats."""
    return [(pc - rc) - (pr - rr) for pc, pr, rc, rr in zip(*(one.tolist() for one in four), strict=True)]


def cost(margin, beta):
    """What one pair costs, in Python's floats."""
    z = beta * margin
    return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def summed(mask=MASK):
        return kata.sequence_log_prob(*case(mask))

    def gradient():
        model, *given = case()
        kata.sequence_log_prob(model, *given).sum().backward()
        return model.logits.grad

    def called(what):
        model, *given = case()
        kata.sequence_log_prob(model.eval() if what == "eval" else model.train(), *given)
        return len(model.seen) if what == "times" else [training for _, training in model.seen]

    def long(dtype, what):
        _, _, targets, _ = given = case(torch.ones(1, 2_000), dtype)
        seen = kata.sequence_log_prob(*given).detach()
        exact = by_places(given[0].logits.detach().double(), targets, given[3])
        return str(seen.dtype) if what == "dtype" else bool(torch.allclose(seen.double(), exact, rtol=1e-5))

    def outcome(call, instead=""):
        """What came, or which error, or what stands for any error."""
        try:
            return call()
        except Exception as error:
            return instead or type(error).__name__

    def loss(*four, **more):
        return kata.dpo_loss(*(four or pairs(5)), **more)

    def loss_gradient(place, beta=0.3):
        four = pairs(5)
        kata.dpo_loss(*four, beta).backward()
        return four[place].grad

    def far(margin, place=None):
        four = [torch.zeros(1, requires_grad=True) for _ in FOUR]
        with torch.no_grad():
            four[0][0] = margin
        result = kata.dpo_loss(*four, beta=0.5)
        if place is None:
            return result
        result.backward()
        return four[place].grad

    def start(beta):
        chosen, rejected, *_ = pairs(5)
        return loss(chosen, rejected, chosen, rejected, beta=beta)

    everywhere = torch.ones_like(MASK)
    return {
        "one answer": lambda: summed(everywhere),
        "masked": summed,
        "one place": lambda: summed(torch.tensor([[False, True, False, False]])),
        "the first place": lambda: summed(torch.tensor([[True, False, False, False]])),
        "the last place": lambda: summed(torch.tensor([[False, False, False, True]])),
        "gradient": gradient,
        "whether a gradient flows": lambda: summed().requires_grad,
        "sums of bfloat16": lambda: kata.sequence_log_prob(*case(torch.ones(40, 9), torch.bfloat16)).float(),
        "targets of -100": lambda: outcome(
            lambda: kata.sequence_log_prob(*case()[:2], case()[2].where(MASK, -100), MASK), "an error"
        ),
        "mask of ints": lambda: kata.sequence_log_prob(*case()[:3], MASK.long()),
        "mask of floats": lambda: kata.sequence_log_prob(*case()[:3], MASK.float()),
        "calls": lambda: called("times"),
        "train mode": lambda: called("train"),
        "eval mode": lambda: called("eval"),
        **{f"{what} of {dtype}": lambda d=dtype, w=what: long(d, w)
           for dtype in (torch.bfloat16, torch.float64) for what in ("dtype", "precision")},
        "small targets": lambda: outcome(lambda: kata.sequence_log_prob(*case()[:2], ids(3, 1), MASK)),
        "small mask": lambda: outcome(lambda: kata.sequence_log_prob(*case()[:3], MASK[:1])),
        "loss": lambda: loss(beta=0.3),
        "loss, beta of 1": lambda: loss(beta=1.0),
        "loss, one pair": lambda: loss(*pairs(1), beta=0.3),
        "start": lambda: start(0.1),
        "start, beta of 7": lambda: start(7.0),
        **{f"gradient of {name}": lambda place=place: loss_gradient(place) for place, name in enumerate(FOUR)},
        **{f"margin of {m}": lambda m=m: far(m) for m in (10_000.0, -10_000.0)},
        **{f"gradient at a margin of {m}": lambda m=m: far(m, 0) for m in (10_000.0, -10_000.0)},
        **{f"another shape of {name}": lambda p=place: outcome(
            lambda: loss(*[torch.zeros(1) if at == p else one for at, one in enumerate(pairs(5))]))
           for place, name in enumerate(FOUR) if place},
        **{f"beta of {beta}": lambda beta=beta: outcome(lambda: [loss(beta=beta)] and "accepted")
           for beta in (0, -0.1, NAN)},
    }  # fmt: skip


@clause("example")
def test_an_answer_of_two_tokens_by_hand():
    model = Table([[[0.0, LN3]] * 2])
    seen = sequence_log_prob(model, ids(1, 2), torch.tensor([[1, 0]]), torch.ones(1, 2).bool())
    because = "the logits are 0 and ln 3 at both places, so the answer 1, 0 gives ln(3/4) + ln(1/4)"
    close(seen.detach(), torch.tensor([math.log(3 / 4) + math.log(1 / 4)]), because)


@clause("log-prob")
@pytest.mark.parametrize("tokens", [1, 4])
def test_it_is_the_sum_over_the_places(tokens):
    model, inputs, targets, mask = case(torch.ones(3, tokens).bool())
    seen = sequence_log_prob(model, inputs, targets, mask)
    expected = by_places(model.logits, targets, mask).detach()
    close(seen.detach(), expected, f"{tokens} tokens a row, mask True everywhere; expected is a sum place by place")


@clause("answer-only")
def test_only_the_places_of_the_answer_count():
    model, inputs, targets, mask = case()
    seen = sequence_log_prob(model, inputs, targets, mask)
    expected = by_places(model.logits, targets, mask).detach()
    close(seen.detach(), expected, f"the mask is {mask.int().tolist()}; expected is a sum over the places with a 1")


@clause("gradients")
def test_the_gradients_are_those_of_the_sum():
    model, inputs, targets, mask = case()
    leaf = model.logits.detach().clone().requires_grad_()
    seen = sequence_log_prob(model, inputs, targets, mask)
    assert seen.requires_grad, "no gradient flows back from the result: it was detached, or computed in no_grad()"
    seen.sum().backward()
    by_places(leaf, targets, mask).sum().backward()
    because = f"the gradients of the logits, with the mask {mask.int().tolist()}: (1 at the target) - p where it is 1"
    close(model.logits.grad, leaf.grad, because)


@clause("one-pair")
def test_a_pair_by_hand():
    four = [number([value]) for value in (math.log(3 / 4), math.log(1 / 4), -LN2, -LN2)]
    because = "the policy gives 3/4 and 1/4, the reference 1/2 and 1/2: the margin is ln 3, and its sigmoid 3/4"
    close(dpo_loss(*four, beta=1.0), number(-math.log(3 / 4)), because)


@clause("start")
@pytest.mark.parametrize("beta", [0.01, 1.0, 50.0], ids=str)
def test_a_policy_that_equals_its_reference_costs_ln_2(beta):
    chosen, rejected, *_ = (one.detach() for one in pairs(6))
    seen = dpo_loss(chosen, rejected, chosen, rejected, beta)
    close(seen, number(LN2), f"policy and reference agree, so all margins are 0, and sigmoid(0) is 1/2; beta is {beta}")


@clause("loss")
@given(st.integers(1, 5), st.sampled_from([0.05, 0.5, 2.0]), st.integers(0, 99))
def test_the_loss_is_the_mean_over_the_pairs(batch, beta, seed):
    four = pairs(batch, seed=seed)
    expected = sum(cost(margin, beta) for margin in margins(four)) / batch
    because = f"beta is {beta}, the margins are {[round(margin, 3) for margin in margins(four)]}"
    close(dpo_loss(*four, beta=beta).detach(), number(expected), because)


@clause("direction")
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_gradients_push_the_pair_apart(beta):
    four = pairs(4)
    loss = dpo_loss(*four, beta)
    assert loss.requires_grad, "no gradient flows back from the loss: it was detached, or computed in no_grad()"
    loss.backward()
    expected = number([-beta / (1 + math.exp(beta * margin)) / 4 for margin in margins(four)])
    for name, one, sign in zip(FOUR[:2], four[:2], (1, -1), strict=True):
        assert one.grad is not None, f"no gradient reaches {name}"
        close(one.grad, sign * expected, f"the gradient of {name}, beta {beta}: negative for chosen answers")


@clause("any-target")
@pytest.mark.parametrize("target", [-100, 10**6])
def test_a_target_that_does_not_count_may_be_anything(target):
    model, inputs, targets, mask = case()
    seen = sequence_log_prob(model, inputs, targets.where(mask, target), mask)
    expected = by_places(model.logits, targets, mask).detach()
    close(seen.detach(), expected, f"where mask is False the targets are {target}")


@clause("int-mask")
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=lambda dtype: str(dtype)[6:])
def test_ones_and_zeros_are_a_mask_too(dtype):
    model, inputs, targets, mask = case()
    seen = sequence_log_prob(model, inputs, targets, mask.to(dtype))
    close(seen.detach(), by_places(model.logits, targets, mask).detach(), f"the mask has ones and zeros of {dtype}")


@clause("one-call")
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_called_once_in_its_own_mode(training):
    model, inputs, targets, mask = case()
    sequence_log_prob(model.train(training), inputs, targets, mask)
    same(model.seen, [(inputs.tolist(), training)], "the calls of the model: what it read, and whether it was training")


@clause("precision")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_half_precision_logits_give_a_float32_sum(dtype):
    model, inputs, targets, mask = case(torch.ones(1, 2_000).bool(), dtype)
    lines = model.logits.detach().double().log_softmax(dim=-1)
    expected = lines.gather(-1, targets[..., None])[..., 0].sum(dim=-1).float()
    seen = sequence_log_prob(model, inputs, targets, mask).detach()
    close(seen, expected, f"2 000 tokens, logits of {dtype}: expected is a sum in float64, as float32", rtol=1e-5)


@clause("precision")
def test_float64_stays():
    model, inputs, targets, mask = case(dtype=torch.float64)
    expected = by_places(model.logits, targets, mask).detach()
    close(sequence_log_prob(model, inputs, targets, mask).detach(), expected, "the logits are float64")


@clause("shapes")
@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (3, 1), (15,)], ids=str)
@pytest.mark.parametrize("which", ["targets", "mask"])
def test_another_shape_is_refused(which, shape):
    model, inputs, targets, mask = case()
    given = {"targets": targets, "mask": mask} | {which: torch.ones(shape, dtype=torch.int64)}
    with refuses(ValueError, shape, (3, 5)):
        sequence_log_prob(model, inputs, given["targets"], given["mask"])


@clause("reference")
def test_no_gradient_flows_to_the_reference():
    four = pairs(3)
    dpo_loss(*four).backward()
    for name, one in zip(FOUR[2:], four[2:], strict=True):
        assert one.grad is None, f"{name} has the gradient {one.grad.tolist()}, expected none"


@clause("extreme")
@pytest.mark.parametrize("margin", [10_000.0, -10_000.0])
def test_extreme_margins_cost_what_the_formula_says(margin):
    four = [torch.tensor([value], requires_grad=True) for value in (margin, 0.0, 0.0, 0.0)]
    loss = dpo_loss(*four, beta=1.0)
    close(loss.detach(), torch.tensor(max(-margin, 0.0)), f"one pair with a margin of {margin:g}, beta 1")
    loss.backward()
    expected = torch.tensor([-1.0 if margin < 0 else 0.0])
    close(four[0].grad, expected, f"the gradient of policy_chosen at a margin of {margin:g}, beta 1")


@clause("unequal")
@pytest.mark.parametrize("name", FOUR[1:])
@pytest.mark.parametrize("shape", [(1,), (5, 1)], ids=str)
def test_other_shapes_are_refused(name, shape):
    four = dict(zip(FOUR, pairs(5), strict=True)) | {name: torch.zeros(shape)}
    with refuses(ValueError, shape, (5,)):
        dpo_loss(**four)


@clause("beta")
@pytest.mark.parametrize("beta", [0, -0.1, NAN], ids=repr)
def test_a_beta_that_is_not_above_0_is_refused(beta):
    with refuses(ValueError, beta):
        dpo_loss(*pairs(3), beta=beta)
