"""Checkpoints, clause by clause. The why: docs/pretraining/checkpoint.md."""

import contextlib
import json
import os
import pickle
import random
import re
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

from katas.pretraining.checkpoint import load_checkpoint, save_checkpoint
from tests.support import clause, dealt, numbers, refuses, same, toy_model

STEP = 31_415  # found again in a file, for no other number there is this one


class Tied(torch.nn.Module):
    """A toy whose table of tokens is its last layer too."""

    def __init__(self, tied=True):
        super().__init__()
        self.tok_emb = torch.nn.Embedding(11, 8)
        self.drop = torch.nn.Dropout(0.3)
        self.out_head = torch.nn.Linear(8, 11, bias=False)
        if tied:
            self.out_head.weight = self.tok_emb.weight
        dealt(self)

    def forward(self, ids):
        return self.out_head(self.drop(self.tok_emb(ids)))


class Odd(torch.nn.Module):
    """Every kind of tensor that a model may hold."""

    def __init__(self, seed=0):
        super().__init__()
        self.wide = torch.nn.Parameter(numbers(2, 3, seed=seed, dtype=torch.float64))
        self.short = torch.nn.Parameter(numbers(4, seed=seed, dtype=torch.bfloat16))
        self.turned = torch.nn.Parameter(numbers(3, 2, seed=seed).mT)
        self.single = torch.nn.Parameter(numbers(seed=seed))
        self.nothing = torch.nn.Parameter(torch.zeros(0, 3))
        row = torch.arange(5) + seed
        self.register_buffer("count", torch.tensor(2**40 + seed))
        self.register_buffer("seen", torch.tensor([True, False, bool(seed)]))
        self.register_buffer("left", row[:4])
        self.register_buffer("right", row[1:])
        self.register_buffer("derived", torch.tensor([7.0 + seed]), persistent=False)


class Hoarder(torch.optim.Optimizer):
    """An optimizer that keeps all that a state may hold."""

    def __init__(self, params, **options):
        super().__init__(params, {"lr": 0.5, "name": "plain", "betas": (0.9, 0.999), **options})

    def fill(self):
        for group in self.param_groups:
            shared = torch.tensor(3.0)
            for parameter in group["params"]:
                self.state[parameter] = {
                    "count": torch.tensor(2**40 + 1),
                    "precise": numbers(3, dtype=torch.float64) / 3,
                    "short": numbers(2, dtype=torch.bfloat16),
                    "mask": torch.tensor([True, False]),
                    "log": "a b\u00fc",
                    "done": False,
                    "best": None,
                    "loss": 0.1 + 0.2,
                    "tries": 2**60 + 1,
                    "past": [numbers(2), [1, 2.0, "x", (None, True)], {}],
                    "by key": {"0": "str", 0: "int", (1, "a"): numbers(1), None: []},
                    "a.b": numbers(1, seed=1),
                    "a": {"b": numbers(1, seed=2)},
                    "shared": shared,
                }
        return self


def plain(value):
    """A value with each tensor told by dtype, device, shape and numbers, for `same` to name what differs."""
    if isinstance(value, torch.Tensor):
        entries = "no values" if value.is_meta else value.detach().cpu().tolist()
        return [f"{value.dtype} on {value.device}, {tuple(value.shape)}", entries]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value.partition(" at 0x")[0] if isinstance(value, str) else value  # an address is another each time


def everything(model, optimizer, generator=None):
    """All that a checkpoint is about, as it stands."""
    found = {
        "model": plain(dict(model.state_dict())),
        "optimizer": plain(optimizer.state_dict()),
        "random": random.getstate(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
    return found if generator is None else {**found, "generator": generator.get_state().numpy().tobytes()}


def made(kind="AdamW", seed=None, dropout=0.3):
    """A model, its optimizer and a generator; with a seed, random states of its own."""
    if seed is not None:
        torch.manual_seed(seed), random.seed(seed)
    model = Tied() if kind == "tied" else toy_model(dropout=dropout)
    if kind == "bfloat16":
        model.bfloat16()
    generator = torch.Generator().manual_seed(seed or 0)
    if kind == "SGD":
        groups = [
            {"params": model[0].parameters(), "momentum": 0.9, "nesterov": True},
            {"params": model[2].parameters()},
        ]
        return model, torch.optim.SGD(groups, lr=0.5), generator
    return model, torch.optim.AdamW(model.parameters(), lr=0.05), generator


def trained(model, optimizer, generator, steps):
    """A training loop that draws from all that draws: what is read, what is dropped, how fast it learns."""
    model.train()
    for _ in range(steps):
        ids = torch.randint(0, 11, (2, 6), generator=generator)  # (batch, tokens)
        logits = model(ids[:, :-1]).float()  # (batch, tokens - 1, vocab_size)
        loss = random.uniform(0.5, 1.5) * functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def draws(generator):
    """The next numbers of every kind, after which all is as before."""
    states = random.getstate(), torch.get_rng_state(), generator.get_state()
    try:
        drawn = [random.random(), random.gauss(0, 1), random.randrange(10**9)]
        return [drawn, torch.rand(2).tolist(), torch.rand(2, generator=generator).tolist()]
    finally:
        random.setstate(states[0]), torch.set_rng_state(states[1]), generator.set_state(states[2])


def stored(path):
    """The tensors and the metadata of a file, as safetensors reads them."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}


def content(path):
    """The same, told as a failure where safetensors cannot."""
    if not path.exists():
        pytest.fail(f"save_checkpoint left no file at its path; the folder has {files(path)}")
    try:
        return stored(path)
    except Exception as error:
        pytest.fail(f"safetensors cannot read the file: {error}")


def files(path):
    return sorted(file.name for file in Path(path).parent.iterdir())


@contextlib.contextmanager
def refuses_file(path, *values):
    """As refuses, for a ValueError with path in it, and with the values apart from it."""
    __tracebackhide__ = True
    with refuses(ValueError, "<path>", *values):
        try:
            yield
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise ValueError(str(error).replace(str(path), "<path>")) from error


@pytest.fixture(autouse=True)
def own_random_states():
    """No test depends on another's draws."""
    states = random.getstate(), torch.get_rng_state()
    yield
    random.setstate(states[0]), torch.set_rng_state(states[1])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, path=None, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except BaseException as error:
            said = str(error).replace(str(path), "<path>")
            return type(error).__name__, [str(value) in said for value in ("<path>", *named)]

    def in_a_folder(case):
        def run():
            quick = pytest.MonkeyPatch.context()  # a diagnosis saves a thousand times, and need not wait for the disk
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quick as patch:
                warnings.simplefilter("ignore")
                patch.setattr(os, "fsync", lambda number: None)
                path = Path(folder) / "run"
                try:
                    return case(path)
                except Exception as error:
                    said = str(error).replace(str(path), "<path>")
                    # In no order: safetensors names tensors as a set has them, and that differs between processes.
                    return type(error).__name__, sorted(re.findall(r"[\w.<>]+", said))

        return run

    def saved(path, kind="AdamW", steps=2):
        setting = made(kind, seed=1)
        trained(*setting, steps)
        random.gauss(0, 1)
        kata.save_checkpoint(path, *setting[:2], STEP, setting[2])
        return setting

    def resumed(kind):
        def case(path):
            saved(path, kind)
            other = made(kind, seed=2)
            step = kata.load_checkpoint(path, *other[:2], other[2])
            trained(*other, 2)
            return step, plain(other[0].state_dict()), plain(other[1].state_dict()), draws(other[2])

        return in_a_folder(case)

    def written(path):
        saved(path, "tied")
        tensors, metadata = stored(path)
        return sorted(tensors), list(metadata), [tensors[name] for name in sorted(tensors) if "model." in name]

    def odd(path):
        model = Odd()
        kata.save_checkpoint(path, model, torch.optim.SGD(model.parameters(), lr=0.1), 5)
        other = Odd(seed=1)
        before = [id(value) for value in other.parameters()]
        step = kata.load_checkpoint(path, other, torch.optim.SGD(other.parameters(), lr=0.1))
        return step, plain(other.state_dict()), before == [id(value) for value in other.parameters()]

    def hoarded(path):
        model, other = toy_model(), toy_model()
        optimizer = Hoarder(model.parameters(), betas=(0.8, 0.99)).fill()
        optimizer.param_groups[0]["initial_lr"] = 0.25
        kata.save_checkpoint(path, model, optimizer, 5)
        into = Hoarder(other.parameters())
        kata.load_checkpoint(path, other, into)
        kata.save_checkpoint(path, other, into, 5)
        kata.load_checkpoint(path, other, into)
        first, second, _ = into.state.values()
        return plain(into.state_dict()), first["shared"] is second["shared"]

    def before_the_first_step(path):
        """No state is saved, and none of what a scheduler adds; both are there when it is loaded."""
        model, optimizer, _ = made()
        kata.save_checkpoint(path, model, optimizer, 1)
        trained(model, optimizer, None, 1)
        optimizer.param_groups[0]["initial_lr"] = 0.25
        return tried(lambda: kata.load_checkpoint(path, model, optimizer), path), plain(optimizer.state_dict()["state"])

    def twins(path):
        model = Tied(tied=False)
        with torch.no_grad():
            model.out_head.weight.copy_(model.tok_emb.weight)
        kata.save_checkpoint(path, model, torch.optim.SGD([model.tok_emb.weight], lr=0.1), 5)
        return sorted(stored(path)[0])

    def pure(path):
        model, optimizer, generator = made(seed=1)
        trained(model, optimizer, generator, 1)
        before = everything(model, optimizer, generator)
        kata.save_checkpoint(path, model, optimizer, 1, generator)
        after = everything(model, optimizer, generator)
        return (
            [name for name in before if before[name] != after[name]],
            [p.grad for p in model.parameters()],
            model.training,
        )

    def failing(path, name, error):
        saved(path)
        before, calls, there = path.read_bytes(), [], len(files(path))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, name, lambda *_, **__: calls.append(name) or raise_(error))
            came = tried(lambda: kata.save_checkpoint(path, *made(seed=3)[:2], 9))
        there = len(files(path)) - there
        return came, calls, path.exists() and path.read_bytes() == before, there

    def raise_(error):
        raise error

    def order(path):
        with pytest.MonkeyPatch.context() as patch:
            calls = watched(patch, path)
            kata.save_checkpoint(path, *made(seed=3)[:2], 9)
        return calls, files(path)

    def bad_saves(path):
        model, optimizer, _ = made()
        yield tried(lambda: kata.save_checkpoint(path.parent / "no" / "file", model, optimizer, 1)), files(path)
        for step in (-1, 2.0, "3", 0):
            yield tried(
                lambda step=step: kata.save_checkpoint(path, model, optimizer, step), None, step, type(step).__name__
            )
            yield files(path)
        for odd_one in (3 + 4j, {1}, object(), b"bytes", range(3), torch.float32):
            hoarder = Hoarder(model.parameters(), odd=[odd_one])
            named = type(odd_one).__name__
            yield tried(lambda one=hoarder: kata.save_checkpoint(path, model, one, 1), None, named), files(path)
        stranger = torch.optim.SGD([*model.parameters(), torch.nn.Parameter(torch.zeros(5, 7))], lr=0.1)
        yield tried(lambda: kata.save_checkpoint(path, model, stranger, 1), None, (5, 7)), files(path)

    def refused(path, only=""):
        for label, (saving, loading, named) in misfits().items():
            if label not in TOLD_APART or not label.startswith(only):
                continue
            kata.save_checkpoint(path, *saving[:2], 5, *saving[2:])
            random.random(), torch.rand(1)
            before = everything(*loading)
            came = tried(lambda: kata.load_checkpoint(path, *loading), path, *named)  # noqa: B023
            after = everything(*loading)
            yield label, came, [name for name in before if before[name] != after[name]]

    def broken(path):
        model, optimizer, generator = saved(path)
        ways = damages(path)
        for label in (label for label in ways if label in TOLD_APART or label.startswith(("short", "other r"))):
            ways[label]()
            random.random(), torch.rand(1)
            before = everything(model, optimizer, generator)
            came = tried(lambda: kata.load_checkpoint(path, model, optimizer, generator), path)
            after = everything(model, optimizer, generator)
            yield label, came, [name for name in before if before[name] != after[name]]
        yield tried(lambda: kata.load_checkpoint(path.with_name("none"), model, optimizer, generator))

    def on_meta(path):
        saved(path)
        model = toy_model().to("meta")
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        kata.load_checkpoint(path, model, optimizer, torch.Generator())
        return plain(model.state_dict()), plain(optimizer.state_dict())

    def options_on_meta(path):
        model = toy_model()
        kata.save_checkpoint(path, model, Hoarder(model.parameters(), lr=torch.tensor(0.5)), 5)
        into = Hoarder(model.parameters(), lr=torch.tensor(0.5, device="meta"))
        kata.load_checkpoint(path, model, into)
        return plain(into.state_dict())

    def overwritten(path):
        setting = saved(path)
        other = made(seed=2)
        kata.load_checkpoint(path, *other[:2], other[2])
        overwrite(path)
        return plain(other[0].state_dict()), plain(other[1].state_dict()), setting[0].training

    def without_pickle(path):
        with pytest.MonkeyPatch.context() as patch:
            calls = no_pickle(patch)
            came = tried(lambda: saved(path) and 0)
            other = made(seed=2)
            return came, tried(lambda: kata.load_checkpoint(path, *other[:2], other[2])), sorted(calls)

    ways_to_fail = ("replace", OSError()), ("replace", KeyboardInterrupt()), ("fsync", OSError())
    kinds = {f"resumed {kind}": resumed(kind) for kind in ("AdamW", "SGD", "tied")}
    return {
        **kinds,
        "file": in_a_folder(written),
        "odd": in_a_folder(odd),
        "hoarder": in_a_folder(hoarded),
        "pure": in_a_folder(pure),
        "failing": in_a_folder(lambda path: [failing(path, *case) for case in ways_to_fail]),
        "order": in_a_folder(order),
        "bad saves": in_a_folder(lambda path: list(bad_saves(path))),
        "refused": in_a_folder(lambda path: list(refused(path))),
        "broken": in_a_folder(lambda path: list(broken(path))),
        "meta": in_a_folder(lambda path: [on_meta(path), options_on_meta(path)]),
        "no state": in_a_folder(before_the_first_step),
        "twins": in_a_folder(twins),
        "ties": in_a_folder(lambda path: [written(path), list(refused(path, only="ties"))]),
        "overwritten": in_a_folder(overwritten),
        "pickle": in_a_folder(without_pickle),
    }


def watched(patch, path):
    """Notes when bytes are made sure of, and when and from where path gets them: [size, ...] and (size, beside it)."""
    calls, fsync, replace = [], os.fsync, os.replace

    def synced(file):
        number = file if isinstance(file, int) else file.fileno()
        calls.append(("fsync", os.fstat(number).st_size, path.exists()))
        fsync(number)

    def replaced(src, dst, **options):
        here = Path(dst) == path
        calls.append(("replace" if here else "elsewhere", os.stat(src).st_size, Path(src).parent == path.parent))
        replace(src, dst, **options)

    patch.setattr(os, "fsync", synced)
    patch.setattr(os, "replace", replaced)
    return calls


def no_pickle(patch):
    """Lets no pickle be made or read, and notes each try."""
    calls = []

    def refused(*_, **__):
        calls.append("pickle")
        raise RuntimeError("pickle was called")

    for module, names in (
        (pickle, ("dump", "dumps", "load", "loads", "Pickler", "Unpickler")),
        (torch, ("save", "load")),
    ):
        for name in names:
            patch.setattr(module, name, refused)
    return calls


def overwrite(path):
    """Fills the file with zeros where it lies, as another program might."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.write(bytes(size))


def misfits():
    """Checkpoints that do not fit: what is saved, what it is loaded into, and what the refusal names, by clause."""

    def of(model, kind=torch.optim.SGD, *generator, **options):
        return model, kind(model.parameters(), **{"lr": 0.1, **options}), *generator

    def odd(**changes):
        model = Odd()
        for name, value in changes.items():
            setattr(model, name, value)
        return model

    def layers(**shapes):
        return torch.nn.ModuleDict({name: torch.nn.Linear(*shape) for name, shape in shapes.items()})

    def grouped(*groups, model=None, kind=torch.optim.SGD, **options):
        model = model or layers(a=(2, 3), b=(2, 3))
        named = dict(model.named_parameters())
        return model, kind([{"params": [named[name] for name in group]} for group in groups], **{"lr": 0.1, **options})

    def table_of(model):
        return model, torch.optim.SGD([model.tok_emb.weight], lr=0.1)  # whose parameters are the same, tied or not

    class Same(Hoarder):
        pass

    Other = type("Same", (Hoarder,), {})  # of the same name
    two, one = layers(a=(2, 3), b=(2, 3)), layers(a=(2, 3))
    a, b = ["a.weight", "a.bias"], ["b.weight", "b.bias"]
    narrow = torch.nn.Parameter(odd().wide.float())
    return {
        "names, one more": (of(two), of(one), ["b.weight"]),
        "names, one less": (of(one), of(two), ["b.weight"]),
        "names, a buffer less": (of(odd(count=None)), of(Odd()), ["count"]),
        "names, a buffer more": (of(Odd()), of(odd(seen=None)), ["seen"]),
        "shapes, wider": (of(layers(a=(2, 3), b=(2, 3))), of(layers(a=(2, 3), b=(7, 3))), ["b.weight", (3, 2), (3, 7)]),
        "shapes, turned": (of(layers(a=(2, 5))), of(layers(a=(5, 2))), ["a.weight", (5, 2), (2, 5)]),
        "shapes, one": (of(odd(right=torch.arange(1))), of(Odd()), ["right", (1,), (4,)]),
        "shapes, axis": (of(odd(count=torch.tensor([3]))), of(Odd()), ["count", (1,), "()"]),
        "shapes, dtype": (of(odd(wide=narrow)), of(Odd()), ["wide", "float32", "float64"]),
        "shapes, dtype of a buffer": (of(odd(left=torch.zeros(4))), of(Odd()), ["left", "float32", "int64"]),
        "ties, of the checkpoint": (table_of(Tied()), table_of(Tied(tied=False)), ["weight"]),
        "ties, of the model": (table_of(Tied(tied=False)), table_of(Tied()), ["weight"]),
        "optimizers, class": (of(one), of(one, torch.optim.AdamW), ["SGD", "AdamW"]),
        "optimizers, class with the same options": (of(one, Hoarder), of(one, Same), ["Hoarder", "Same"]),
        "optimizers, groups": (grouped(a, b), grouped([*a, *b]), ["2", "1"]),
        "optimizers, one group more": (grouped([*a, *b]), grouped(a, b), ["1", "2"]),
        "optimizers, fewer parameters": (grouped(a), grouped([*a, "b.bias"]), ["b.bias"]),
        "optimizers, more parameters": (grouped([*a, "b.bias"]), grouped(a), ["b.bias"]),
        "optimizers, other parameters": (grouped([*a, "b.bias"], ["b.weight"]), grouped(a, b), ["b."]),
        "optimizers, groups swapped": (grouped(a, b), grouped(b, a), [".weight"]),
        "optimizers, order": (grouped(["a.bias", "a.weight"]), grouped(a), ["a."]),
        "optimizers, option": (of(one, Same), of(one, Other, rho=0.5), ["rho"]),
        "generators, none saved": (of(one), of(one, torch.optim.SGD, torch.Generator(), lr=0.3), ["generator"]),
        "generators, none given": (of(one, torch.optim.SGD, torch.Generator()), of(one), ["generator"]),
    }


def damages(path):
    """Ways to spoil a good checkpoint, each a function that writes the file anew."""
    whole = path.read_bytes()
    tensors, metadata = stored(path)
    said = metadata.get("checkpoint", "")

    def rewritten(tensors=tensors, said=said):
        return lambda: save_file(tensors, path, {**metadata, "checkpoint": said})

    def bytes_of(content):
        return lambda: path.write_bytes(content)

    ways = {
        "nothing": bytes_of(b""),
        "text": bytes_of(b"once upon a time, there was no checkpoint at all"),
        "a zip": bytes_of(b"PK\x03\x04" + bytes(200)),
        "a huge header": bytes_of(b"\xff" * 64),
        "the first half": bytes_of(whole[: len(whole) // 2]),
        "all but a byte": bytes_of(whole[:-1]),
        "a byte more": bytes_of(whole + b"\0"),
        "no metadata": lambda: save_file(tensors, path),
        "other metadata": lambda: save_file(tensors, path, {"format": "pt"}),
        "no tensors": rewritten({}),
        "negative step": rewritten(said=said.replace(str(STEP), f"-{STEP}")),
        "step of a half": rewritten(said=said.replace(str(STEP), f"{STEP}.5")),
        "step in words": rewritten(said=said.replace(str(STEP), '"many"')),
        "no step": rewritten(said=said.replace(str(STEP), "null")),
    }
    for text in ("", "{", "null", "7", "true", '"text"', "[]", "{}", "[[]]", "[" * 100_000, '{"a": ' * 100_000):
        ways[f"JSON {text[:8]!r}"] = rewritten(said=text)
    for name in tensors:
        ways[f"without {name}"] = rewritten({other: value for other, value in tensors.items() if other != name})
        if tensors[name].dtype == torch.uint8:  # what else but a random state
            ways[f"short {name}"] = rewritten({**tensors, name: tensors[name][:7].clone()})
            ways[f"other {name}"] = rewritten({**tensors, name: tensors[name].double()})
    return ways


def fitting(clause_name):
    """The misfits of a clause, as parameters of its test."""
    names = [name for name in MISFITS if name.startswith(f"{clause_name},")]
    return pytest.mark.parametrize("case", names, ids=lambda name: name.partition(", ")[2])


MISFITS = misfits()
TOLD_APART = {  # the misfits and damages on which the known mistakes differ
    "names, one more",
    "names, one less",
    "names, a buffer less",
    "names, a buffer more",
    "shapes, wider",
    "shapes, dtype",
    "shapes, dtype of a buffer",
    "ties, of the checkpoint",
    "ties, of the model",
    "optimizers, class with the same options",
    "optimizers, one group more",
    "optimizers, groups swapped",
    "optimizers, order",
    "optimizers, option",
    "generators, none saved",
    "generators, none given",
    "nothing",
    "the first half",
    "no metadata",
    "negative step",
}


@clause("file")
@pytest.mark.parametrize("kind", [str, Path])
def test_the_file_has_the_tensors_of_the_state_dict(kind, path):
    model = Odd()
    save_checkpoint(kind(path), model, torch.optim.SGD(model.parameters(), lr=0.1), STEP)
    tensors, _ = content(path)
    seen = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    because = "the tensors of the file that are called model.<name> are not those of the model's state dict"
    same(plain(seen), plain({name: model.state_dict()[name] for name in sorted(model.state_dict())}), because)


@clause("file")
def test_what_is_no_tensor_is_json(path):
    model, optimizer, generator = made(seed=1)
    save_checkpoint(path, model, optimizer, STEP, generator)
    said = content(path)[1].get("checkpoint")
    assert said is not None, f"the file's metadata has {list(content(path)[1])}, and no checkpoint"
    try:
        json.loads(said)
    except ValueError as error:
        pytest.fail(f"what stands under checkpoint in the metadata is no JSON: {error}")
    assert str(STEP) in said, f"step was {STEP}, and does not stand in the JSON"


@clause("once")
def test_a_tied_tensor_is_stored_once(path):
    model = Tied()
    save_checkpoint(path, model, torch.optim.SGD(model.parameters(), lr=0.1), STEP)
    seen = sorted(name for name in content(path)[0] if name.startswith("model."))
    same(seen, ["model.tok_emb.weight"], "tok_emb.weight and out_head.weight are one tensor, to be stored once")
    model = Tied(tied=False)
    save_checkpoint(path, model, torch.optim.SGD(model.parameters(), lr=0.1), STEP)
    seen = sorted(name for name in content(path)[0] if name.startswith("model."))
    because = "tok_emb.weight and out_head.weight are two tensors here, and each has to be stored"
    same(seen, ["model.out_head.weight", "model.tok_emb.weight"], because)


@clause("once")
def test_equal_tensors_are_not_tied(path):
    model = Tied(tied=False)
    with torch.no_grad():
        model.out_head.weight.copy_(model.tok_emb.weight)
    save_checkpoint(path, model, torch.optim.SGD(model.parameters(), lr=0.1), STEP)
    seen = sorted(name for name in content(path)[0] if name.startswith("model."))
    because = "two parameters have equal numbers and are still two: they will differ after the next step"
    same(seen, ["model.out_head.weight", "model.tok_emb.weight"], because)


@clause("plain")
def test_no_pickle_is_made_or_read(path):
    model, optimizer, generator = made("SGD", seed=1)
    trained(model, optimizer, generator, 1)
    step = None
    with pytest.MonkeyPatch.context() as patch:
        calls = no_pickle(patch)
        try:
            save_checkpoint(path, model, optimizer, STEP, generator)
            step = load_checkpoint(path, model, optimizer, generator)
        except Exception:
            if not calls:
                raise
    assert not calls, "pickle, torch.save or torch.load was called, and loading a pickle runs whatever it says"
    assert step == STEP, f"step {STEP} was saved, and {step} came back"


@clause("plain")
def test_the_file_holds_no_pickle(path):
    model, optimizer, generator = made("SGD", seed=1)
    trained(model, optimizer, generator, 1)
    save_checkpoint(path, model, optimizer, STEP, generator)
    content(path)
    signs = (b".pkl", b"torch._utils", b"_rebuild_tensor")
    found = [sign.decode() for sign in signs if sign in path.read_bytes()]
    assert not found, f"the file has {found} in it, as a pickle has: torch.save's bytes are a pickle in a tensor too"


@clause("pure")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_saving_changes_nothing(training, path):
    model, optimizer, generator = made(seed=1)
    trained(model, optimizer, generator, 2)
    model.train(training)
    before, gradients = everything(model, optimizer, generator), [p.grad.clone() for p in model.parameters()]
    save_checkpoint(path, model, optimizer, STEP, generator)
    after = everything(model, optimizer, generator)
    for part in before:
        same(after[part], before[part], f"after save_checkpoint the state of {part} is another")
    same(
        plain([p.grad for p in model.parameters()]), plain(gradients), "after save_checkpoint the gradients are others"
    )
    same(model.training, training, "after save_checkpoint the model is in another mode")
    content(path)


@clause("whole")
def test_a_save_that_ends_early_leaves_the_old_file(path):
    resource = pytest.importorskip("resource", reason="only Unix can end a write early on purpose")
    model, optimizer, _ = made(seed=1)
    save_checkpoint(path, model, optimizer, STEP)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        save_checkpoint(path, model, optimizer, STEP + 1)
    except Exception:
        pass
    else:
        pytest.fail("the disk was full in the middle of save_checkpoint, which did not say so")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    because = "the disk was full in the middle of save_checkpoint: write beside the file, and replace it at the end"
    assert path.exists() and path.read_bytes() == before, f"the old checkpoint is lost: {because}"  # noqa: PT018
    same(files(path), [path.name], f"the folder holds other files now: {because}, and clean up")
    save_checkpoint(path, model, optimizer, STEP + 1)
    same(load_checkpoint(path, model, optimizer), STEP + 1, "with room again, save_checkpoint wrote something else")


@clause("whole")
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt], ids=lambda error: error.__name__)
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_save_that_is_interrupted_leaves_the_old_file(name, error, path, monkeypatch):
    model, optimizer, _ = made(seed=1)
    save_checkpoint(path, model, optimizer, STEP)
    before = path.read_bytes()

    def fails(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fails)
        try:
            save_checkpoint(path, model, optimizer, STEP + 1)
        except error:
            because = f"os.{name} ended in {error.__name__} while a second checkpoint was saved over the first"
            assert path.exists() and path.read_bytes() == before, f"{because}, and the first is lost"  # noqa: PT018
            same(files(path), [path.name], f"{because}, and left more files in the folder")
    same(files(path), [path.name], "two checkpoints were saved at the same path, and the folder holds other files")
    assert load_checkpoint(path, model, optimizer) in (STEP, STEP + 1)


@clause("synced")
def test_the_file_takes_its_place_when_it_is_on_the_disk(path, monkeypatch):
    model, optimizer, _ = made(seed=1)
    with monkeypatch.context() as patch:
        calls = watched(patch, path)
        save_checkpoint(path, model, optimizer, STEP)
    assert "replace" in [call[0] for call in calls], "no os.replace put the file at its path"
    size = path.stat().st_size
    at = [call[0] for call in calls].index("replace")
    same(calls[at], ("replace", size, True), "os.replace took a file that was not whole, or lay in another folder")
    because = (
        "what os.replace puts in its place has first to be written out, in full, and then made sure of by os.fsync"
    )
    assert ("fsync", size, False) in calls[:at], f"the calls were {calls}, and the file has {size} bytes: {because}"


@clause("no-folder")
def test_a_folder_that_is_not_there_is_not_found(path):
    model, optimizer, _ = made()
    with refuses(FileNotFoundError):
        save_checkpoint(path.parent / "nowhere" / "run", model, optimizer, STEP)
    same(files(path), [], "the folder nowhere was not there, and has been made, or something else")


@clause("steps")
@pytest.mark.parametrize(
    ("step", "error", "named"),
    [(-1, ValueError, -1), (-7_000, ValueError, -7_000), (2.0, TypeError, "float"), ("3", TypeError, "str")],
    ids=repr,
)
def test_a_step_that_is_none_is_refused(step, error, named, path):
    model, optimizer, _ = made()
    with refuses(error, named):
        save_checkpoint(path, model, optimizer, step)
    same(files(path), [], f"step {step!r} was refused, and something was written")


@clause("storable")
@pytest.mark.parametrize("value", [3 + 4j, {1}, object(), b"bytes", range(3)], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("place", ["state", "option", "within"])
def test_what_cannot_be_stored_is_refused(place, value, path):
    model = toy_model()
    optimizer = Hoarder(model.parameters()).fill()
    save_checkpoint(path, model, optimizer, STEP)
    if place == "option":
        optimizer.param_groups[0]["odd"] = value
    else:
        optimizer.state[model[2].bias]["odd"] = value if place == "state" else [{"a": (value,)}]
    with refuses(TypeError, type(value).__name__):
        save_checkpoint(path, model, optimizer, STEP + 1)
    same(files(path), [path.name], "a save was refused, and something else was written")
    same(load_checkpoint(path, model, Hoarder(model.parameters())), STEP, "a save was refused, and the file is another")


@clause("stranger")
def test_a_parameter_of_another_model_is_refused(path):
    model = toy_model()
    stranger = torch.nn.Parameter(torch.zeros(5, 7))
    for groups in ([*model.parameters(), stranger], [{"params": model.parameters()}, {"params": [stranger]}]):
        with refuses(ValueError, (5, 7)):
            save_checkpoint(path, model, torch.optim.SGD(groups, lr=0.1), STEP)
        same(files(path), [], "the optimizer has a parameter that no state dict holds, and something was written")


@clause("step")
@pytest.mark.parametrize("step", [0, 1, STEP, 2**40], ids=str)
def test_the_step_comes_back(step, path):
    model, optimizer, _ = made()
    save_checkpoint(path, model, optimizer, step)
    same(load_checkpoint(path, model, optimizer), step, f"step {step} was saved")


@clause("resumed")
@pytest.mark.parametrize("kind", ["AdamW", "SGD", "tied", "bfloat16"])
def test_training_goes_on_as_if_it_had_never_stopped(kind, path):
    model, optimizer, generator = made(kind, seed=1)
    trained(model, optimizer, generator, 3)
    optimizer.param_groups[0]["lr"] *= 0.7  # as a schedule does
    save_checkpoint(path, model, optimizer, 3, generator)
    trained(model, optimizer, generator, 3)
    expected = everything(model, optimizer, generator)

    other, into, drawing = made(kind, seed=2)
    trained(other, into, drawing, 1)
    same(load_checkpoint(path, other, into, drawing), 3, "step 3 was saved")
    trained(other, into, drawing, 3)
    seen = everything(other, into, drawing)
    for part in seen:
        because = f"three more steps after loading differ from three more without a stop, in the state of {part}"
        same(seen[part], expected[part], because)


@clause("resumed")
def test_one_checkpoint_starts_two_runs(path):
    setting = made(seed=1)
    trained(*setting, 2)
    save_checkpoint(path, setting[0], setting[1], 2, setting[2])
    ends = []
    for seed in (2, 3):
        model, optimizer, generator = made(seed=seed)
        load_checkpoint(path, model, optimizer, generator)
        trained(model, optimizer, generator, 2)
        ends.append(everything(model, optimizer, generator))
    same(ends[1], ends[0], "two runs from one checkpoint ended differently")


@clause("random")
@pytest.mark.parametrize("half", [False, True], ids=["", "after a gauss"])
def test_what_is_drawn_next_comes_back(half, path):
    model, optimizer, generator = made(seed=1)
    if half:
        random.gauss(0, 1)  # makes two numbers, and keeps one for the next call
    save_checkpoint(path, model, optimizer, STEP, generator)
    expected = draws(generator)
    random.random(), torch.rand(5), torch.rand(7, generator=generator)
    other = torch.Generator().manual_seed(9)
    load_checkpoint(path, model, optimizer, other)
    seen = draws(other)
    for name, mine, theirs in zip(("random", "torch", "generator"), seen, expected, strict=True):
        same(mine, theirs, f"after loading, {name} draws other numbers than after the save")


@clause("filled")
@pytest.mark.parametrize("kind", ["AdamW", "tied"])
def test_the_model_keeps_its_parameters(kind, path):
    model, optimizer, _ = made(kind, seed=1)
    trained(model, optimizer, None, 1)
    save_checkpoint(path, model, optimizer, STEP)
    other, into, _ = made(kind, seed=2)
    before = dict(other.named_parameters(remove_duplicate=False))
    load_checkpoint(path, other, into)
    after = dict(other.named_parameters(remove_duplicate=False))
    same(list(after), list(before), "after loading, the model has parameters of other names")
    for name in before:
        assert after[name] is before[name], f"{name} is another parameter after loading: the optimizer has the old one"
    held = [parameter for group in into.param_groups for parameter in group["params"]]
    same([id(one) for one in held], [id(one) for one in other.parameters()], "the optimizer has other parameters")
    same(plain(dict(other.state_dict())), plain(dict(model.state_dict())), "the numbers of the model are others")


@clause("filled")
def test_buffers_and_frozen_parameters_are_filled_too(path):
    model = Odd(seed=1)
    model.short.requires_grad_(False)
    save_checkpoint(path, model, torch.optim.SGD([model.wide], lr=0.1), STEP)
    other = Odd()
    buffer, derived = other.count, other.derived.clone()
    load_checkpoint(path, other, torch.optim.SGD([other.wide], lr=0.1))
    same(plain(dict(other.state_dict())), plain(dict(model.state_dict())), "the model has other numbers after loading")
    assert other.count is buffer, "the buffer count is another tensor after loading"
    same(plain(other.derived), plain(derived), "the buffer derived is not saved, and loading changed it")
    same([p.requires_grad for p in other.parameters()], [True] * 5, "loading changed which parameters are frozen")


@clause("exact")
def test_a_state_comes_back_whatever_it_holds(path):
    model, other = toy_model(), toy_model()
    optimizer, into = Hoarder(model.parameters(), betas=(0.8, 0.99)).fill(), Hoarder(other.parameters())
    optimizer.param_groups[0] |= {"initial_lr": 0.25, "list": [1, (2.5, None)], "tensor": torch.tensor([1, 2])}
    save_checkpoint(path, model, optimizer, STEP)
    load_checkpoint(path, other, into)
    seen, expected = plain(into.state_dict()), plain(optimizer.state_dict())
    same(seen["param_groups"], expected["param_groups"], "the options of the group are others after loading")
    same(seen["state"], expected["state"], "the state of the optimizer is another after loading")
    first, second, _ = into.state.values()
    assert first["shared"] is second["shared"], "one tensor was in the state of two parameters, and became two"
    assert first["precise"] is not second["precise"], "each parameter had a tensor of its own, and they became one"


@clause("exact")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_of_a_state_is_its_own(dtype, path):
    model, other = toy_model().to(dtype), toy_model().to(dtype)
    optimizer, into = torch.optim.AdamW(model.parameters()), torch.optim.AdamW(other.parameters())
    for parameter in model.parameters():
        moments = {name: numbers(*parameter.shape, seed=name) / 3 for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.tensor(5.0), **moments}
    save_checkpoint(path, model, optimizer, STEP)
    load_checkpoint(path, other, into)
    because = (
        f"the parameters are {dtype} and the moments float32, and Optimizer.load_state_dict makes them {dtype} too"
    )
    same(plain(into.state_dict()), plain(optimizer.state_dict()), because)


@clause("exact")
def test_an_option_that_others_have_added_need_not_be_saved(path):
    model, optimizer, _ = made(seed=1)
    save_checkpoint(path, model, optimizer, STEP)
    optimizer.param_groups[0]["initial_lr"] = 0.25
    try:
        load_checkpoint(path, model, optimizer)
    except ValueError as error:
        pytest.fail(f"the optimizer has an initial_lr, which is none of its defaults, and was refused: {error}")
    same(optimizer.param_groups[0]["lr"], 0.05, "the lr is another after loading")


@clause("exact")
def test_what_was_loaded_can_be_saved_and_loaded_again(path):
    model = toy_model()
    optimizer = Hoarder(model.parameters()).fill()
    expected = plain(optimizer.state_dict())
    for step in range(3):
        save_checkpoint(path, model, optimizer, step)
        try:
            load_checkpoint(path, model, optimizer)
        except ValueError as error:
            pytest.fail(f"saved and loaded for the {step + 1}. time, with the same model and optimizer: {error}")
    same(plain(optimizer.state_dict()), expected, "the state of the optimizer is another after it was loaded thrice")


@clause("exact")
def test_a_state_that_was_not_saved_goes(path):
    model, optimizer, _ = made()
    save_checkpoint(path, model, optimizer, 0)
    expected = everything(model, optimizer)["optimizer"]
    trained(model, optimizer, None, 1)
    load_checkpoint(path, model, optimizer)
    same(
        everything(model, optimizer)["optimizer"], expected, "the optimizer had no state when it was saved, and has one"
    )


@clause("placed")
@pytest.mark.filterwarnings("ignore")
def test_the_state_is_where_the_parameters_are(path):
    model, optimizer, _ = made(seed=1)
    trained(model, optimizer, None, 1)
    save_checkpoint(path, model, optimizer, STEP)
    other = toy_model().to("meta")
    into, expected = (torch.optim.AdamW(other.parameters(), lr=0.1) for _ in range(2))
    expected.load_state_dict(optimizer.state_dict())
    load_checkpoint(path, other, into)
    where = {name: value.device.type for name, value in other.state_dict().items()}
    same(where, dict.fromkeys(where, "meta"), "the model is on the meta device, and loading moved it")
    seen, should = (
        {key: value.device.type for key, value in one.state[other[0].weight].items()} for one in (into, expected)
    )
    same(
        seen,
        should,
        "the model is on the meta device: its step stays on the CPU, as PyTorch has it, its moments do not",
    )


@clause("placed")
def test_an_option_is_where_the_one_before_was(path):
    model = toy_model()
    save_checkpoint(
        path, model, Hoarder(model.parameters(), lr=torch.tensor(0.5), betas=(0.5, torch.tensor(0.7))), STEP
    )
    into = Hoarder(model.parameters(), lr=torch.tensor(0.1, device="meta"), betas=(torch.tensor(0.1), 0.3))
    load_checkpoint(path, model, into)
    group = into.param_groups[0]
    because = "the lr is a tensor on the meta device, and loading brought one on another device"
    same(group["lr"].device.type, "meta", because)
    same(plain(group["betas"]), plain((0.5, torch.tensor(0.7))), "the betas are others after loading")


@clause("own")
def test_the_file_may_change_afterwards(path):
    model, optimizer, generator = made(seed=1)
    trained(model, optimizer, generator, 2)
    save_checkpoint(path, model, optimizer, STEP, generator)
    expected = everything(model, optimizer)
    other, into, drawing = made(seed=2)
    load_checkpoint(path, other, into, drawing)
    overwrite(path)
    seen = everything(other, into)
    because = "the file was overwritten after loading, and what was loaded changed: it was a view of the file"
    same({**seen, "torch": 0, "random": 0}, {**expected, "torch": 0, "random": 0}, because)


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


@clause("optimizers")
@fitting("optimizers")
def test_another_optimizer_is_refused(case, path):
    refused(path, case)


@clause("generators")
@fitting("generators")
def test_a_loader_without_its_state_is_refused(case, path):
    refused(path, case)


def refused(path, case):
    """Save the one, and have the other refuse it."""
    saving, loading, named = MISFITS[case]
    save_checkpoint(path, *saving[:2], STEP, *saving[2:])
    content(path)
    with refuses_file(path, *named):
        load_checkpoint(path, *loading)


@clause("no-file")
def test_what_is_no_checkpoint_is_refused(path):
    model, optimizer, generator = made(seed=1)
    trained(model, optimizer, generator, 1)
    save_checkpoint(path, model, optimizer, STEP, generator)
    for label, damage in damages(path).items():
        damage()
        try:
            with refuses_file(path):
                load_checkpoint(path, model, optimizer, generator)
        except pytest.fail.Exception as failed:
            pytest.fail(f"a checkpoint, spoiled ({label}): {failed}")


@clause("no-file")
def test_a_file_that_is_not_there_is_not_found(path):
    model, optimizer, _ = made()
    with refuses(FileNotFoundError):
        load_checkpoint(path, model, optimizer)


@clause("kept")
@pytest.mark.parametrize("case", MISFITS, ids=str)
def test_what_does_not_fit_changes_nothing(case, path):
    saving, loading, _ = MISFITS[case]
    save_checkpoint(path, *saving[:2], STEP, *saving[2:])
    random.random(), torch.rand(1)
    before = everything(*loading)
    try:
        load_checkpoint(path, *loading)
    except ValueError:
        after = everything(*loading)
        for part in before:
            same(after[part], before[part], f"a checkpoint was refused ({case}), and the state of {part} has changed")
    else:
        pytest.fail(f"a checkpoint that does not fit was loaded: {case}")


@clause("kept")
def test_what_is_spoiled_changes_nothing(path):
    model, optimizer, generator = made(seed=1)
    trained(model, optimizer, generator, 1)
    save_checkpoint(path, model, optimizer, STEP, generator)
    trained(model, optimizer, generator, 1)
    before = everything(model, optimizer, generator)
    for label, damage in damages(path).items():
        damage()
        with contextlib.suppress(Exception):
            load_checkpoint(path, model, optimizer, generator)
        after = everything(model, optimizer, generator)
        for part in before:
            same(after[part], before[part], f"a spoiled checkpoint ({label}) changed the state of {part}")
