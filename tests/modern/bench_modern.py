"""The decoder at the size of Qwen3-0.6B beside the one of transformers: tokens a second, with a cache and without.

Run with `python -m pytest -p benchmark -s tests/modern/bench_modern.py` where transformers is installed; `--quick` is
a small rehearsal. Both models have the same random weights in float32, and have to write the same text before they are
timed. What is asserted is a ratio of times measured in turn, in this run; seconds, also the processor's, are only told.
"""

from functools import partial
from time import process_time

import pytest
import torch

from dojo.ladder import classes
from dojo.ladder.measuring import Step, in_turn, median, ratio
from tests.support import numbers, same

transformers = pytest.importorskip("transformers", reason="the decoder is compared with transformers, not there")

decoder, kv_cache, plain = classes.reference("modern/decoder", "modern/kv_cache", "gpt/generate")
PROMPT, NEW = 16, 16
CACHED, PLAIN, THEIRS = "ours, cached", "ours, no cache", "transformers, cached"


def made(layers, vocab_size, folder):
    """Both models, with the same weights."""
    config = transformers.Qwen3Config(
        vocab_size=vocab_size, hidden_size=1_024, intermediate_size=3_072, num_hidden_layers=layers,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, max_position_embeddings=40_960, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.Qwen3ForCausalLM(config).eval()
    theirs.save_pretrained(folder)
    sizes = vocab_size, PROMPT + NEW, 1_024, 3_072, layers, 16, 8
    config = decoder.DecoderConfig(*sizes, head_dim=128, qk_norm=True, rope_base=1e6, tie_embeddings=True)
    ours = decoder.DecoderModel(config).eval()
    decoder.load_pretrained(ours, folder)
    return ours, theirs


def test_generation_at_the_size_of_qwen3_beside_transformers(benchmark, capsys, request, tmp_path):
    quick = request.config.getoption("--quick")
    layers, vocab_size = (4, 8_192) if quick else (28, 151_936)
    ours, theirs = made(layers, vocab_size, tmp_path)
    ids = (numbers(1, PROMPT).abs() * vocab_size).long()
    how = {"do_sample": False, "attention_mask": torch.ones_like(ids), "max_new_tokens": NEW, "pad_token_id": 0}
    ways = {
        CACHED: lambda: kv_cache.generate_cached(ours, ids, NEW, layers, PROMPT + NEW),
        PLAIN: lambda: plain.generate_greedy(ours, ids, NEW, PROMPT + NEW),
        THEIRS: partial(theirs.generate, ids, **how),
    }
    with torch.no_grad():
        expected = ways[THEIRS]().tolist()
        for name, way in ways.items():
            same(way().tolist(), expected, f"before timing: {NEW} tokens of {name}")
    rounds, computed = {}, {name: [] for name in ways}

    def timed(name):
        begun = process_time()
        ways[name]()
        computed[name].append(process_time() - begun)

    def once():
        steps = {name: Step(torch.no_grad()(partial(timed, name))) for name in ways}
        rounds.update(in_turn(steps, "cpu", 2.0 if quick else 20.0))

    benchmark.pedantic(once, rounds=1)
    speeds = {name: NEW / median(times) for name, times in rounds.items()}
    benchmark.extra_info.update({name: round(speed, 3) for name, speed in speeds.items()})
    with capsys.disabled():
        print(f"\n{layers} layers of 1024, float32, a prompt of {PROMPT} tokens and {NEW} new ones")
        for name, speed in speeds.items():
            told = f"{speed:6.2f} tokens/s  speed {ratio(rounds, name, THEIRS):5.2f} of {THEIRS}"
            seconds = [median(computed[one]) for one in (name, THEIRS)]
            print(f"{name:<22} {told}; in processor seconds {seconds[0]:.1f}, {seconds[1] / seconds[0]:.2f}")
    beside = ratio(rounds, CACHED, THEIRS)
    assert beside > 0.5, f"with a cache, ours has {beside:.2f} of the speed of {THEIRS}"
