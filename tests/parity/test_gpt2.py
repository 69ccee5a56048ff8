"""The reference, with the weights of a GPT-2 of transformers, computes, learns and writes as that GPT-2 does."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from dojo.serving.finder import served
from tests.support import close, numbers, same

SIZES = {"vocab_size": 101, "n_positions": 64, "n_embd": 32, "n_head": 4, "n_layer": 3}
IDS = (numbers(3, 17, seed="ids") * 50 + 50).long()  # (batch, tokens), every id between 0 and 100

each_way = pytest.mark.parametrize("way", ["file", "dict"])
each_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])
each_tie = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


@pytest.fixture(scope="module")
def reference() -> Iterator[SimpleNamespace]:
    with served({"*": "solutions"}):
        from katas.gpt.config import GPTConfig
        from katas.gpt.generate import generate_greedy
        from katas.gpt.model import GPTModel
        from katas.pretraining import gpt2_weights

        yield SimpleNamespace(
            GPTConfig=GPTConfig,
            GPTModel=GPTModel,
            generate_greedy=generate_greedy,
            load_gpt2_weights=gpt2_weights.load_gpt2_weights,
        )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Saved models, tied and not: every parameter is dealt anew, for new ones have norms of 1 and biases of 0."""
    made = {}
    for tied in (True, False):
        config = GPT2Config(**SIZES, tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None)
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(numbers(*parameter.shape, seed=name) / 2)
        made[tied] = tmp_path_factory.mktemp("tied" if tied else "untied")
        model.save_pretrained(made[tied])
    return made


def theirs(folder: Path, attention: str, dtype: torch.dtype = torch.float32) -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(folder, attn_implementation=attention).to(dtype).eval()


def ours(reference: SimpleNamespace, tensors_or_path, tied: bool = False, dtype: torch.dtype = torch.float32):
    """A model of the reference with these weights, in eval mode."""
    config = reference.GPTConfig(
        vocab_size=101, context_length=64, emb_dim=32, n_heads=4, n_layers=3, drop_rate=0.1, qkv_bias=True
    )
    model = reference.GPTModel(config).to(dtype)
    if tied:
        model.out_head.weight = model.tok_emb.weight
    reference.load_gpt2_weights(model, tensors_or_path)
    return model.eval()


def weights(folder: Path, way: str) -> Path | dict[str, torch.Tensor]:
    return folder / "model.safetensors" if way == "file" else theirs(folder, "eager").state_dict()


@each_tie
@each_attention
@each_way
def test_the_logits_are_the_same(way, attention, tied, reference, folders):
    model, gpt2 = ours(reference, weights(folders[tied], way)), theirs(folders[tied], attention)
    with torch.no_grad():
        close(model(IDS), gpt2(IDS).logits, f"loaded from a {way}, against {attention} attention")


@each_tie
@each_attention
def test_the_gradients_are_the_same(attention, tied, reference, folders):
    model, gpt2 = ours(reference, weights(folders[tied], "file"), tied=tied), theirs(folders[tied], attention)
    for logits in (model(IDS), gpt2(IDS).logits):
        functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten()).backward()
    # What turns weights into ours turns gradients into ours.
    expected = ours(reference, {name: one.grad for name, one in gpt2.named_parameters()}, tied=tied)
    for (name, mine), gradient in zip(model.named_parameters(), expected.parameters(), strict=True):
        assert gradient.abs().sum() > 0, name
        close(mine.grad, gradient.detach(), f"the gradient of {name}, against {attention} attention")


@each_tie
def test_greedy_generation_is_the_same(tied, reference, folders):
    model = ours(reference, weights(folders[tied], "file"), dtype=torch.float64)
    expected = written(theirs(folders[tied], "eager", torch.float64))
    seen = reference.generate_greedy(model, IDS, 40, 64)
    same(seen.tolist(), expected.tolist(), "40 tokens after a prompt of 17, the most likely one each time")


@each_tie
def test_sampling_at_temperature_0_is_the_same(tied, reference, folders):
    from katas.pretraining.sampling import generate

    model = ours(reference, weights(folders[tied], "file"), dtype=torch.float64)
    expected = written(theirs(folders[tied], "sdpa", torch.float64))
    seen = generate(model, IDS, 40, 64, temperature=0.0)
    same(seen.tolist(), expected.tolist(), "40 tokens after a prompt of 17, at a temperature of 0")


def written(gpt2: GPT2LMHeadModel) -> torch.Tensor:
    """What GPT-2 writes after the prompts, by its own generation, with its cache; (batch, 57)."""
    return gpt2.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=40, do_sample=False, pad_token_id=0)
