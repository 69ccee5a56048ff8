"""A model that was trained, or GPT-2 from a file of its weights, ready to speak."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dojo.errors import DojoError
from dojo.learner import store
from dojo.train import pieces, tokens
from dojo.train.ingredients import MODEL
from dojo.train.runs import Run
from dojo.train.speaking import Speaker

# The katas that speaking takes, and the one that reads GPT-2's weights.
KATAS = ("text/bpe_tokenizer", *MODEL, "pretraining/sampling")
WEIGHTS = "pretraining/gpt2_weights"
HEAD_DIM = 64  # of every published GPT-2


def of_run(run: Run, device: str) -> Speaker:
    """The model of a run, as its last checkpoint has it. Raises DojoError where there is none that fits."""
    from safetensors import SafetensorError

    config = run.about()["config"]
    model = _built(config)
    try:
        model.load_state_dict(weights(run.checkpoint))
    except FileNotFoundError:
        raise DojoError(f"{run.name} has no checkpoint: `{run.again}` goes on with it.") from None
    except (OSError, SafetensorError, RuntimeError) as error:
        where = store.shown(run.checkpoint)
        raise DojoError(f"{where} cannot be loaded: {str(error).splitlines()[0]}") from None
    return Speaker(model.to(device).eval(), tokens.tokenizer_of(run), config)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The tensors of the model in a checkpoint. Raises OSError, or safetensors' own error."""
    from safetensors import safe_open

    with safe_open(checkpoint, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("model.")]  # noqa: SIM118, it is no dict
        return {name.removeprefix("model."): file.get_tensor(name) for name in names}


def of_gpt2(path: Path, device: str) -> Speaker:
    """GPT-2 from a safetensors file in Hugging Face's layout. Raises DojoError where it is none."""
    tokenizer, config = tokens.gpt2().tokenizer, config_of(path)
    model = _built(config)
    try:
        pieces.module(WEIGHTS).load_gpt2_weights(model, path)
    except (OSError, ValueError) as error:
        raise DojoError(f"{path} cannot be loaded: {error}") from None
    return Speaker(model.to(device).eval(), tokenizer, config)


def config_of(path: Path) -> dict[str, Any]:
    """The configuration of a GPT-2 by the shapes of its weights; its heads by config.json, or of 64 features each."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            shapes = {name.removeprefix("transformer."): file.get_slice(name).get_shape() for name in names}
        vocab_size, emb_dim = shapes["wte.weight"]
        context_length, _ = shapes["wpe.weight"]
        layers = len([name for name in shapes if name.startswith("h.") and name.endswith(".ln_1.weight")])
    except (OSError, SafetensorError) as error:
        raise DojoError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    except (KeyError, ValueError):
        raise DojoError(f"{path} does not hold GPT-2's weights in Hugging Face's layout.") from None
    try:
        heads = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))["n_head"]
    except (OSError, ValueError, KeyError, TypeError):
        heads = max(emb_dim // HEAD_DIM, 1)
    return {
        "vocab_size": vocab_size,
        "context_length": context_length,
        "emb_dim": emb_dim,
        "n_heads": heads,
        "n_layers": layers,
        "drop_rate": 0.0,
        "qkv_bias": True,
    }


def _built(config: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng():
        model: nn.Module = pieces.module("gpt/model").GPTModel(pieces.module("gpt/config").GPTConfig(**config))
    return model
