"""The mixture of experts, clause by clause. The why: docs/modern/mixture_of_experts.md."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import linear, one_hot, silu

from katas.modern.mixture_of_experts import MoE, load_balancing_loss
from katas.modern.swiglu import SwiGLU
from tests import laws
from tests.support import clause, close, dealt, filled, numbers, parameters, refuses, same


def by_formula(moe, x, top_k):
    """The mixture as a dense loop: all experts read all tokens, and what was not chosen has the weight 0."""
    known = parameters(moe, "router.weight")
    probabilities = linear(x, known["router.weight"]).softmax(dim=-1)  # (..., num_experts)
    lowest = probabilities.sort(dim=-1, descending=True).values[..., top_k - 1, None]
    weights = probabilities * (probabilities >= lowest)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    total = torch.zeros_like(x)
    for number in range(probabilities.shape[-1]):
        gate, up, down = (known[f"experts.{number}.{name}_proj.weight"] for name in ("gate", "up", "down"))
        total = total + weights[..., number, None] * linear(silu(linear(x, gate)) * linear(x, up), down)
    return total


def loss_by_formula(router_logits, top_k):
    """The loss with the choice as a table of ones: (tokens, top_k, num_experts)."""
    probabilities = router_logits.flatten(0, -2).softmax(dim=-1)  # (tokens, num_experts)
    table = one_hot(probabilities.topk(top_k, dim=-1).indices, probabilities.shape[-1]).to(probabilities.dtype)
    return probabilities.shape[-1] * (table.sum(dim=1).mean(dim=0) * probabilities.mean(dim=0)).sum()


def deal(moe, scale=3.0):
    """The module with fixed numbers; the router's are larger, so that its probabilities differ clearly."""
    dealt(moe)
    with torch.no_grad():
        parameters(moe, "router.weight")["router.weight"].mul_(scale)
    return moe


def constant_experts(kata_class, top_k=2):
    """Three experts that give 3, 6 and 100 for the token 1, with router probabilities of 0.6, 0.3 and 0.1."""
    one = silu(torch.tensor(1.0)).item()
    values = {"router.weight": torch.tensor([[0.6], [0.3], [0.1]]).log()}
    for number, value in enumerate((3.0, 6.0, 100.0)):
        values |= {f"experts.{number}.{name}_proj.weight": 1.0 for name in ("gate", "up")}
        values[f"experts.{number}.down_proj.weight"] = value / one
    return filled(kata_class(1, 1, 3, top_k), values)


def one_for_all(kata_class):
    """A module of three experts of which every token with a positive first feature chooses the second."""
    moe = deal(kata_class(4, 5, 3, 1))
    return filled(moe, {"router.weight": torch.tensor([[0.0], [9.0], [0.0]]) * torch.tensor([1.0, 0, 0, 0])})


def positive(*shape):
    x = numbers(*shape, seed="positive")
    return torch.cat([x[..., :1].abs() + 0.1, x[..., 1:]], dim=-1)


def rows_read(moe, x):
    """How many tokens, and how many rows, each expert reads in a call; a row of zeros is no token, but fills up.

    What goes around the modules is not seen.
    """
    tokens, rows = [0] * len(moe.experts), [0] * len(moe.experts)
    for number, expert in enumerate(moe.experts):

        def note(module, args, number=number):
            tokens[number] += int(args[0].any(dim=-1).sum())
            rows[number] += args[0].numel() // args[0].shape[-1]

        expert.gate_proj.register_forward_pre_hook(note)
    moe(x)
    return tokens, rows


def probe(kata):
    """Small cases on which the known mistakes differ."""
    x = numbers(2, 6, 4)

    def made(top_k=2, experts=5):
        return deal(kata.MoE(4, 3, experts, top_k))

    def tried(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def refusal(top_k):
        try:
            kata.MoE(4, 3, 5, top_k)
        except ValueError as error:
            return str(top_k) in str(error) and "5" in str(error)
        except Exception as error:
            return type(error).__name__
        return "accepted"

    def gradient(name):
        moe = made()
        loss = moe(x).square().sum()
        return torch.autograd.grad(loss, dict(moe.named_parameters())[name])[0]

    def input_gradient():
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(made()(leaf).square().sum(), leaf)[0]

    def loss_gradient():
        leaf = (3 * numbers(7, 4)).requires_grad_()
        loss = kata.load_balancing_loss(leaf, 2)
        return torch.autograd.grad(loss, leaf)[0] if loss.requires_grad else "none"

    def reads_too_much():
        tokens, rows = rows_read(made(), x)
        return max(0, sum(tokens) - 24), sum(rows) > 5 * max(tokens)

    def idle():
        return tried(lambda: bool(one_for_all(kata.MoE)(positive(2, 3, 4)).isfinite().all()))

    def unchanged():
        given = x.clone()
        made()(given)
        return torch.equal(given, x)

    def precise():
        moe = made().double()
        seen = moe(x.double())
        return str(seen.dtype), torch.allclose(seen.double(), by_formula(moe, x.double(), 2), rtol=1e-9, atol=1e-9)

    return {
        "parameters": lambda: sorted(name for name, _ in made().named_parameters()),
        "top 1": lambda: made(top_k=1)(x),
        "top 2": lambda: made()(x),
        "all": lambda: made(top_k=5)(x),
        "example": lambda: constant_experts(kata.MoE)(torch.ones(1, 1, 1)),
        "reads too much": reads_too_much,
        "idle": idle,
        "gradient of the router": lambda: gradient("router.weight"),
        "gradient of an expert": lambda: gradient("experts.0.down_proj.weight"),
        "gradient of x": input_gradient,
        "top_k of 0": lambda: refusal(0),
        "top_k of 6": lambda: refusal(6),
        "one token": lambda: tried(lambda: made()(x[0, 0])),
        "four axes": lambda: tried(lambda: made()(x[None])),
        "float64": lambda: tried(precise),
        "bfloat16": lambda: tried(lambda: str(made().bfloat16()(x.bfloat16()).dtype)),
        "unchanged": unchanged,
        "loss of an example": lambda: kata.load_balancing_loss(torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log(), 1),
        "loss": lambda: kata.load_balancing_loss(3 * numbers(7, 4), 1),
        "loss of top 2": lambda: kata.load_balancing_loss(3 * numbers(7, 4), 2),
        "gradient of the loss": loss_gradient,
        "loss of texts": lambda: tried(lambda: kata.load_balancing_loss(3 * numbers(2, 7, 4), 2)),
    }


@clause("parts")
def test_router_and_experts_have_these_parameters():
    expected = {"router.weight": (5, 4)}
    for number in range(5):
        expected |= {f"experts.{number}.{name}_proj.weight": (3, 4) for name in ("gate", "up")}
        expected[f"experts.{number}.down_proj.weight"] = (4, 3)
    seen = {name: tuple(value.shape) for name, value in MoE(4, 3, 5, 2).named_parameters()}
    same(seen, expected, "the parameters of MoE(4, 3, 5, 2) and their shapes")
    kinds = {type(expert).__name__ for expert in MoE(4, 3, 5, 2).experts if not isinstance(expert, SwiGLU)}
    assert not kinds, f"each expert should be a SwiGLU; there is a {kinds}"


@clause("example")
def test_three_and_six_become_four():
    seen = constant_experts(MoE)(torch.ones(1, 1, 1))
    close(seen, torch.full((1, 1, 1), 4.0), "probabilities 0.6, 0.3, 0.1 with top_k=2; the experts give 3, 6 and 100")


@clause("weights")
@given(st.data())
def test_the_output_is_the_weighted_sum_of_the_chosen_experts(data):
    experts = data.draw(st.integers(1, 6), label="num_experts")
    top_k = data.draw(st.integers(1, experts), label="top_k")
    moe = deal(MoE(4, 3, experts, top_k))
    x = numbers(2, data.draw(st.integers(1, 7), label="tokens"), 4, seed=data.draw(st.integers(0, 99), label="seed"))
    because = f"the {top_k} best of {experts} experts, each with its share of their probabilities"
    close(moe(x), by_formula(moe, x, top_k), because)


@clause("sparse")
def test_each_token_is_read_by_top_k_experts():
    moe, x = deal(MoE(4, 3, 5, 2)), numbers(2, 6, 4)
    tokens, rows = rows_read(moe, x)
    because = f"12 tokens, each for 2 of 5 experts, are 24 readings; the experts read {tokens} tokens"
    assert sum(tokens) <= 24, because
    because = f"zeros may fill each input up to {max(tokens)} rows; the experts read {tokens} tokens in {rows} rows"
    assert sum(rows) <= 5 * max(tokens), because


@clause("idle")
def test_an_expert_without_tokens_adds_nothing():
    moe, x = one_for_all(MoE), positive(2, 3, 4)
    try:
        seen = moe(x)
    except Exception as error:
        pytest.fail(f"no token chooses the experts 0 and 2: {type(error).__name__}: {error}")
    assert seen.isfinite().all(), "no token chooses the experts 0 and 2, and the output has nan or inf"
    close(seen, by_formula(moe, x, 1), "every token chooses expert 1 of 3")


@clause("idle")
def test_an_expert_without_tokens_can_be_trained_on():
    moe = one_for_all(MoE)
    loss = moe(positive(2, 3, 4)).square().sum()
    assert loss.requires_grad, "no gradient flows back from the output"
    found = torch.autograd.grad(loss, list(moe.parameters()), allow_unused=True)
    for (name, _), gradient in zip(moe.named_parameters(), found, strict=True):
        finite = gradient is None or bool(gradient.isfinite().all())
        assert finite, f"no token chooses the experts 0 and 2, and the gradient of {name} has nan or inf"


@clause("gradients")
@pytest.mark.parametrize("top_k", [2, 4])
def test_the_gradients_are_those_of_the_formula(top_k):
    moe, x = deal(MoE(4, 3, 4, top_k)), numbers(3, 8, 4).requires_grad_()
    leaves = {"x": x, **parameters(moe)}
    laws.gradients_agree(moe(x), by_formula(moe, x, top_k), leaves, "the formula")


@clause("loss-example")
def test_point_seven_of_one_gives_one_point_four():
    logits = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log()
    because = "both tokens choose expert 0, whose mean probability is 0.7: 2 * (1 * 0.7 + 0 * 0.3)"
    close(load_balancing_loss(logits, 1), torch.tensor(1.4), because)


@clause("loss")
@given(st.data())
def test_the_loss_multiplies_shares_and_mean_probabilities(data):
    experts = data.draw(st.integers(1, 6), label="num_experts")
    top_k = data.draw(st.integers(1, experts), label="top_k")
    tokens = data.draw(st.integers(1, 9), label="tokens")
    logits = 3 * numbers(tokens, experts, seed=data.draw(st.integers(0, 99), label="seed"))
    because = f"{tokens} tokens, {experts} experts, top_k={top_k}"
    close(load_balancing_loss(logits, top_k), loss_by_formula(logits, top_k), because)


@clause("loss-gradient")
def test_the_gradient_of_the_loss_goes_through_the_probabilities():
    logits = (3 * numbers(7, 4)).requires_grad_()
    seen, expected = load_balancing_loss(logits, 2), loss_by_formula(logits, 2)
    laws.gradients_agree(seen, expected, {"router_logits": logits}, "the formula")


@clause("top-k")
@pytest.mark.parametrize("top_k", [0, -1, 6])
def test_a_top_k_that_cannot_be_chosen_is_refused(top_k):
    with refuses(ValueError, top_k, 5):
        MoE(4, 3, 5, top_k)


@clause("axes")
@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 1, 3, 4)], ids=str)
def test_any_number_of_axes_may_come_before_emb_dim(shape):
    moe, x = deal(MoE(4, 3, 5, 2)), numbers(*shape)
    close(moe(x), by_formula(moe, x, 2), f"an input of shape {shape}")


@clause("axes")
def test_a_view_is_as_good_as_a_copy():
    moe = deal(MoE(4, 3, 5, 2))
    laws.works_on_views(moe, (2, 6, 4), lambda x: by_formula(moe, x, 2))


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
def test_the_output_has_the_dtype_of_the_input(dtype):
    moe, x = deal(MoE(4, 3, 3, 3)).to(dtype), numbers(2, 3, 4, dtype=dtype)
    wide = deal(MoE(4, 3, 3, 3)).to(dtype).double()
    close(moe(x), by_formula(wide, x.double(), 3).to(dtype), f"input and parameters are {dtype}")


@clause("pure")
def test_a_call_changes_nothing():
    moe, x = deal(MoE(4, 3, 5, 2)), numbers(2, 6, 4)
    before = {name: value.clone() for name, value in moe.state_dict().items()}
    laws.leaves_its_inputs_alone(moe, x)
    for name, value in moe.state_dict().items():
        close(value, before[name], f"{name} after a call")


@clause("loss-axes")
def test_all_tokens_of_all_texts_count_alike():
    logits = 3 * numbers(2, 7, 4)
    close(load_balancing_loss(logits, 2), loss_by_formula(logits, 2), "router_logits of (2, 7, 4), 14 tokens in all")
