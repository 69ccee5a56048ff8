"""The reference's adapters, with the same numbers, compute, learn and merge as those of peft."""

import copy
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional

from dojo.serving.finder import served
from tests.support import close, dealt, numbers, same

TARGETS = ["W_query", "W_value"]
IDS = (numbers(3, 7, seed="ids") * 10 + 10).long() % 11  # (batch, tokens)

each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda dtype: str(dtype)[6:])
each_setting = pytest.mark.parametrize(("rank", "alpha"), [(1, 1.0), (2, 16.0), (4, 3.0)])


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.W_query = nn.Linear(6, 4, bias=False)
        self.W_value = nn.Linear(6, 4)
        self.out_proj = nn.Linear(4, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.out_proj(torch.tanh(self.W_query(x)) * self.W_value(self.norm(x)))


def toy(dtype: torch.dtype) -> nn.Sequential:
    """Ids in, logits out."""
    return dealt(nn.Sequential(nn.Embedding(11, 6), Block(), Block(), nn.Linear(6, 11))).to(dtype)


@pytest.fixture(scope="module")
def reference() -> Iterator[SimpleNamespace]:
    with served({"*": "solutions"}):
        from katas.finetuning import lora

        yield lora


def both(reference: SimpleNamespace, dtype: torch.dtype, rank: int, alpha: float) -> tuple[nn.Module, nn.Module]:
    """A model with our adapters and one with peft's, with the same numbers in all."""
    ours, base = toy(dtype), toy(dtype)
    reference.apply_lora(ours, rank, alpha, TARGETS)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS, lora_dropout=0.0)
    theirs = get_peft_model(base, config, autocast_adapter_dtype=False)
    with torch.no_grad():
        for name, one in learned(theirs).items():
            one.copy_(numbers(*one.shape, seed=name, dtype=dtype))
    state = {name: one.detach() for name, one in learned(theirs).items()}
    reference.load_lora_state_dict(ours, state)
    return ours, theirs


def learned(theirs: nn.Module) -> dict[str, nn.Parameter]:
    """What learns in a model of peft, under our names."""
    return {
        name.removeprefix("base_model.model.")
        .replace("lora_A.default.weight", "A")
        .replace("lora_B.default.weight", "B"): one
        for name, one in theirs.named_parameters()
        if one.requires_grad
    }


def loss(logits: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())


@each_setting
@each_dtype
def test_the_output_is_the_same(dtype, rank, alpha, reference):
    ours, theirs = both(reference, dtype, rank, alpha)
    assert not torch.allclose(ours(IDS), toy(dtype)(IDS)), "the adapters do nothing"
    close(ours(IDS), theirs(IDS), f"rank {rank}, alpha {alpha}")


@each_setting
@each_dtype
def test_the_gradients_are_the_same(dtype, rank, alpha, reference):
    ours, theirs = both(reference, dtype, rank, alpha)
    for model in (ours, theirs):
        loss(model(IDS)).backward()
    mine = {name: one for name, one in ours.named_parameters() if one.grad is not None}
    same(sorted(mine), sorted(learned(theirs)), "the parameters with a gradient")
    for name, one in learned(theirs).items():
        assert one.grad.abs().sum() > 0, name
        close(mine[name].grad, one.grad, f"the gradient of {name}")


@each_setting
@each_dtype
def test_ten_steps_are_the_same(dtype, rank, alpha, reference):
    ours, theirs = both(reference, dtype, rank, alpha)
    for model in (ours, theirs):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(10):
            optimizer.zero_grad()
            loss(model(IDS)).backward()
            optimizer.step()
    close(ours(IDS), theirs(IDS), "after ten steps of AdamW", rtol=1e-3, atol=1e-4)


@each_setting
@each_dtype
def test_the_merged_weights_are_the_same(dtype, rank, alpha, reference):
    ours, theirs = both(reference, dtype, rank, alpha)
    reference.merge_lora(ours)
    merged = theirs.merge_and_unload()
    same(list(ours.state_dict()), list(merged.state_dict()), "the names of the merged model")
    for name, weight in merged.state_dict().items():
        close(ours.state_dict()[name], weight, f"{name} after merging")
    close(ours(IDS), merged(IDS), "the output after merging")


@each_setting
def test_as_many_parameters_learn(rank, alpha, reference):
    ours, theirs = both(reference, torch.float32, rank, alpha)
    learning, whole = theirs.get_nb_trainable_parameters()
    same(sum(one.numel() for one in ours.parameters() if one.requires_grad), learning, "the numbers that learn")
    same(sum(one.numel() for one in ours.parameters()), whole, "all numbers of the model")


def test_a_begins_as_theirs_does(reference):
    linear = nn.Linear(6, 4)
    torch.manual_seed(123)
    mine = reference.LoRALinear(copy.deepcopy(linear), 3, 1.0).A
    torch.manual_seed(123)
    expected = nn.Linear(6, 3, bias=False).weight  # peft's lora_A is such a layer, and drawn in the same way again
    close(mine.detach(), expected.detach(), "A after a seed, beside a fresh layer of its shape")
    theirs = get_peft_model(nn.Sequential(linear), LoraConfig(r=3, target_modules=["0"]))
    bound = 6**-0.5
    for a in (mine, learned(theirs)["0.A"]):
        assert 0.5 * bound < a.abs().max() <= bound, a
    close(learned(theirs)["0.B"].detach(), torch.zeros(4, 3), "their B begins with zeros")
