"""What is different in the two models that a run can hold, each made of the katas as they are served.

Both have trf_blocks with norms and an `att`, a final_norm and an out_head. Their configurations are dicts of what
GPTConfig or DecoderConfig takes, and are told apart by their names.
"""

from collections.abc import Mapping
from typing import Any

from dojo.train.ingredients import GPT2, MODERN

Config = Mapping[str, Any]
ROTARY_BASE = 10_000.0


def config_of(
    model: str, vocab_size: int, context_length: int, emb_dim: int, n_heads: int, n_layers: int, drop_rate: float
) -> dict[str, Any]:
    """The configuration of a model of some sizes.

    The modern one shares each head of keys and values between two heads of queries, if their number is even, and its
    feedforward part is as wide as it takes for a block to have the 12 * emb_dim ** 2 weights of GPT-2's.
    """
    sizes = {"vocab_size": vocab_size, "context_length": context_length, "emb_dim": emb_dim}
    if model == GPT2:
        return sizes | {"n_heads": n_heads, "n_layers": n_layers, "drop_rate": drop_rate, "qkv_bias": False}
    shared = n_heads if n_heads % 2 else n_heads // 2
    hidden = round((10 - 2 * shared / n_heads) * emb_dim / 3)  # attention has 2 + 2 * shared / n_heads, SwiGLU 3
    heads = {"num_layers": n_layers, "num_heads": n_heads, "num_kv_heads": shared}
    return sizes | heads | {"hidden_dim": hidden, "qk_norm": True, "rope_base": ROTARY_BASE}


def why_not(model: str, emb_dim: int, n_heads: int, drop_rate: float) -> str:
    """What of some sizes does not fit a model, in a sentence; empty where all does."""
    if emb_dim % n_heads:
        return f"{n_heads} heads do not share {emb_dim} features evenly"
    if model == MODERN and (width := emb_dim // n_heads) % 2:
        return f"the modern model rotates pairs of features, and a head of {width} cannot be split into pairs"
    if model == MODERN and drop_rate > 0:
        return f"the modern model has no dropout, so its drop rate is 0, and not {drop_rate:g}"
    return ""


def name_of(config: Config) -> str:
    """Which model a configuration is one of."""
    return MODERN if "num_layers" in config else GPT2


def heads(config: Config) -> int:
    return int(config["num_heads" if name_of(config) == MODERN else "n_heads"])


def layers(config: Config) -> int:
    return int(config["num_layers" if name_of(config) == MODERN else "n_layers"])


def build(config: Config) -> Any:
    """A new model."""
    from dojo.train import pieces

    if name_of(config) == GPT2:
        return pieces.module("gpt/model").GPTModel(pieces.module("gpt/config").GPTConfig(**config))
    decoder = pieces.module("modern/decoder")
    scaling = config.get("rope_scaling")
    made_of = scaling and pieces.module("modern/rope").RotaryScaling(**scaling)
    return decoder.DecoderModel(decoder.DecoderConfig(**{**config, "rope_scaling": made_of}))


def queries_and_keys(att: Any, x: Any, config: Config) -> tuple[Any, Any]:
    """What the heads of an attention compare while it reads x (1, tokens, emb_dim), each (heads, tokens, head_dim).

    Computed again from the attention's layers, because a learner's class need not return its weights.
    """
    from dojo.train import pieces

    count = heads(config)
    width = att.W_query.weight.shape[0] // count
    queries, keys = (part(x)[0].unflatten(-1, (-1, width)).transpose(0, 1) for part in (att.W_query, att.W_key))
    if name_of(config) == MODERN:
        if config.get("qk_norm"):
            queries, keys = att.query_norm(queries), att.key_norm(keys)
        rope, scaling = pieces.module("modern/rope"), config.get("rope_scaling")
        made_of = scaling and rope.RotaryScaling(**scaling)
        angles = rope.rotary_angles(width, x.shape[1], config["rope_base"], made_of).to(x.device)
        queries, keys = rope.apply_rotary(queries, angles), rope.apply_rotary(keys, angles)
        keys = keys.repeat_interleave(count // len(keys), dim=0)
    return queries, keys
