"""From the config.json of a published model to what DecoderConfig takes."""

import math
from pathlib import Path
from typing import Any

from dojo.errors import DojoError
from dojo.published import folder as files

FAMILIES = ("llama", "qwen3", "mixtral")
LONGEST = 4096  # tokens that are read at most: the angles, and a mask that a learner's kata may keep, grow with them
QK_NORM_EPS = 1e-6  # of the query and key norm of the kata
LARGEST = 1 << 31


def configuration(folder: Path) -> dict[str, Any]:
    """What `models.build` takes to make the model of a folder. Raises DojoError for what the decoder kata lacks."""
    given = _Given(folder, files.needed(folder, "config.json"))
    family = given.content.get("model_type")
    if family not in FAMILIES:
        raise given.refusal(f"is of a model of type {family!r}, and those that can speak are {', '.join(FAMILIES)}")
    _refuse_what_is_lacking(given, family)
    heads, width = given.whole("num_attention_heads"), given.whole("hidden_size")
    shared = given.whole("num_key_value_heads", heads)
    head_dim = given.whole("head_dim", 128 if family == "qwen3" else width // heads)
    if heads % shared or head_dim % 2:
        raise given.refusal(
            f"has {heads} heads of {head_dim} features with {shared} of keys and values, which do not fit"
        )
    experts = given.whole("num_local_experts") if family == "mixtral" else 0
    top_k = given.whole("num_experts_per_tok") if experts else 0
    if top_k > experts:
        raise given.refusal(f"has {experts} experts, of which a token cannot use {top_k}")
    return {
        "vocab_size": given.whole("vocab_size"),
        "context_length": min(given.whole("max_position_embeddings"), _window(given, family), LONGEST),
        "emb_dim": width,
        "hidden_dim": given.whole("intermediate_size"),
        "num_layers": given.whole("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": shared,
        "head_dim": head_dim,
        "qk_norm": family == "qwen3",
        "rope_base": given.number("rope_theta", given.rotary.get("rope_theta", 1e6 if experts else 10_000.0)),
        "rope_scaling": _scaling(given),
        "norm_eps": given.number("rms_norm_eps", 1e-5 if experts else 1e-6),
        "tie_embeddings": given.content.get("tie_word_embeddings") is True,
        "num_experts": experts,
        "top_k": top_k,
    }


def parameters(config: dict[str, Any]) -> int:
    """How many numbers a model has."""
    width, head_dim = config["emb_dim"], config["head_dim"]
    attention = 2 * width * head_dim * (config["num_heads"] + config["num_kv_heads"]) + 2 * head_dim * config["qk_norm"]
    feedforward = 3 * width * config["hidden_dim"] * max(config["num_experts"], 1) + width * config["num_experts"]
    tables = (1 if config["tie_embeddings"] else 2) * config["vocab_size"] * width
    return int(tables + config["num_layers"] * (attention + feedforward + 2 * width) + width)


def ends(folder: Path) -> frozenset[int]:
    """The tokens that end a text, as generation_config.json or config.json has them; none where neither does."""
    for name in ("generation_config.json", "config.json"):
        found = files.read(folder, name).get("eos_token_id")
        if ids := {one for one in (found if isinstance(found, list) else [found]) if type(one) is int}:
            return frozenset(ids)
    return frozenset()


class _Given:
    """The content of a config.json, each value checked when it is read."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.path, self.content = folder / "config.json", content
        rotary = content.get("rope_parameters") or content.get("rope_scaling") or {}
        if not isinstance(rotary, dict):
            raise self.refusal("has rotary parameters that are no object")
        self.rotary = rotary

    def refusal(self, why: str) -> DojoError:
        return DojoError(f"{self.path} {why}.")

    def whole(self, name: str, usual: int | None = None) -> int:
        value = self.content.get(name)
        value = usual if value is None else value
        if type(value) is not int or not 0 < value < LARGEST:
            raise self.refusal(f"has {value!r} as {name}, which is no sane size")
        return value

    def number(self, name: str, usual: Any = None) -> float:
        return self.checked(name, self.content.get(name, usual))

    def checked(self, name: str, value: Any) -> float:
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.refusal(f"has {value!r} as {name}, which is no positive number")
        return float(value)


def _refuse_what_is_lacking(given: _Given, family: str) -> None:
    """The decoder kata has no biases, one activation, and one epsilon of the query and key norm."""
    for name in ("attention_bias", "mlp_bias"):
        if given.content.get(name):
            raise given.refusal(f"has {name}, which the decoder kata does not have")
    if given.content.get("quantization_config"):
        raise given.refusal("has quantized weights, which are not supported")
    if (activation := given.content.get("hidden_act", "silu")) != "silu":
        raise given.refusal(f"has {activation!r} as hidden_act, and SwiGLU is made with silu")
    if family == "qwen3" and given.number("rms_norm_eps", QK_NORM_EPS) != QK_NORM_EPS:
        raise given.refusal(f"has an rms_norm_eps that is not {QK_NORM_EPS}, the one of the query and key norm")


def _window(given: _Given, family: str) -> int:
    """A text that is no longer than the sliding window is read as without one."""
    slides = family == "mixtral" or given.content.get("use_sliding_window")
    return given.whole("sliding_window", LARGEST - 1) if slides else LARGEST


def _scaling(given: _Given) -> dict[str, float] | None:
    rotary = given.rotary
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise given.refusal(f"has rotary scaling of type {kind!r}, and the katas know that of llama3 alone")
    factors = {
        name: given.checked(name, rotary.get(name)) for name in ("factor", "low_freq_factor", "high_freq_factor")
    }
    original = "original_max_position_embeddings"
    return factors | {"original_context_length": int(given.checked(original, rotary.get(original)))}
