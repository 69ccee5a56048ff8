"""Kata: checkpoints. The why, a figure and hints: docs/pretraining/checkpoint.md."""

import json
import os
import random
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    step: int,
    generator: torch.Generator | None = None,
) -> None:
    """Write what training needs to continue later into one file: the model, the optimizer and the number of steps done.

    Further clauses:
        safetensors  The file is a safetensors file. Each tensor of model.state_dict() is stored in it as model.<name>,
                     a tied one only once, under its first name.
        unchanged    Saving does not change the model, its gradients and its mode, the optimizer, or a random state.
        atomic       A save that fails, or is interrupted, raises that error, and leaves the file that was at path
                     before, and no other file.
        synced       The whole file is written beside path and passed to os.fsync, before os.replace moves it to path.

    Not allowed: pickle, cloudpickle, dill, marshal, shelve.
    Source: book section 5.4.
    """
    tensors: dict[str, Tensor] = {}
    content = {
        "step": step,
        "model": _first_names(model),
        "optimizer": {
            "class": type(optimizer).__name__,
            "parameters": _parameter_names(model, optimizer),
            "state_dict": _packed(optimizer.state_dict(), "optimizer", tensors),
        },
        "random": _packed(_random_states(generator), "random", tensors),
    }
    for name, tensor in model.state_dict().items():
        if content["model"][name] == name:
            tensors[f"model.{name}"] = tensor
    # Copies, because safetensors refuses tensors that share memory or are not contiguous.
    copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    _write(Path(path), save(copies, {"checkpoint": json.dumps(content)}))


def load_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    generator: torch.Generator | None = None,
) -> int:
    """Load what save_checkpoint wrote into a model and an optimizer made in the same way, and return the step.

    Clauses:
        example     A step with gradient 1, momentum 0.9 and lr 0.1 takes a parameter from 1 to 0.9. Saved, loaded and
                    stepped once more, it is 0.71.
        step        The result is the step that was saved.
        parameters  Each parameter of the model has the value that was saved.
        buffers     Each buffer of model.state_dict() has the value that was saved.
        state       The optimizer has the state that was saved for each parameter, such as averages and step counts.
        options     Each param group of the optimizer has the options that were saved, such as lr.
        in-place    The model keeps its parameter objects, so that the optimizer still trains them.

    Further clauses:
        random      After loading, Python's random, torch and generator draw the numbers that followed the save.
        generators  If a generator was saved and none is given, or the reverse, a ValueError has the word generator.
        names       A tensor that only the model has, or only the checkpoint, raises a ValueError with its name.
        shapes      A tensor with another shape or dtype than the model's raises a ValueError with its name.
        ties        Names that are one tensor in the model and two in the checkpoint, or the reverse, raise a ValueError
                    with one of them.
        optimizers  An optimizer of another class, or with other parameters or another order of them, raises a
                    ValueError.
        damaged     A file that is no checkpoint, or not a whole one, raises a ValueError with path.
        refused     A load that raises an error changes neither model, optimizer nor random states.

    Source: book section 5.4.
    """
    try:
        saved = _read(path)
    except OSError:
        raise
    except Exception as error:  # whatever safetensors and json raise for a damaged file
        raise ValueError(f"{path} is no checkpoint, or not a whole one") from error
    problem = (
        _misfit_of_model(saved["model"], model)
        or _misfit_of_optimizer(saved["optimizer"], model, optimizer)
        or _misfit_of_generator(saved["random"], generator)
    )
    if problem:
        raise ValueError(f"{path} does not fit: {problem}")

    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"]["state_dict"])
    states = saved["random"]
    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_initialized():
        torch.cuda.set_rng_state_all(states["cuda"])
    if generator is not None:
        generator.set_state(states["generator"])
    return saved["step"]


def _first_names(model: nn.Module) -> dict[str, str]:
    """For each name in the state dict, the first name of the same tensor: another one where tensors are tied."""
    firsts: dict[int, str] = {}
    return {name: firsts.setdefault(id(one), name) for name, one in model.state_dict(keep_vars=True).items()}


def _parameter_names(model: nn.Module, optimizer: Optimizer) -> list[list[str | None]]:
    """The model's names of the parameters in each group of an optimizer."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [[names.get(parameter) for parameter in group["params"]] for group in optimizer.param_groups]


def _random_states(generator: torch.Generator | None) -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "generator": None if generator is None else generator.get_state(),
    }


def _packed(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON. Tensors are put aside, and JSON has their names instead."""
    if isinstance(value, Tensor):
        tensors[place] = value
        return {"tensor": place}
    if isinstance(value, dict):  # as pairs, because keys in JSON are strings
        return {"dict": [[key, _packed(item, f"{place}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(item, f"{place}.{index}", tensors) for index, item in enumerate(value)]}
    if isinstance(value, list):
        return [_packed(item, f"{place}.{index}", tensors) for index, item in enumerate(value)]
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The reverse of _packed."""
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "tuple" in value:
        return tuple(_unpacked(value["tuple"], tensors))
    return {key: _unpacked(item, tensors) for key, item in value["dict"]}


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["checkpoint"])
        # Copies, because these are views of the file, which the next save replaces.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, it is no dict
    optimizer = content["optimizer"]
    return {
        "step": content["step"],
        "model": {name: tensors[f"model.{first}"] for name, first in content["model"].items()},
        "optimizer": {**optimizer, "state_dict": _unpacked(optimizer["state_dict"], tensors)},
        "random": _unpacked(content["random"], tensors),
    }


def _misfit_of_model(saved: dict[str, Tensor], model: nn.Module) -> str:
    """Why the model cannot take the saved tensors, or nothing."""
    mine = model.state_dict()
    if different := sorted(mine.keys() ^ saved.keys()):
        return f"{different[0]} is in the model or in the checkpoint, but not in both"
    for name, tensor in mine.items():
        if saved[name].shape != tensor.shape:
            return f"{name} has the shape {tuple(saved[name].shape)}, and {tuple(tensor.shape)} in the model"
        if saved[name].dtype != tensor.dtype:
            return f"{name} is {saved[name].dtype}, and {tensor.dtype} in the model"
    for name, first in _first_names(model).items():
        others = [other for other in saved if saved[other] is saved[name]]
        if others[0] != first:
            return f"{name} is tied in the model or in the checkpoint, but not in both"
    return ""


def _misfit_of_optimizer(saved: dict[str, Any], model: nn.Module, optimizer: Optimizer) -> str:
    if saved["class"] != type(optimizer).__name__:
        return f"the optimizer is a {type(optimizer).__name__}, and a {saved['class']} was saved"
    if saved["parameters"] != _parameter_names(model, optimizer):
        return "the optimizer has other parameters or another order of them than the one that was saved"
    return ""


def _misfit_of_generator(saved: dict[str, Any], generator: torch.Generator | None) -> str:
    if (saved["generator"] is None) != (generator is None):
        return "a generator was saved or given, but not both"
    return ""
