"""A model that was trained, or GPT-2 from a file of its weights, ready to generate text."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dojo.errors import DojoError
from dojo.system.files import NotRegular, check_regular
from dojo.train import models, pieces, tokens
from dojo.train.ingredients import MODELS, MODERN
from dojo.train.runs import Run
from dojo.train.speaking import CACHE, Speaker

WEIGHTS = "pretraining/gpt2_weights"  # the kata that reads GPT-2's weights
HEAD_DIM = 64  # of every published GPT-2


def katas(model: str) -> tuple[str, ...]:
    """The addresses of what a model takes to speak."""
    return ("text/bpe_tokenizer", *MODELS[model], "pretraining/sampling", *((CACHE,) if model == MODERN else ()))


def of_run(run: Run, device: str, cached: bool = False) -> Speaker:
    """The model of a run, as its last checkpoint has it. Raises DojoError where there is none that fits."""
    config = run.about()["config"]
    tokenizer = tokens.tokenizer_of(run, config["vocab_size"])
    model = _built(config)
    load(run, model)
    return Speaker(model.to(device).eval(), tokenizer, config, cached)


def load(run: Run, model: nn.Module) -> None:
    """Give a model the weights in the checkpoint of a run. Raises DojoError where there are none, or others."""
    if not os.path.lexists(run.checkpoint):
        raise DojoError(f"{run.name} has no checkpoint: `{run.again}` continues it.")
    try:
        model.load_state_dict(tensors(run, model))
    except RuntimeError as error:
        raise run.unloadable(f"does not fit the model: {why(error)}") from None


def tensors(run: Run, model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a model in the checkpoint of a run. Raises DojoError where it cannot be read, or is damaged."""
    from safetensors import SafetensorError

    try:
        found = weights(run.checkpoint)
    except NotRegular as error:
        raise run.unloadable(str(error).removeprefix(run.checkpoint.name).strip()) from None
    except (OSError, SafetensorError, RuntimeError) as error:
        raise run.unloadable(f"cannot be read: {why(error)}") from None
    if not found:
        raise run.unloadable("holds no model")
    for name, _ in model.named_parameters():  # a mask that is saved as well may hold -inf
        if name in found and not torch.isfinite(found[name]).all():
            raise run.unloadable(f"is damaged: not every number of {name} is finite")
    return found


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The tensors of the model in a checkpoint. Raises OSError, or safetensors' own error."""
    from safetensors import safe_open

    check_regular(checkpoint)
    with safe_open(checkpoint, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("model.")]  # noqa: SIM118, it is not a dict
        return {name.removeprefix("model."): file.get_tensor(name) for name in names}


def why(error: Exception) -> str:
    """An error in a line: its type, where a message alone says little, and of several lines the first that tells."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if not line.endswith(":")), "")
    return told.rstrip(".") if isinstance(error, (OSError, RuntimeError, ValueError)) and told else repr(error)


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
        model: nn.Module = models.build(config)
    return model
