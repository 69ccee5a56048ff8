"""Kata: checkpoints. The why, a figure and hints: docs/pretraining/checkpoint.md."""

import json
import os
import random
from collections.abc import Iterator
from itertools import chain, repeat, zip_longest
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    step: SupportsIndex,
    generator: torch.Generator | None = None,
) -> None:
    """Write all that training needs to go on later into one file, between two steps.

    That is: the parameters and buffers of model.state_dict(); the state of optimizer, and the options of its groups,
    all that they hold beside params; step, the number of steps done; and the random states of Python's random, of torch
    on the CPU, on CUDA where that is in use, and of generator. Left out are gradients, the mode of the model, and
    NumPy's random state.

    Clauses:
        file       path becomes one safetensors file. Each tensor of model.state_dict() is in it as model.<its name>,
                   with its shape, dtype and bits, however it lies in memory. What is no tensor, step among it, is JSON,
                   under the key checkpoint of the file's metadata.
        once       A tensor with several names in the model, as a tied one has, is in the file once, as model.<the first
                   of them in the state dict>.
        plain      Nothing is pickled, by whatever module: torch.save and torch.load pickle.
        pure       Saving changes nothing: not the model, its gradients or its mode, not optimizer, no random state.
        whole      A save that fails, or is interrupted, leaves what was at path before, and no other file beside it.
        synced     The file is written beside path, and takes its place, by os.replace, only when all of it is on the
                   disk, by os.fsync.
        no-folder  A folder that is not there raises a FileNotFoundError.
        steps      A step below 0 raises a ValueError that names it, one that is no integer a TypeError that names its
                   type.
        storable   State and options may be tensors, int, float, bool, str, None, and lists, tuples and dicts of these.
                   Anything else among them raises a TypeError that names its type.
        stranger   A parameter of optimizer that is not the model's raises a ValueError that names its shape.

    Not allowed: pickle, cloudpickle, dill, marshal, shelve.
    Source: book section 5.4.
    """
    if index(step) < 0:
        raise ValueError(f"step must be at least 0, not {step}")
    names = _names_by_group(model, optimizer)
    if strangers := {name for group in names for name in group} - dict(model.named_parameters()).keys():
        raise ValueError(f"the optimizer has a parameter that the model lacks, with {strangers.pop()}")
    packing, state = _Packing(), optimizer.state_dict()
    content = {
        "step": index(step),
        "model": packing.packed(model.state_dict(keep_vars=True), "model"),
        "optimizer": {
            "class": type(optimizer).__name__,
            "parameters": names,
            "groups": packing.packed(state["param_groups"], "optimizer.groups"),
            "state": packing.packed(state["state"], "optimizer.state"),
        },
        "random": {
            "python": packing.packed(random.getstate(), "random.python"),
            "torch": packing.packed(
                {name: one.get_state() for name, one in _generators(generator).items()}, "random.torch"
            ),
        },
    }
    # Copies, for safetensors refuses tensors that share memory, or do not lie in it row by row.
    tensors = {name: one.detach().clone(memory_format=torch.contiguous_format) for name, one in packing.tensors.items()}
    _write(Path(path), save(tensors, {"checkpoint": json.dumps(content)}))


def load_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer,
    generator: torch.Generator | None = None,
) -> int:
    """Bring back what save_checkpoint wrote, into a model and an optimizer made as those were, and return step.

    Every ValueError names path, and beside it what its clause says.

    Clauses:
        step        The result is the step that was saved, an int.
        resumed     Training goes on as if it had never stopped, on a CPU to the bit: with dropout, momentum, changed
                    learning rates, and what generator shuffles.
        random      What is drawn next is what was drawn next after the save: from random, torch and generator.
        filled      The model's tensors are filled, not replaced: it has the same parameters, on the same devices, tied
                    where they were tied, and optimizer still has them.
        exact       State and options come back in value, type and dtype, however nested, and so do options that others
                    have added. A dtype may differ from the parameter's, and Optimizer.load_state_dict alone would not
                    keep it. A tensor that stood in two places still does.
        placed      A tensor of the state is on the device on which Optimizer.load_state_dict puts it, and one among the
                    options on that of the option before.
        own         What is done to the file later changes nothing that was loaded.
        names       A name in model.state_dict() that the checkpoint lacks, or the reverse: a ValueError with the name.
        shapes      Another shape or dtype of a tensor: a ValueError with its name, and both shapes or both dtypes.
        ties        Names of one tensor in the model that are two in the checkpoint, or the reverse: a ValueError with
                    one of them.
        optimizers  A class of another name: a ValueError with both names. Another number of groups: with both numbers.
                    Other parameters in a group, or in another order: with the name of one that stands elsewhere. An
                    option that optimizer.defaults and a group have and the checkpoint lacks: with the option.
        generators  A generator given and none saved, or the reverse: a ValueError with the word generator.
        no-file     A file that is no checkpoint, or not all of one, whatever it holds: a ValueError. No file at all: a
                    FileNotFoundError.
        kept        A load that is refused changes nothing: not the model, not optimizer, no random state.

    Source: book section 5.4.
    """
    with open(path, "rb"):  # what cannot be opened is an OSError
        pass
    generators = _generators(generator)
    try:
        saved = _read(path)
        problem = next(_misfits(saved, model, optimizer, generators), "")
        if not problem:
            _restore(optimizer, saved["optimizer"])
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint, or not all of one: {error!r}") from error
    if problem:
        raise ValueError(f"{path} does not fit: {problem}")
    model.load_state_dict(saved["model"])
    random.setstate(saved["random"]["python"])
    for name, one in generators.items():
        if name in saved["random"]["torch"]:
            one.set_state(saved["random"]["torch"][name])
    return saved["step"]


class _Packing:
    """Turns values into JSON, and keeps the tensors, each once, under the names that stand for them there."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}  # by identity, for two tensors may be equal and not the same

    def packed(self, value: Any, place: str) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            if id(value) not in self._names:
                while place in self.tensors:  # a key may have dots of its own
                    place += "'"
                self.tensors[place], self._names[id(value)] = value, place
            return {"tensor": self._names[id(value)]}
        if isinstance(value, list | tuple):
            items = [self.packed(item, f"{place}.{number}") for number, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict):  # as pairs, for JSON knows no keys but strings
            return {"dict": [[self.packed(key, place), self.packed(value[key], f"{place}.{key}")] for key in value]}
        raise TypeError(f"{place} is of the type {type(value).__name__}, which a checkpoint cannot hold")


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The reverse of packed."""
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "tuple":
        return tuple(_unpacked(inside, tensors))
    if kind == "dict":
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in inside}
    raise ValueError(f"nothing is packed as {kind!r}")


def _generators(generator: torch.Generator | None) -> dict[str, torch.Generator]:
    """All of torch's random states that count, by name. CUDA has none before it is used."""
    found = {"cpu": torch.default_generator}
    found |= {f"cuda.{place}": one for place, one in enumerate(torch.cuda.default_generators)}
    return found if generator is None else {**found, "generator": generator}


def _names_by_group(model: nn.Module, optimizer: Optimizer) -> list[list[str]]:
    """The model's names of the parameters in each group of an optimizer; of one that is not the model's, its shape."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [
        [names.get(one, f"the shape {tuple(one.shape)}") for one in group["params"]] for group in optimizer.param_groups
    ]


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
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
    """The content of a checkpoint, unpacked. A file that is none raises whatever it happens to raise."""
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["checkpoint"])
        # Copies, for these are views of the file, which may be changed or go.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, it is no dict
    if type(content["step"]) is not int or content["step"] < 0:
        raise ValueError(f"a step of {content['step']!r}")
    return {
        "step": content["step"],
        "model": _unpacked(content["model"], tensors),
        "optimizer": {name: _unpacked(part, tensors) for name, part in content["optimizer"].items()},
        "random": {name: _unpacked(part, tensors) for name, part in content["random"].items()},
    }


def _misfits(
    saved: dict[str, Any], model: nn.Module, optimizer: Optimizer, generators: dict[str, torch.Generator]
) -> Iterator[str]:
    """Whatever keeps a checkpoint from being loaded, one after the other. Nothing is changed."""
    yield from _misfits_of_model(saved["model"], model.state_dict(keep_vars=True))
    yield from _misfits_of_optimizer(saved["optimizer"], model, optimizer)
    states = saved["random"]["torch"]
    if "generator" in generators and "generator" not in states:
        yield "a generator was given, and none was saved"
    if "generator" in states and "generator" not in generators:
        yield "the state of a generator was saved, and no generator given"
    # Whether a state can be set, only setting it shows: here, in generators that nobody uses.
    random.Random().setstate(saved["random"]["python"])
    for name, one in generators.items():
        if name == "cpu" or name in states:
            torch.Generator(one.device).set_state(states[name])


def _misfits_of_model(saved: dict[str, Any], mine: dict[str, Any]) -> Iterator[str]:
    yield from (f"the model has {name}, and the checkpoint lacks it" for name in mine if name not in saved)
    yield from (f"the checkpoint has {name}, and the model lacks it" for name in saved if name not in mine)
    for name in mine:
        if isinstance(mine[name], Tensor):
            shape, other = tuple(saved[name].shape), tuple(mine[name].shape)
            if shape != other:
                yield f"{name} has the shape {shape} in the checkpoint, and {other} in the model"
            if saved[name].dtype != mine[name].dtype:
                yield f"{name} is {saved[name].dtype} in the checkpoint, and {mine[name].dtype} in the model"
    firsts = _first_names(saved)
    for name, first in _first_names(mine).items():
        if firsts[name] != first:
            yield f"{name} is tied to another in the checkpoint or in the model, and not in both"


def _first_names(state: dict[str, Any]) -> dict[str, str]:
    """The first name of the tensor that each name stands for: another one where it is tied."""
    firsts: dict[int, str] = {}
    return {name: firsts.setdefault(id(one), name) for name, one in state.items() if isinstance(one, Tensor)}


def _misfits_of_optimizer(saved: dict[str, Any], model: nn.Module, optimizer: Optimizer) -> Iterator[str]:
    if saved["class"] != type(optimizer).__name__:
        yield f"the optimizer was of the class {saved['class']}, and is of {type(optimizer).__name__}"
    if len(saved["groups"]) != len(optimizer.param_groups):
        yield f"the optimizer had {len(saved['groups'])} groups, and has {len(optimizer.param_groups)}"
    for number, names in enumerate(_names_by_group(model, optimizer)):
        if saved["parameters"][number] != names:
            pairs = zip_longest(names, saved["parameters"][number])
            first = next(mine or other for mine, other in pairs if mine != other)
            yield f"group {number} of the optimizer has other parameters, or in another order, from {first} on"
        for option in optimizer.defaults.keys() & optimizer.param_groups[number]:
            if option not in saved["groups"][number]:
                yield f"the optimizer has an option {option}, and the checkpoint lacks it"


def _restore(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Give an optimizer its state. What load_state_dict does about devices stays, what it does to values does not."""
    groups = []
    for mine, options in zip(optimizer.state_dict()["param_groups"], saved["groups"], strict=True):
        groups.append({name: _on_devices_of(mine.get(name), option) for name, option in options.items()})
        groups[-1]["params"] = mine["params"]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters):
        if number in saved["state"]:
            optimizer.state[parameter] = _on_devices_of(optimizer.state[parameter], saved["state"][number])


def _on_devices_of(other: Any, value: Any) -> Any:
    """A value, each tensor in it on the device of the tensor that stands in its place in another value."""
    if isinstance(value, Tensor):
        return value.to(other.device) if isinstance(other, Tensor) else value
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: _on_devices_of(other.get(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return type(value)(map(_on_devices_of, chain(other, repeat(None)), value))
    return value
