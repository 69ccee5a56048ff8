"""Checkpoints, clause by clause. The why: docs/pretraining/checkpoint.md."""

import contextlib
import os
import random
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from katas.pretraining.checkpoint import load_checkpoint, save_checkpoint
from tests.support import clause, close, dealt, numbers, refuses, same

STEP = 31_415
SAVED = {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}
torch.optim.SGD([torch.zeros(1)])  # for the first optimizer torch loads its compiler, which takes longer than any test


class Toy(torch.nn.Module):
    """A model with parameters and with buffers of two dtypes."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.last = torch.nn.Linear(3, 1)
        dealt(self)

    def forward(self, x):
        return self.last(self.norm(self.first(x)))


class Tied(torch.nn.Module):
    """A model in which two names can be one tensor."""

    def __init__(self, tied):
        super().__init__()
        self.tok_emb = torch.nn.Embedding(5, 2)
        self.out_head = torch.nn.Linear(2, 5, bias=False)
        if tied:
            self.out_head.weight = self.tok_emb.weight
        dealt(self)


def made(kind="AdamW"):
    """A new model and its optimizer."""
    model = Toy()
    if kind == "SGD":
        groups = [{"params": model.first.parameters(), "momentum": 0.9}, {"params": model.last.parameters()}]
        return model, torch.optim.SGD(groups, lr=0.5)
    return model, torch.optim.AdamW(model.parameters(), lr=0.05)


def of(model, kind=torch.optim.SGD):
    return model, kind(model.parameters(), lr=0.1)


def trained(kind="AdamW", steps=2):
    """A model and its optimizer after some steps: other options than at first, and one parameter without a state."""
    model, optimizer = made(kind)
    for step in range(steps):
        optimizer.zero_grad()
        model(numbers(4, 2, seed=step)).square().mean().backward()
        model.first.weight.grad = None
        optimizer.step()
    optimizer.param_groups[0]["lr"] *= 0.7
    optimizer.param_groups[0]["weight_decay"] += 0.2
    return model, optimizer


def state_of(optimizer):
    """The state of each parameter, in the order of the groups."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [optimizer.state.get(parameter, {}) for parameter in parameters]


def options_of(optimizer):
    """The options of each group; tuples and lists are not told apart."""
    groups = [{name: group[name] for name in group if name != "params"} for group in optimizer.param_groups]
    return [{name: list(o) if isinstance(o, tuple | list) else o for name, o in group.items()} for group in groups]


def plain(value):
    """A value in which tensors are lists, for `same`."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), value.detach().tolist()]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def everything(model, optimizer, generator=None):
    """All that a checkpoint is about, as it is."""
    generator = torch.Generator() if generator is None else generator
    return {
        "the model": plain(dict(model.state_dict())),
        "the gradients": plain([parameter.grad for parameter in model.parameters()]),
        "the mode": model.training,
        "the optimizer's state": plain(state_of(optimizer)),
        "the optimizer's options": options_of(optimizer),
        "Python's random": random.getstate(),
        "torch's random state": torch.get_rng_state().tolist(),
        "the generator": generator.get_state().tolist(),
    }


def unchanged(before, after, because):
    """Assert that two results of everything are the same."""
    __tracebackhide__ = True
    for part in before:
        assert before[part] == after[part], f"{part} changed: {because}"


def draws(generator):
    """The next numbers of Python, of torch and of a generator."""
    return [[random.random(), random.gauss(0, 1)], torch.rand(2).tolist(), torch.rand(2, generator=generator).tolist()]


def stored(path):
    """The tensors of a file, as safetensors reads them, and its metadata."""
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def tensors_in(path):
    try:
        return stored(path)[0]
    except Exception as error:
        pytest.fail(f"safetensors cannot read the file: {error}")


def files(path):
    return sorted(file.name for file in Path(path).parent.iterdir())


@contextlib.contextmanager
def failing(name, error):
    """Within, a function of os raises an error. What is given fills with the errors that it raised."""
    raised = []

    def fails(*_, **__):
        raised.append(error)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, fails)
        yield raised


@contextlib.contextmanager
def watched(path):
    """Notes of the calls of os.fsync and os.replace: the size of the file, and whether path was there yet."""
    calls, fsync, replace = [], os.fsync, os.replace

    def synced(file):
        calls.append(("fsync", os.fstat(file if isinstance(file, int) else file.fileno()).st_size, path.exists()))
        fsync(file)

    def replaced(src, dst, **options):
        calls.append(("replace", os.stat(src).st_size, path.exists()))
        replace(src, dst, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        patch.setattr(os, "replace", replaced)
        yield calls


def layers(**shapes):
    return torch.nn.ModuleDict({name: torch.nn.Linear(*shape) for name, shape in shapes.items()})


def turned():
    """A model with a transposed parameter."""
    model = torch.nn.Module()
    model.turned = torch.nn.Parameter(numbers(2, 3).mT)
    return model


def grouped(*groups):
    model = layers(a=(2, 3), b=(2, 3))
    named = dict(model.named_parameters())
    return model, torch.optim.SGD([{"params": [named[name] for name in group]} for group in groups], lr=0.1)


def table_of(tied):
    model = Tied(tied)
    return model, torch.optim.SGD([model.tok_emb.weight], lr=0.1)  # the same parameters, tied or not


ONE, TWO = {"a": (2, 3)}, {"a": (2, 3), "b": (2, 3)}
A, B = ["a.weight", "a.bias"], ["b.weight", "b.bias"]
MISFITS = {  # by clause: what is saved, what it is loaded into, and what the error names
    "names, one more in the checkpoint": (lambda: of(layers(**TWO)), lambda: of(layers(**ONE)), "b."),
    "names, one more in the model": (lambda: of(layers(**ONE)), lambda: of(layers(**TWO)), "b."),
    "shapes, other": (lambda: of(layers(a=(2, 3))), lambda: of(layers(a=(2, 7))), "a."),
    "shapes, another dtype": (lambda: of(layers(a=(2, 3)).double()), lambda: of(layers(a=(2, 3))), "a."),
    "ties, in the checkpoint": (lambda: table_of(True), lambda: table_of(False), "weight"),
    "ties, in the model": (lambda: table_of(False), lambda: table_of(True), "weight"),
    "optimizers, another class": (lambda: of(Toy()), lambda: made("AdamW"), ""),
    "optimizers, another number of groups": (lambda: grouped(A, B), lambda: grouped([*A, *B]), ""),
    "optimizers, another order": (lambda: grouped(A, B), lambda: grouped(B, A), ""),
    "generators, none was saved": (lambda: of(Toy()), lambda: (*of(Toy()), torch.Generator()), "generator"),
    "generators, none is given": (lambda: (*of(Toy()), torch.Generator()), lambda: of(Toy()), "generator"),
}


def fitting(name):
    """The misfits of a clause, as parameters of its test."""
    cases = [case for case in MISFITS if case.startswith(f"{name},")]
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.partition(", ")[2])


def save_misfit(path, case, kata_save=save_checkpoint):
    """Save what does not fit; what it is to be loaded into, and what the error names."""
    saving, loading, named = MISFITS[case]
    model, optimizer, *generator = saving()
    optimizer.param_groups[0]["lr"] = 0.7
    kata_save(path, model, optimizer, STEP, *generator)
    return loading(), named


def refused(path, case):
    loading, named = save_misfit(path, case)
    with refuses(ValueError, named):
        load_checkpoint(path, *loading)


DAMAGES = {
    "an empty file": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_bytes(b"once upon a time, there was no checkpoint at all"),
    "half of a file": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a file of tensors alone": lambda path: save_file({"model.a": torch.zeros(2)}, path),
    "a file with other metadata": lambda path: save_file(*stored(path)[:1], path, {"format": "pt"}),
}


@pytest.fixture(autouse=True)
def own_random_states(monkeypatch):
    """No test depends on another's draws, and none waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda number: None)
    states = random.getstate(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    torch.set_rng_state(states[1])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def in_a_folder(case, *arguments):
        """A case with a path in a folder of its own; nothing waits for the disk."""

        def run():
            with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda number: None)
                return case(Path(folder) / "run", *arguments)

        return run

    def loaded(path, what, kind="AdamW"):
        kata.save_checkpoint(path, *trained(kind), STEP)
        model, optimizer = made(kind)
        step = kata.load_checkpoint(path, model, optimizer)
        return what(model, optimizer, step)

    def momentum(path):
        weight, optimizer = one_parameter()
        kata.save_checkpoint(path, weight, optimizer, 1)
        again, into = one_parameter(steps=0)
        kata.load_checkpoint(path, again, into)
        one_step(again, into)
        return again.weight.detach()

    def stored_names(path, tied):
        kata.save_checkpoint(path, *table_of(tied), STEP)
        return sorted(name for name in stored(path)[0] if "weight" in name)

    def changed_by_saving(path):
        model, optimizer = trained()
        generator = torch.Generator()
        before = everything(model, optimizer, generator)
        kata.save_checkpoint(path, model, optimizer, STEP, generator)
        after = everything(model, optimizer, generator)
        return [part for part in before if before[part] != after[part]]

    def left_after(path, name, error):
        kata.save_checkpoint(path, *trained(), STEP)
        before = path.read_bytes()
        swallowed = False
        with failing(name, error) as raised, contextlib.suppress(OSError, KeyboardInterrupt):
            kata.save_checkpoint(path, *trained(), STEP + 1)
            swallowed = bool(raised)
        return path.exists() and path.read_bytes() == before, len(files(path)), swallowed

    def order_of_calls(path):
        with watched(path) as calls:
            kata.save_checkpoint(path, *trained(), STEP)
        return [(name, size == path.stat().st_size, there) for name, size, there in calls]

    def drawn(path, which):
        generator = torch.Generator().manual_seed(3)
        random.seed(3), torch.manual_seed(3), draws(generator)
        kata.save_checkpoint(path, *made(), STEP, generator)
        draws(generator)
        kata.load_checkpoint(path, *made(), generator)
        return draws(generator)[which]

    def what_came(path, loading):
        try:
            return kata.load_checkpoint(path, *loading)
        except Exception as error:
            return type(error).__name__

    def misfit(path, case):
        return what_came(path, save_misfit(path, case, kata.save_checkpoint)[0])

    def changed_by_loading(path, case):
        loading, _ = save_misfit(path, case, kata.save_checkpoint)
        random.random(), torch.rand(1)
        before = everything(*loading)
        what_came(path, loading)
        after = everything(*loading)
        return [part for part in before if before[part] != after[part]]

    def damaged(path, damage):
        kata.save_checkpoint(path, *trained(), STEP)
        DAMAGES[damage](path)
        return what_came(path, made())

    def path_named(path):
        """Which error a text gives, and whether it has the path."""
        path.write_text("once upon a time")
        try:
            kata.load_checkpoint(path, *made())
        except Exception as error:
            return type(error).__name__, str(path) in str(error)

    def transposed(path):
        """What a save of a transposed parameter raises."""
        try:
            kata.save_checkpoint(path, *of(turned()), STEP)
        except Exception as error:
            return type(error).__name__

    parts = {
        "momentum": in_a_folder(momentum),
        "step": in_a_folder(loaded, lambda model, optimizer, step: step),
        "parameters": in_a_folder(loaded, lambda model, *_: model.last.weight.detach().clone()),
        "running mean": in_a_folder(loaded, lambda model, *_: model.norm.running_mean.clone()),
        "batches": in_a_folder(loaded, lambda model, *_: model.norm.num_batches_tracked.clone()),
        "state, AdamW": in_a_folder(loaded, lambda _, optimizer, __: plain(state_of(optimizer)[:1])),
        "state, SGD": in_a_folder(loaded, lambda _, optimizer, __: plain(state_of(optimizer)[:1]), "SGD"),
        "lr": in_a_folder(loaded, lambda _, optimizer, __: torch.tensor(optimizer.param_groups[0]["lr"])),
        "options": in_a_folder(loaded, lambda _, optimizer, __: options_of(optimizer), "SGD"),
        "same parameters": in_a_folder(loaded, lambda model, optimizer, _: held(model, optimizer)),
        "changed by saving": in_a_folder(changed_by_saving),
        "save of a transposed parameter": in_a_folder(transposed),
        "path in the error for a text": in_a_folder(path_named),
        "order of calls": in_a_folder(order_of_calls),
    }
    parts |= {f"file, tied={tied}": in_a_folder(stored_names, tied) for tied in (True, False)}
    for name, error in (("replace", OSError()), ("replace", KeyboardInterrupt()), ("fsync", OSError())):
        parts[f"left after {error!r} in os.{name}"] = in_a_folder(left_after, name, error)
    parts |= {f"draws of {w}": in_a_folder(drawn, i) for i, w in enumerate(("Python", "torch", "the generator"))}
    parts |= {f"load: {case}": in_a_folder(misfit, case) for case in MISFITS}
    parts |= {f"changed by loading: {case}": in_a_folder(changed_by_loading, case) for case in MISFITS}
    return parts | {f"load: {damage}": in_a_folder(damaged, damage) for damage in DAMAGES}


def one_parameter(steps=1):
    """A model of one number, 1, and gradient descent with momentum, after some steps with a gradient of 1."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        one_step(model, optimizer)
    return model, optimizer


def one_step(model, optimizer):
    model.weight.grad = torch.ones(1, 1)
    optimizer.step()


def held(model, optimizer):
    """Whether the optimizer has the parameters of the model."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [id(one) for one in parameters] == [id(one) for one in model.parameters()]


@clause("example")
def test_momentum_continues_after_loading(path):
    model, optimizer = one_parameter()
    save_checkpoint(path, model, optimizer, 1)
    again, into = one_parameter(steps=0)
    load_checkpoint(path, again, into)
    one_step(again, into)
    seen, expected = again.weight.detach()[0, 0], torch.tensor(0.71)
    close(seen, expected, "1 became 0.9 in a step, was saved and loaded, and made one more step; lr 0.1, momentum 0.9")


@clause("step")
@pytest.mark.parametrize("step", [0, 1, STEP])
def test_the_step_comes_back(step, path):
    save_checkpoint(str(path), *trained(), step)
    same(load_checkpoint(str(path), *made()), step, f"step {step} was saved, and load_checkpoint returned this")


@clause("parameters")
def test_the_parameters_come_back(path):
    model, optimizer = trained()
    save_checkpoint(path, model, optimizer, STEP)
    other, into = made()
    load_checkpoint(path, other, into)
    for name, parameter in other.named_parameters():
        close(parameter.detach(), model.get_parameter(name).detach(), f"the parameter {name} after loading")


@clause("buffers")
def test_the_buffers_come_back(path):
    model, optimizer = trained()
    save_checkpoint(path, model, optimizer, STEP)
    other, into = made()
    load_checkpoint(path, other, into)
    for name, buffer in other.named_buffers():
        close(buffer, model.get_buffer(name), f"the buffer {name} after loading")


@clause("state")
@pytest.mark.parametrize("kind", SAVED)
def test_the_state_of_the_optimizer_comes_back(kind, path):
    model, optimizer = trained(kind)
    save_checkpoint(path, model, optimizer, STEP)
    other, into = made(kind)
    load_checkpoint(path, other, into)
    same(plain(state_of(into)), plain(state_of(optimizer)), f"optimizer.state by parameter after loading, {kind}")


@clause("options")
@pytest.mark.parametrize("kind", SAVED)
def test_the_options_of_the_optimizer_come_back(kind, path):
    model, optimizer = trained(kind)
    save_checkpoint(path, model, optimizer, STEP)
    other, into = made(kind)
    load_checkpoint(path, other, into)
    same(options_of(into), options_of(optimizer), f"the options of the param groups after loading, {kind}")


@clause("in-place")
def test_the_model_keeps_its_parameters(path):
    save_checkpoint(path, *trained(), STEP)
    model, optimizer = made()
    before = dict(model.named_parameters())
    load_checkpoint(path, model, optimizer)
    for name, parameter in model.named_parameters():
        assert parameter is before[name], f"{name} is a new parameter after loading, and the optimizer has the old one"
    assert held(model, optimizer), "after loading, the optimizer has other parameters than the model"


@clause("safetensors")
def test_the_file_has_the_tensors_of_the_state_dict(path):
    model, optimizer = trained()
    save_checkpoint(path, model, optimizer, STEP)
    seen = {name: tensor for name, tensor in tensors_in(path).items() if name.startswith("model.")}
    expected = {f"model.{name}": tensor for name, tensor in sorted(model.state_dict().items())}
    same(plain(seen), plain(expected), "the tensors of the file whose names begin with model.")


@clause("safetensors")
def test_any_layout_in_memory_is_stored(path):
    model, row = turned(), torch.arange(5)
    model.register_buffer("left", row[:4])
    model.register_buffer("right", row[1:])
    save_checkpoint(path, *of(model), STEP)
    seen, expected = tensors_in(path), dict(model.state_dict())
    because = "in the file: turned is a transposed parameter, left and right are buffers that share memory"
    same({name: plain(seen.get(f"model.{name}", [])) for name in expected}, plain(expected), because)


@clause("safetensors")
@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_tensor_is_stored_once(tied, path):
    save_checkpoint(path, *table_of(tied), STEP)
    seen = sorted(name for name in tensors_in(path) if name.startswith("model."))
    expected = ["model.tok_emb.weight"] if tied else ["model.out_head.weight", "model.tok_emb.weight"]
    same(seen, expected, f"the tensors of the model in the file, tied={tied}; both have equal numbers")


@clause("unchanged")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_saving_changes_nothing(training, path):
    model, optimizer = trained()
    model.train(training)
    generator = torch.Generator()
    before = everything(model, optimizer, generator)
    save_checkpoint(path, model, optimizer, STEP, generator)
    unchanged(before, everything(model, optimizer, generator), "save_checkpoint was called")


@clause("atomic")
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt], ids=lambda error: error.__name__)
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_save_that_ends_early_leaves_the_old_file(name, error, path):
    save_checkpoint(path, *trained(), STEP)
    before = path.read_bytes()
    because = f"os.{name} raised {error.__name__} while a second checkpoint was saved at the same path"
    with failing(name, error) as raised:
        try:
            save_checkpoint(path, *trained(), STEP + 1)
        except error:
            assert path.exists(), f"{because}, and the first checkpoint is gone"
            assert path.read_bytes() == before, f"{because}, and the first checkpoint is not what it was"
        else:
            assert not raised, f"{because}, and save_checkpoint returned as if it had saved"
    same(files(path), [path.name], f"the files in the folder: {because}")


@clause("atomic")
def test_a_full_disk_leaves_the_old_file(path):
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of a file")
    model, optimizer = trained()
    save_checkpoint(path, model, optimizer, STEP)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with contextlib.suppress(Exception):
            save_checkpoint(path, model, optimizer, STEP + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before, "the disk was full in the middle of a save, and the first checkpoint is lost"
    same(files(path), [path.name], "the files in the folder, after the disk was full in the middle of a save")


@clause("synced")
def test_the_file_takes_its_place_when_it_is_on_the_disk(path):
    with watched(path) as calls:
        save_checkpoint(path, *trained(), STEP)
    size = path.stat().st_size
    expected = [("fsync", size, False), ("replace", size, False)]
    because = f"the last calls, with the size of the file and whether path was there; the file has {size} bytes"
    same(calls[-2:], expected, because)


@clause("random")
def test_what_is_drawn_next_comes_back(path):
    generator, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(9)
    draws(generator)  # random.gauss makes two numbers, and keeps one for the next call
    save_checkpoint(path, *made(), STEP, generator)
    expected = draws(generator)
    load_checkpoint(path, *made(), other)
    for name, seen, right in zip(("random", "torch", "generator"), draws(other), expected, strict=True):
        same(seen, right, f"the numbers that {name} draws after loading; expected are those drawn after the save")


@clause("generators")
@fitting("generators")
def test_a_generator_on_one_side_only_is_refused(case, path):
    refused(path, case)


@clause("names")
@fitting("names")
def test_other_names_are_refused(case, path):
    refused(path, case)


@clause("shapes")
@fitting("shapes")
def test_other_shapes_and_dtypes_are_refused(case, path):
    refused(path, case)


@clause("ties")
@fitting("ties")
def test_other_ties_are_refused(case, path):
    refused(path, case)


@clause("ties")
def test_a_tied_model_is_loaded_into_a_tied_one(path):
    save_checkpoint(path, *table_of(True), STEP)
    model, optimizer = table_of(True)
    load_checkpoint(path, model, optimizer)
    assert model.out_head.weight is model.tok_emb.weight, "the model was tied, and is not after loading"


@clause("optimizers")
@fitting("optimizers")
def test_another_optimizer_is_refused(case, path):
    refused(path, case)


@clause("damaged")
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_checkpoint_is_refused(damage, path):
    save_checkpoint(path, *trained(), STEP)
    DAMAGES[damage](path)
    with refuses(ValueError, path):
        load_checkpoint(path, *made())


@clause("damaged")
def test_a_checkpoint_without_one_of_its_tensors_is_refused(path):
    save_checkpoint(path, *trained(), STEP)
    tensors, metadata = stored(path)
    for name in tensors:
        save_file({other: tensor for other, tensor in tensors.items() if other != name}, path, metadata)
        with refuses(ValueError, path):
            load_checkpoint(path, *made())


@clause("refused")
@pytest.mark.parametrize("case", MISFITS, ids=str)
def test_what_does_not_fit_changes_nothing(case, path):
    loading, _ = save_misfit(path, case)
    random.random(), torch.rand(1)
    before = everything(*loading)
    with contextlib.suppress(Exception):
        load_checkpoint(path, *loading)
        return  # no error: that is another clause's matter
    unchanged(before, everything(*loading), f"a checkpoint did not fit ({case}), and load_checkpoint raised an error")
