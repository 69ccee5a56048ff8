"""The reference's decoder, with the weights of Llama, Qwen3 and Mixtral of transformers, computes as those do."""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig, PreTrainedConfig, Qwen3Config

from dojo.serving.finder import served
from tests.support import close, numbers, same

IDS = (numbers(3, 17, seed="ids") * 50 + 50).long()  # (batch, tokens), every id between 0 and 100
USUAL: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
SCALED = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def rope(base: float, **scaling: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", **scaling, "rope_theta": base}}


FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**USUAL, **rope(10_000.0), rms_norm_eps=1e-5, tie_word_embeddings=False),
    "llama 3.2": LlamaConfig(**USUAL, **rope(500_000.0, **SCALED), rms_norm_eps=1e-5, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**USUAL, **rope(1e6), head_dim=16, tie_word_embeddings=True),
    "qwen3 untied": Qwen3Config(**USUAL, **rope(1e6), head_dim=16, tie_word_embeddings=False),
    "mixtral": MixtralConfig(**USUAL, **rope(1e6), num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
}
PUBLISHED: dict[str, tuple[PreTrainedConfig, int]] = {
    "Qwen3-0.6B": (
        Qwen3Config(
            vocab_size=151_936,
            hidden_size=1_024,
            intermediate_size=3_072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=40_960,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            **rope(1e6),
        ),
        596_049_920,
    ),
    "Llama-3.2-1B": (
        LlamaConfig(
            vocab_size=128_256,
            hidden_size=2_048,
            intermediate_size=8_192,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=64,
            max_position_embeddings=131_072,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            **rope(500_000.0, **{**SCALED, "factor": 32.0, "original_max_position_embeddings": 8_192}),
        ),
        1_235_814_400,
    ),
}

each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def reference() -> Iterator[SimpleNamespace]:
    with served({"*": "solutions"}):
        from katas.modern import decoder, kv_cache, mixture_of_experts, rope

        yield SimpleNamespace(
            **{name: getattr(decoder, name) for name in ("DecoderConfig", "DecoderModel", "load_pretrained")},
            generate_cached=kv_cache.generate_cached,
            load_balancing_loss=mixture_of_experts.load_balancing_loss,
            RotaryScaling=rope.RotaryScaling,
            rotary_angles=rope.rotary_angles,
        )


def configured(reference: SimpleNamespace, theirs: PreTrainedConfig) -> Any:
    """The reference's configuration for one of transformers'."""
    given = theirs.rope_parameters
    scaling = None
    if given["rope_type"] == "llama3":
        names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        scaling = reference.RotaryScaling(*(given[name] for name in names))
    return reference.DecoderConfig(
        vocab_size=theirs.vocab_size,
        context_length=theirs.max_position_embeddings,
        emb_dim=theirs.hidden_size,
        hidden_dim=theirs.intermediate_size,
        num_layers=theirs.num_hidden_layers,
        num_heads=theirs.num_attention_heads,
        num_kv_heads=theirs.num_key_value_heads,
        head_dim=getattr(theirs, "head_dim", None),
        qk_norm=theirs.model_type == "qwen3",
        rope_base=given["rope_theta"],
        rope_scaling=scaling,
        norm_eps=theirs.rms_norm_eps,
        tie_embeddings=theirs.tie_word_embeddings,
        num_experts=getattr(theirs, "num_local_experts", 0),
        top_k=getattr(theirs, "num_experts_per_tok", 0),
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved models: every parameter is dealt anew, for new ones have norms of 1."""
    made = {}
    for family, config in FAMILIES.items():
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(numbers(*parameter.shape, seed=name) / 2)
        made[family] = tmp_path_factory.mktemp(family.replace(" ", "-"))
        model.save_pretrained(made[family])
    return made


def theirs(folder: Path, dtype: torch.dtype = torch.float64, attention: str = "eager") -> Any:
    how: dict[str, Any] = {"attn_implementation": attention, "dtype": dtype}
    # The fast way of the experts knows no float64.
    return AutoModelForCausalLM.from_pretrained(folder, experts_implementation="eager", **how).eval()


def ours(reference: SimpleNamespace, family: str, folder: Path, dtype: torch.dtype = torch.float64) -> Any:
    model = reference.DecoderModel(configured(reference, FAMILIES[family])).to(dtype)
    reference.load_pretrained(model, folder)
    return model


@each_family
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_logits_are_the_same(family, attention, reference, folders):
    model, other = (
        ours(reference, family, folders[family], torch.float32),
        theirs(folders[family], torch.float32, attention),
    )
    with torch.no_grad():
        close(model(IDS), other(IDS).logits, f"a {family}, against {attention} attention", atol=1e-4, rtol=1e-4)


@each_family
def test_the_gradients_are_the_same(family, reference, folders, tmp_path):
    model, other = ours(reference, family, folders[family]), theirs(folders[family])
    for logits in (model(IDS), other(IDS).logits):
        functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten()).backward()
    # What turns their weights into ours turns their gradients into ours.
    with torch.no_grad():
        for parameter in other.parameters():
            assert parameter.grad is not None
            parameter.copy_(parameter.grad)
    other.save_pretrained(tmp_path)
    expected = ours(reference, family, tmp_path)
    for (name, mine), gradient in zip(model.named_parameters(), expected.parameters(), strict=True):
        assert gradient.abs().sum() > 0, name
        close(mine.grad, gradient.detach(), f"the gradient of {name} in a {family}", rtol=1e-4, atol=1e-6)


@each_family
@pytest.mark.parametrize("chunk", [None, 5])
def test_greedy_texts_are_the_same(family, chunk, reference, folders):
    model, other = ours(reference, family, folders[family]), theirs(folders[family])
    mask = torch.ones_like(IDS)
    expected = other.generate(IDS, attention_mask=mask, max_new_tokens=40, do_sample=False, pad_token_id=0)
    seen = reference.generate_cached(model, IDS, 40, 3, 64, chunk=chunk)
    same(seen.tolist(), expected.tolist(), f"40 tokens of a {family} after a prompt of 17, read in chunks of {chunk}")


@each_family
def test_shards_and_bfloat16_are_the_same(family, reference, folders, tmp_path):
    other = theirs(folders[family], torch.bfloat16)
    other.save_pretrained(tmp_path, max_shard_size="20KB")
    files = list(tmp_path.glob("*.safetensors"))
    assert len(files) > 1, files
    with torch.no_grad():
        expected = other.float()(IDS).logits
        close(ours(reference, family, tmp_path, torch.float32)(IDS), expected, f"a {family}", atol=1e-4, rtol=1e-4)


def test_the_balancing_loss_is_the_same(reference):
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    logits = 3 * numbers(40, 8, seed="router")
    for top_k in (1, 2, 8):
        expected = load_balancing_loss_func((logits,), 8, top_k)
        close(reference.load_balancing_loss(logits, top_k), expected, f"top_k={top_k}", rtol=1e-5)


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_published_model_has_its_names_shapes_and_count(model, reference, tmp_path):
    config, count = PUBLISHED[model]
    with torch.device("meta"):
        other = AutoModelForCausalLM.from_config(config)
        mine = reference.DecoderModel(configured(reference, config))
    assert sum(parameter.numel() for parameter in mine.parameters()) == count
    assert sum(parameter.numel() for parameter in other.parameters()) == count
    tensors = {name: tuple(one.shape) for name, one in other.named_parameters()}  # without lm_head, which is tied
    reference.load_pretrained(mine, sparse(tensors, tmp_path / "model.safetensors"))
    for missing in ("model.norm.weight", min(tensors)):
        fewer = {name: shape for name, shape in tensors.items() if name != missing}
        with pytest.raises(ValueError, match=missing):
            reference.load_pretrained(mine, sparse(fewer, tmp_path / "model.safetensors"))


def sparse(tensors: dict[str, tuple[int, ...]], path: Path) -> Path:
    """A safetensors file in bfloat16 with these names and shapes: a header, and zeros that take no room on a disk."""
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_angles_are_those_of_a_published_model(model, reference):
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = PUBLISHED[model][0]
    mine = configured(reference, config)
    seen = reference.rotary_angles(mine.head_dim, mine.context_length, mine.rope_base, mine.rope_scaling)
    frequencies = LlamaRotaryEmbedding(config).inv_freq
    close(seen[1], frequencies, f"the angles of {model} at position 1")
    positions = torch.tensor([0, 1, 1_000, 40_000])
    close(seen[positions], positions[:, None] * frequencies, f"the angles of {model} at some positions")
