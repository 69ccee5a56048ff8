"""Tiny published models for tests: folders with the files and names of the real ones, and random numbers."""

import json

import torch
from safetensors.torch import save_file

from dojo.published.tokenizer import QWEN
from dojo.system.vocabulary import bytes_of_characters

MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("(", "a"), ("1", "2")]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>"]
TEMPLATE = "{{ '<|im_start|>' }} ... {{ '<|im_end|>' }}"
SIZES = {
    "vocab_size": 280, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": True, "eos_token_id": 262,
}  # fmt: skip
OF_FAMILY = {
    "qwen3": {},
    "llama": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                               "original_max_position_embeddings": 16}},
    "mixtral": {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 32, "tie_word_embeddings": False},
}  # fmt: skip


def configuration(family="qwen3", **changes):
    return {"model_type": family} | SIZES | OF_FAMILY[family] | changes


def weights(config):
    """Random tensors with the published names and shapes."""
    width, head_dim, hidden = config["hidden_size"], config["head_dim"], config["intermediate_size"]
    queries, keys = (config[name] * head_dim for name in ("num_attention_heads", "num_key_value_heads"))
    layer = {"input_layernorm": (width,), "post_attention_layernorm": (width,), "self_attn.q_proj": (queries, width)}
    layer |= {f"self_attn.{name}_proj": (keys, width) for name in "kv"} | {"self_attn.o_proj": (width, queries)}
    if config["model_type"] == "qwen3":
        layer |= {f"self_attn.{name}_norm": (head_dim,) for name in "qk"}
    if config["model_type"] == "mixtral":
        layer["block_sparse_moe.gate"] = (config["num_local_experts"], width)
        for expert in range(config["num_local_experts"]):
            shapes = {"w1": (hidden, width), "w2": (width, hidden), "w3": (hidden, width)}
            layer |= {f"block_sparse_moe.experts.{expert}.{name}": shape for name, shape in shapes.items()}
    else:
        layer |= {f"mlp.{name}_proj": (hidden, width) for name in ("gate", "up")} | {"mlp.down_proj": (width, hidden)}
    shapes = {"model.embed_tokens": (config["vocab_size"], width), "model.norm": (width,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head"] = shapes["model.embed_tokens"]
    for number in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    draw = torch.Generator().manual_seed(1)
    return {f"{name}.weight": torch.randn(shape, generator=draw).bfloat16() for name, shape in shapes.items()}


def tokenizer(**changes):
    """A tokenizer.json with all bytes, a few merges, and Qwen's pattern; changes replace what its model has."""
    signs = sorted(bytes_of_characters(), key=bytes_of_characters().__getitem__)
    vocab = {token: place for place, token in enumerate([*signs, *(left + right for left, right in MERGES)])}
    added = [{"id": len(vocab) + place, "content": name} for place, name in enumerate(SPECIAL)]
    model = {"type": "BPE", "vocab": vocab, "merges": [[*pair] for pair in MERGES], "ignore_merges": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN}, "behavior": "Isolated", "invert": False}
    steps = [split, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]
    return {
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": {"type": "ByteLevel", "trim_offsets": False},
        "decoder": {"type": "ByteLevel"},
        "model": model | changes,
    }


def write(folder, family="qwen3", **changes):
    """A folder with a model, and its configuration."""
    config = configuration(family, **changes)
    save_file(weights(config), folder / "model.safetensors")
    for name, content in {
        "config.json": config,
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {"chat_template": TEMPLATE},
        "generation_config.json": {"eos_token_id": [262, 264]},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return config
