"""RMSNorm, SwiGLU and rotary positions of the reference compute what those of transformers' Llama compute."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import (
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

from dojo.serving.finder import served
from tests.support import close, dealt, numbers

LLAMA_3 = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_context_length": 8192}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=lambda one: str(one)[6:])


@pytest.fixture(scope="module")
def reference() -> Iterator[SimpleNamespace]:
    with served({"*": "solutions"}):
        from katas.modern import rmsnorm, rope, swiglu

        yield SimpleNamespace(rmsnorm=rmsnorm, rope=rope, swiglu=swiglu)


def rotary_of_llama(scaled: bool, context_length: int, base: float) -> LlamaRotaryEmbedding:
    """Llama's embedding for heads of 64 features, with Llama 3.2's scaling or none."""
    scaling = {"rope_type": "default", "rope_theta": base}
    if scaled:
        scaling |= {"rope_type": "llama3", "original_max_position_embeddings": LLAMA_3["original_context_length"]}
        scaling |= {name: LLAMA_3[name] for name in ("factor", "low_freq_factor", "high_freq_factor")}
    sizes = {"hidden_size": 128, "num_attention_heads": 2, "max_position_embeddings": context_length}
    return LlamaRotaryEmbedding(LlamaConfig(**sizes, rope_parameters=scaling))


@DTYPES
def test_rmsnorm_is_llamas_to_the_last_digit(reference, dtype):
    mine, theirs = (dealt(norm.to(dtype)) for norm in (reference.rmsnorm.RMSNorm(48), LlamaRMSNorm(48)))
    x = 3 * numbers(2, 7, 48, dtype=dtype)
    digits = {"rtol": 0, "atol": 0} if dtype == torch.bfloat16 else {}
    close(mine(x), theirs(x), f"LlamaRMSNorm in {dtype}", **digits)


def test_swiglu_is_llamas(reference):
    config = LlamaConfig(hidden_size=24, intermediate_size=64, num_attention_heads=2)
    theirs, mine = dealt(LlamaMLP(config)), reference.swiglu.SwiGLU(24, 64)
    mine.load_state_dict(theirs.state_dict())
    x = numbers(2, 7, 24)
    close(mine(x), theirs(x), "LlamaMLP with the same weights")


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_the_frequencies_are_llamas(reference, scaled):
    scaling = reference.rope.RotaryScaling(**LLAMA_3) if scaled else None
    mine = reference.rope.rotary_angles(64, 2, base=500_000.0, scaling=scaling)[1]
    close(mine, rotary_of_llama(scaled, 16_384, 500_000.0).inv_freq, "inv_freq of LlamaRotaryEmbedding", atol=0)


@DTYPES
@pytest.mark.parametrize("begin", [0, 16_000])
def test_queries_and_keys_are_turned_as_llamas(reference, begin, dtype):
    queries, keys = (numbers(2, heads, 5, 64, seed=heads, dtype=dtype) for heads in (4, 2))
    at = torch.arange(begin, begin + 5)
    cos, sin = rotary_of_llama(False, 16_384, 10_000.0)(queries, at[None])
    angles = reference.rope.rotary_angles(64, 16_384)
    for name, x, theirs in zip(
        ("queries", "keys"), (queries, keys), apply_rotary_pos_emb(queries, keys, cos, sin), strict=True
    ):
        mine = reference.rope.apply_rotary(x, angles, at)
        # At 16 000 radians one step of float32 is 0.001.
        looser = {"atol": 2e-3} if begin and dtype == torch.float32 else {}
        close(mine, theirs, f"{name} at the positions {begin} to {begin + 4}", **looser)
