"""Training, clause by clause. The why: docs/pretraining/training.md."""

import copy
import itertools
import math
import random
from functools import cache

import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from katas.pretraining.training import History, train
from tests.support import both, clause, close, numbers, refuses, same, toy_model

VOCAB_SIZE, TOKENS = 11, 4
# Targets that count in each of seven windows of four tokens: the others are -100.
COUNTED = (4, 1, 3, 0, 4, 2, 1)
WRONG = [("epochs", -1), ("start_step", -3), ("eval_every", 0), ("eval_every", -2), ("eval_batches", 0)]
WRONG += [("eval_batches", -5), ("accumulate", 0), ("accumulate", -4), ("max_norm", -0.5), ("max_norm", math.nan)]
ALLOWED = {"epochs": 0, "start_step": 0, "eval_every": 1, "eval_batches": 1, "accumulate": 1, "max_norm": 0}
KINDS = ["shuffled", "in order", "a list", "random at every look"]


@cache
def windows(counted=COUNTED):
    """Inputs and targets, the same every time."""
    inputs = (numbers(len(counted), TOKENS, seed="inputs") * 100).long() % VOCAB_SIZE
    targets = (numbers(len(counted), TOKENS, seed="targets") * 100).long() % VOCAB_SIZE
    for row, kept in enumerate(counted):
        targets[row, kept:] = -100
    return inputs, targets


def batches(*sizes, counted=COUNTED):
    """A list of batches with these numbers of rows."""
    inputs, targets = (part[: sum(sizes)].split(sizes) for part in windows(tuple(counted)))
    return list(zip(inputs, targets, strict=True))


VAL = batches(2, 2, counted=[3, 4, 1, 2])


class Drawn(Dataset):
    """Windows with a token that is drawn anew whenever one is read, from torch's and from Python's random numbers."""

    def __len__(self):
        return len(COUNTED)

    def __getitem__(self, index):
        inputs, targets = (part[index].clone() for part in windows())
        inputs[0], inputs[1] = int(torch.randint(VOCAB_SIZE, ())), random.randrange(VOCAB_SIZE)
        return inputs, targets


def loader(kind="shuffled", seed=5, batch_size=2):
    """A new train_loader of seven windows: four batches, the last of one window."""
    if kind == "a list":
        return batches(2, 2, 2, 1)
    dataset = Drawn() if kind == "random at every look" else TensorDataset(*windows())
    generator = torch.Generator().manual_seed(seed) if kind in ("shuffled", "random at every look") else None
    return DataLoader(dataset, batch_size, shuffle=generator is not None, generator=generator)


def toy(dropout=0.0):
    return toy_model(VOCAB_SIZE, 6, dropout).double()


def sgd(model, lr=0.5):
    return torch.optim.SGD(model.parameters(), lr)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)


def taught(model, train_loader=None, optimizer=None, epochs=1, *, run=train, **more):
    """Train a model with arguments that most tests leave alone; the optimizer is gradient descent."""
    more = {"val_loader": VAL, "eval_every": 1_000, "eval_batches": None} | more
    train_loader = batches(2, 2, 2, 1) if train_loader is None else train_loader
    return run(model, train_loader, optimizer=optimizer or sgd(model), epochs=epochs, **more)


def loss_of(model, inputs, targets):
    """The mean over the targets that count, by PyTorch."""
    return functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def by_hand(model, groups, optimizer=None, max_norm=None, schedule=None):
    """Train as the steps say, with all rows of a group in one batch; the loss of each step."""
    optimizer, losses = optimizer or sgd(model), []
    for step, group in enumerate(groups, start=1):
        for part in optimizer.param_groups:
            part["lr"] = schedule(step) if schedule else part["lr"]
        optimizer.zero_grad()
        loss = loss_of(model, *(torch.cat(part) for part in zip(*group, strict=True)))
        loss.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def identical(mine, theirs, because):
    """Assert that two models, or the weights of two, are the same bit for bit."""
    __tracebackhide__ = True
    mine, theirs = (w if isinstance(w, torch.Tensor) else weights(w) for w in (mine, theirs))
    if not torch.equal(mine, theirs):
        apart = (mine - theirs).abs().nan_to_num(torch.inf).max().item()
        pytest.fail(f"weights are apart by up to {apart:.3g}: {because}")


def near(seen, expected, because):
    """Assert that a number is the expected one, but for the last digits of a float."""
    __tracebackhide__ = True
    if type(seen) is not float:
        pytest.fail(f"{seen!r} came, a {type(seen).__name__} and no float: {because}")
    if not (math.isclose(seen, expected, rel_tol=1e-9) or (math.isnan(seen) and math.isnan(expected))):
        pytest.fail(f"{both(seen, expected, '')}: {because}")


def watched(model, look):
    """The model, with a note of what look finds at each call that is made for learning."""
    seen = []

    def note(module, args, output):
        if torch.is_grad_enabled():
            seen.append(look(module, *args))

    model.register_forward_hook(note)
    return seen


def rates_used(optimizer):
    """A note of the lr of each param group, at each step of the optimizer."""
    seen = []
    optimizer.register_step_pre_hook(lambda used, args, kwargs: seen.append([g["lr"] for g in used.param_groups]))
    return seen


def generator_of(train_loader):
    found = getattr(train_loader, "generator", None)
    return None if found is None else found.get_state()


def snapshot(model, optimizer):
    """All that a checkpoint holds, but for the loader's generator."""
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    return *kept, torch.get_rng_state(), random.getstate()


def restored(taken):
    """A new model and a new optimizer as they were, and the random states too."""
    model = toy(dropout=0.5)
    optimizer = adamw(model)
    of_model, of_optimizer, of_torch, of_python = copy.deepcopy(taken)
    model.load_state_dict(of_model)
    optimizer.load_state_dict(of_optimizer)
    torch.set_rng_state(of_torch)
    random.setstate(of_python)
    return model, optimizer


def whole_run(kind, run=train, batch_size=2, kept=range(100), **more):
    """A run that nobody disturbs: the model, its History, and what a checkpoint would hold after the kept steps."""
    torch.manual_seed(3)
    random.seed(3)
    model, taken, standing = toy(dropout=0.5), {}, {}
    optimizer, train_loader = adamw(model), loader(kind, batch_size=batch_size)

    def keep(step, *_):
        if step in kept:
            taken[step], standing[step] = snapshot(model, optimizer), generator_of(train_loader)

    more = {"epochs": 2, "eval_every": 2, "eval_batches": 2, "schedule": lambda step: 0.1 / (1 + step)} | more
    history = taught(model, train_loader, optimizer, on_step=keep, run=run, **more)
    return model, history, taken, standing


def rest_of_run(kind, taken, step, standing=None, run=train, batch_size=2, **more):
    """What a run becomes that takes up after a step, with the loader's generator as new, or as it stood."""
    torch.manual_seed(99)
    random.seed(99)
    model, optimizer = restored(taken)
    train_loader = loader(kind, batch_size=batch_size)
    if standing is not None:
        train_loader.generator.set_state(standing)
    more = {"epochs": 2, "eval_every": 2, "eval_batches": 2, "schedule": lambda step: 0.1 / (1 + step)} | more
    history = taught(model, train_loader, optimizer, start_step=step, run=run, **more)
    return model, history


def after(history, step):
    """The entries of a History that come after a step."""
    first = sum(entry <= step for entry in history.steps)
    return {name: entries[first:] for name, entries in vars(history).items()}


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except (Exception, KeyboardInterrupt) as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def told(history):
        """A History as tensors, which are compared with a tolerance."""
        if not isinstance(history, kata.History):
            return repr(history)
        return {
            n: [v if type(v) is int else (type(v).__name__, torch.tensor(v)) for v in e]
            for n, e in vars(history).items()
        }

    def run(*arguments, model=None, **more):
        """The weights after a training, and its History."""
        model, more = model or toy(), {"eval_batches": 1} | more
        history = tried(lambda: taught(model, *arguments, run=kata.train, **more))
        return weights(model), told(history)

    def order():
        model = toy()
        seen = watched(model, lambda module, inputs: inputs[:, 0].tolist())
        return tried(lambda: taught(model, loader(batch_size=4), epochs=2, run=kata.train) is None), seen

    def stale(frozen):
        model = toy()
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        model[0].weight.requires_grad_(not frozen)
        return run(batches(1, 1), model=model)[0]

    def modes(on_step=None, **more):
        model = toy(dropout=0.5).eval()
        model[1].train()
        seen = watched(model, lambda *_: [module.training for module in model.modules()])
        on_step = on_step and (lambda *_, then=on_step: then(model))
        came = tried(lambda: taught(model, batches(1, 1), run=kata.train, on_step=on_step, **more) is None)
        return came, seen, [module.training for module in model.modules()]

    def interrupt(*_):
        raise KeyboardInterrupt

    def uncounted(accumulate):
        model, heard = toy(), []
        optimizer = adamw(model)
        came = run(
            batches(1, 1, 1, counted=(3, 0, 2)), optimizer, model=model, accumulate=accumulate,
            on_step=lambda step, loss, history: heard.append(torch.as_tensor(loss).detach()),
        )  # fmt: skip
        return came, heard, [float(state["step"]) for state in optimizer.state.values()]

    def rates(schedule, **more):
        model = toy()
        parts = [{"params": model[0].parameters(), "lr": 1}, {"params": model[2].parameters()}]
        optimizer = torch.optim.SGD(parts, 0.7)
        seen = rates_used(optimizer)
        return run(batches(1, 1, 1), optimizer, model=model, schedule=schedule, eval_every=2, **more), seen

    def partly(max_norm):
        """With a table that the optimizer does not have, and a bias that is frozen."""
        model = toy()
        model[2].bias.requires_grad_(False)
        return run(batches(1, 1), adamw(model[2]), 2, model=model, max_norm=max_norm)

    def measured(eval_every, eval_batches=1):
        return run(batches(1, 2), None, 2, eval_every=eval_every, eval_batches=eval_batches)[1]

    def disturbed():
        """What a model becomes that is evaluated, where generators stand, and whether it is the same without."""
        made = []
        for eval_every in (1, 1_000):
            torch.manual_seed(3)
            random.seed(3)
            model, train_loader = toy(dropout=0.5), loader("random at every look", batch_size=4)
            generator = torch.Generator().manual_seed(1)
            val_loader = DataLoader(TensorDataset(*windows()), 4, shuffle=True, generator=generator)
            more = {"epochs": 2, "eval_every": eval_every, "eval_batches": 1, "val_loader": val_loader}
            tried(lambda m=model, t=train_loader, more=more: taught(m, t, run=kata.train, **more) is None)
            made += [weights(model), generator.get_state().sum()]
        return made, torch.equal(made[0], made[2])

    def heard(**more):
        """What on_step is told, and what the model is then."""
        model, seen = toy(), []

        def hear(*arguments):
            step, loss, history = arguments
            entries = [len(e) for e in vars(history).values()] if isinstance(history, kata.History) else None
            seen.append((step, type(loss).__name__, torch.as_tensor(loss).detach().clone(), entries, weights(model)))
            kept.append(history)

        kept = []
        came = tried(lambda: taught(model, batches(1, 1, 1), eval_every=2, on_step=hear, run=kata.train, **more))
        return told(came), seen, [history is came for history in kept]

    def stopped(error):
        model, last = toy(), []

        def stop(step, *_):
            last[:] = [weights(model)]
            if step == 2:
                raise error("enough")

        came = tried(lambda: taught(model, batches(1, 1, 1), on_step=stop, run=kata.train) is None)
        return came, weights(model), last

    def resumed(kind, step):
        """What a run that takes up becomes, whether it is the one that was not stopped, and its History."""
        more = {"batch_size": 4, "eval_every": 3, "eval_batches": 1}
        whole, history, taken, _ = whole_run(kind, kata.train, kept=[step], **more)
        model, rest = rest_of_run(kind, taken[step], step, None, kata.train, **more)
        agree = torch.equal(weights(model), weights(whole)), after(history, step) == vars(rest)
        return weights(model), agree, rest.steps, rest.tokens_seen

    def standing(stop_at=None, evaluating=False):
        """Where the generator stands in on_step, and after the training."""
        train_loader, model, seen = loader(batch_size=4), toy(), []
        began = generator_of(train_loader)

        def look(step, *_):
            seen.append(torch.equal(generator_of(train_loader), began))
            if step == stop_at:
                raise KeyboardInterrupt

        if evaluating:
            model.register_forward_hook(lambda *_: None if torch.is_grad_enabled() else 1 / 0)
        came = tried(lambda: taught(model, train_loader, epochs=2, eval_every=2, on_step=look, run=kata.train) is None)
        return came, seen, torch.equal(generator_of(train_loader), began) if stop_at or evaluating else None

    def no_order(start_step):
        shuffled = DataLoader(TensorDataset(*windows()), 4, shuffle=True)
        return tried(lambda: bool(taught(toy(), shuffled, start_step=start_step, run=kata.train)), "generator")

    def empties():
        yield tried(lambda: bool(taught(toy(), [], run=kata.train)), "train_loader", 1)
        for once in (iter, list):
            model, more = toy(), {"epochs": 2, "accumulate": 2, "run": kata.train}
            came = tried(
                lambda m=model, o=once, more=more: bool(taught(m, o(batches(1, 1, 1)), **more)), "train_loader", 2
            )
            yield came, weights(model)
        yield tried(lambda: bool(taught(toy(), batches(1), on_step=interrupt, run=kata.train)))
        yield tried(lambda: bool(taught(toy(), [], epochs=0, run=kata.train)), "train_loader")

    def refused(name, value):
        drawn = []
        given = ((drawn.append(1), batch)[1] for batch in batches(1))
        return tried(lambda: bool(taught(toy(), given, run=kata.train, **{name: value})), name, value), len(drawn)

    return {
        "steps": lambda: run(batches(1, 2), None, 2),
        "order": order,
        "no epochs": lambda: run(epochs=0),
        "stale": lambda: [stale(frozen) for frozen in (False, True)],
        "modes": modes,
        "modes left": lambda: modes(lambda model: model.eval() and None),
        "modes after an error": lambda: [modes(interrupt), modes()],
        "accumulated": lambda: [run(batches(2, 1, 2), accumulate=k) for k in (2, 3)],
        "accumulated, clipped": lambda: run(batches(1, 1), accumulate=2, max_norm=0.2),
        "accumulated over epochs": lambda: run(batches(1, 1, 1), None, 2, accumulate=2),
        "accumulated, counted alike": lambda: run(batches(1, 1, 1, counted=[4] * 3), accumulate=2),
        "uncounted": lambda: uncounted(1),
        "uncounted beside others": lambda: uncounted(3),
        "schedule": lambda: rates(lambda step: 1 / (1 + step)),
        "no schedule": lambda: rates(None),
        "schedule, accumulated": lambda: rates(lambda step: 1 / (1 + step), accumulate=2),
        "clipped": lambda: [run(batches(1, 1), max_norm=bar) for bar in (0.0, 0.1)],
        "partly": lambda: partly(None),
        "partly, clipped": lambda: partly(0.1),
        **{f"every {n}": lambda n=n: measured(n) for n in (1, 3, 4)},
        "over all": lambda: measured(4, None),
        "disturbed": disturbed,
        "heard": heard,
        "heard, accumulated": lambda: heard(accumulate=2),
        "stopped": lambda: [stopped(error) for error in (ValueError, KeyboardInterrupt)],
        "resumed": lambda: resumed("random at every look", 2),
        "resumed, in order": lambda: resumed("in order", 1),
        "nothing left": lambda: run(batches(1, 1), start_step=3),
        "standing": standing,
        "standing after an error": lambda: [standing(stop_at=1), standing(evaluating=True)],
        "no order": lambda: [no_order(step) for step in (0, 1)],
        "empty": lambda: list(empties()),
        "refused": lambda: [refused(*case) for case in WRONG],
        "allowed": lambda: tried(lambda: bool(taught(toy(), batches(1), run=kata.train, **ALLOWED))),
    }


@clause("steps")
def test_each_batch_makes_one_step():
    model, expected = toy(), toy()
    taught(model, batches(2, 3), epochs=1)
    by_hand(expected, [[batch] for batch in batches(2, 3)])
    because = "two batches, one epoch, gradient descent: expected are the weights of two steps by PyTorch alone"
    close(weights(model), weights(expected), because)


@clause("steps")
@pytest.mark.parametrize("epochs", [0, 1, 3])
@pytest.mark.parametrize("kind", ["gradient descent", "AdamW"])
def test_epochs_follow_one_another(kind, epochs):
    make = sgd if kind == "gradient descent" else adamw
    model, expected = toy(), toy()
    taught(model, batches(2, 2, 2, 1), make(model), epochs)
    by_hand(expected, [[batch] for batch in batches(2, 2, 2, 1)] * epochs, make(expected))
    close(weights(model), weights(expected), f"four batches, {epochs} epochs, {kind}")


@clause("steps")
def test_batches_come_in_the_order_of_the_loader():
    model = toy()
    seen = watched(model, lambda module, inputs: inputs.tolist())
    taught(model, loader("shuffled"), epochs=3)
    twin = loader("shuffled")
    expected = [inputs.tolist() for _ in range(3) for inputs, targets in twin]
    same(seen, expected, "the inputs of all steps; expected are those of three passes over a loader with the same seed")


@clause("learns")
def test_one_batch_is_learned_by_heart():
    inputs = torch.arange(8).reshape(2, 4)
    model, losses = toy(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0)
    batch = (inputs, (inputs * 7 + 3) % VOCAB_SIZE)
    taught(model, [batch], optimizer, 60, on_step=lambda step, loss, history: losses.append(loss))
    assert losses, "60 epochs of one batch, and on_step was not called once"
    assert losses[0] > 1, f"the loss of the first step is {losses[0]:.3g}, before anything can have been learned"
    assert losses[-1] < 0.01, f"after 60 steps on one batch of 8 tokens, the loss is {losses[-1]:.3g} nats per token"


@clause("fresh")
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_gradients_that_were_there_take_no_part(max_norm):
    model, expected = toy(), toy()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 100)
    taught(model, max_norm=max_norm)
    by_hand(expected, [[batch] for batch in batches(2, 2, 2, 1)], max_norm=max_norm)
    because = f"all gradients were 100 before train was called, max_norm={max_norm}"
    close(weights(model), weights(expected), because)


@clause("fresh")
def test_gradients_do_not_pile_up_from_step_to_step():
    model, expected = toy(), toy()
    taught(model, batches(1, 1, 1), epochs=4)
    by_hand(expected, [[batch] for batch in batches(1, 1, 1)] * 4)
    close(weights(model), weights(expected), "twelve steps: each with the gradients of its own batch")


@clause("training")
@pytest.mark.parametrize("eval_every", [1, 1_000])
def test_every_step_is_done_in_training_mode(eval_every):
    model = toy(dropout=0.5).eval()
    seen = watched(model, lambda *_: [module.training for module in model.modules()])
    taught(model, eval_every=eval_every, on_step=lambda *_: model.eval() and None)
    same(
        seen,
        [[True] * 4] * 4,
        "training of all modules, step by step: they came in eval mode, and on_step called eval()",
    )


@clause("training")
@pytest.mark.parametrize("ending", ["the last step", "an error of on_step", "an error of the model"])
def test_every_module_is_given_back_in_the_mode_in_which_it_came(ending):
    model = toy(dropout=0.5).eval()
    model[1].train()
    before = [module.training for module in model.modules()]

    def fail(*_):
        raise RuntimeError("enough")

    if ending == "an error of the model":
        model[2].register_forward_hook(fail)
    if ending == "the last step":
        taught(model, epochs=2)
    else:
        with pytest.raises(RuntimeError, match="enough"):
            taught(model, epochs=2, on_step=fail if ending == "an error of on_step" else None)
    same([module.training for module in model.modules()], before, f"training of all modules, after {ending}")


@clause("accumulate")
@pytest.mark.parametrize("counted", [[4, 4, 4, 4, 4, 4], [4, 1, 3, 2, 1, 2], [1, 1, 4, 4, 4, 4]], ids=str)
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_a_step_of_several_batches_is_that_of_the_larger_one(accumulate, counted):
    model, expected = toy(), toy()
    parts = batches(1, 1, 1, 1, 1, 1, counted=counted)
    groups = [parts[first : first + accumulate] for first in range(0, 6, accumulate)]
    taught(model, parts, epochs=2, accumulate=accumulate)
    by_hand(expected, groups * 2)
    because = (
        f"accumulate={accumulate}, with {counted} targets that count in six batches: expected are the weights when the "
        "rows of a step are one batch, in which every target that counts weighs the same"
    )
    close(weights(model), weights(expected), because)


@clause("accumulate")
def test_rows_may_be_spread_over_batches_in_any_way():
    model, expected = toy(), toy()
    taught(model, batches(4, 1, 2), accumulate=3)
    by_hand(expected, [batches(7)])
    close(weights(model), weights(expected), "batches of 4, 1 and 2 rows in one step, and all 7 rows in one batch")


@clause("rest")
@pytest.mark.parametrize(("accumulate", "sizes"), [(2, [2, 2, 1]), (3, [3, 2]), (4, [4, 1]), (9, [5])])
def test_what_is_left_at_the_end_of_an_epoch_makes_a_step(accumulate, sizes):
    model, expected, steps = toy(), toy(), []
    parts = batches(1, 1, 1, 1, 1, counted=[4, 1, 3, 2, 4])
    taught(model, parts, epochs=2, accumulate=accumulate, on_step=lambda step, *_: steps.append(step))
    ends = list(itertools.accumulate(sizes))
    by_hand(expected, [parts[end - size : end] for end, size in zip(ends, sizes, strict=True)] * 2)
    told = f"two epochs of five batches, accumulate={accumulate}: in each epoch, steps of {sizes} batches"
    same(steps, list(range(1, 2 * len(sizes) + 1)), f"numbers of steps; {told}")
    close(weights(model), weights(expected), told)


@clause("uncounted")
@pytest.mark.parametrize("kind", ["gradient descent", "AdamW"])
def test_a_step_in_which_nothing_counts_changes_nothing(kind):
    model, expected, kept, losses = toy(), toy(), [], []
    optimizer = adamw(model) if kind == "AdamW" else sgd(model)

    def keep(step, loss, history):
        kept.append(weights(model).clone())
        losses.append(loss)

    taught(model, batches(3, 1, 3), optimizer, on_step=keep)
    same(len(kept), 3, "how often on_step was called: a step in which nothing counts is a step as well")
    identical(kept[1], kept[0], "in the second of three batches no target counts: all are -100")
    near(losses[1], math.nan, "the loss of a step in which no target counts")
    by_hand(expected, [batches(3, 1, 3)[:1], batches(3, 1, 3)[2:]], adamw(expected) if kind == "AdamW" else None)
    close(
        weights(model),
        weights(expected),
        f"{kind}; expected are the weights when the second of three batches is left out",
    )


@clause("uncounted")
def test_a_batch_in_which_nothing_counts_changes_nothing_in_a_step_with_others():
    model, expected, told = toy(), toy(), []
    taught(model, batches(3, 1, 3), accumulate=3, on_step=lambda step, loss, history: told.append(loss))
    losses = by_hand(expected, [batches(3, 1, 3)])
    close(weights(model), weights(expected), "three batches in one step; all targets of the second are -100")
    same(len(told), 1, "how often on_step was called for one step of three batches")
    near(told[0], losses[0], "the loss of a step of three batches, where all targets of the second are -100")


@clause("schedule")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_group_learns_at_the_rate_of_the_step(accumulate):
    model, expected = toy(), toy()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 9.0}, {"params": model[2].parameters()}], 7.0)
    seen, parts = rates_used(optimizer), batches(2, 2, 2, 1)
    taught(model, parts, optimizer, 2, schedule=lambda step: 1 / (1 + step), accumulate=accumulate)
    steps = range(1, 2 * math.ceil(4 / accumulate) + 1)
    told = f"four batches, two epochs, accumulate={accumulate}, schedule(step) is 1 / (1 + step)"
    same(seen, [[1 / (1 + step)] * 2 for step in steps], f"lr of both param groups in each step: {told}")
    groups = [parts[first : first + accumulate] for first in range(0, 4, accumulate)] * 2
    by_hand(expected, groups, schedule=lambda step: 1 / (1 + step))
    close(weights(model), weights(expected), told)


@clause("schedule")
def test_without_a_schedule_the_rates_stay():
    model = toy()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.3}, {"params": model[2].parameters()}], 0.7)
    seen = rates_used(optimizer)
    taught(model, batches(2, 2), optimizer, 2)
    same(seen, [[0.3, 0.7]] * 4, "lr of two param groups in each step, without a schedule")


@clause("clip")
@pytest.mark.parametrize("max_norm", [0, 0.05, 0.5, 100.0, None])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_gradients_of_a_step_are_clipped_together(accumulate, max_norm):
    model, expected = toy(), toy()
    parts = batches(2, 2, 2, 1)
    taught(model, parts, epochs=2, max_norm=max_norm, accumulate=accumulate)
    groups = [parts[first : first + accumulate] for first in range(0, 4, accumulate)] * 2
    by_hand(expected, groups, max_norm=max_norm)
    because = f"max_norm={max_norm}, accumulate={accumulate}: all gradients of a step together, once they are complete"
    close(weights(model), weights(expected), because)


@clause("clip")
def test_what_the_optimizer_does_not_have_is_not_clipped_with_the_rest():
    model, expected = toy(), toy()
    expected[0].weight.requires_grad_(False)
    taught(model, optimizer=sgd(model[2]), epochs=2, max_norm=0.05)
    by_hand(expected, [[batch] for batch in batches(2, 2, 2, 1)] * 2, sgd(expected[2]), max_norm=0.05)
    close(
        weights(model),
        weights(expected),
        "the optimizer has the last layer only, and the norm is that of its gradients",
    )


@clause("frozen")
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_what_is_frozen_or_not_the_optimizers_stays(max_norm):
    model = toy()
    model[2].bias.requires_grad_(False)
    for optimizer in (adamw(model), torch.optim.AdamW(model[2].parameters(), lr=0.02)):
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        taught(model, optimizer=optimizer, epochs=2, max_norm=max_norm)
        identical(model[2].bias.detach(), before["2.bias"], "a frozen parameter, which is in the list of the optimizer")
        moved = not torch.equal(model[2].weight, before["2.weight"])
        assert moved, "a parameter beside a frozen one did not move"
    identical(model[0].weight.detach(), before["0.weight"], "a parameter that the optimizer does not have")


@clause("evaluated")
@pytest.mark.parametrize(
    ("eval_every", "expected"),
    [(1, [1, 2, 3, 4, 5, 6, 7, 8]), (2, [2, 4, 6, 8]), (3, [3, 6, 8]), (4, [4, 8]), (7, [7, 8]), (100, [8])],
)
def test_an_entry_comes_every_so_many_steps_and_in_the_end(eval_every, expected):
    history = taught(toy(), epochs=2, eval_every=eval_every, schedule=lambda step: 1 / (1 + step))
    assert isinstance(history, History), f"{history!r} came back, and no History"
    told = f"two epochs of four batches, eval_every={eval_every}"
    same(history.steps, expected, f"steps: {told}")
    same(
        history.learning_rates,
        [1 / (1 + step) for step in expected],
        f"learning_rates: {told}, schedule(step) is 1 / (1 + step)",
    )
    for name in ("tokens_seen", "train_losses", "val_losses"):
        same(len(getattr(history, name)), len(expected), f"the number of entries of {name}: {told}")


@clause("evaluated")
@pytest.mark.parametrize("eval_batches", [1, 2, 3, 50, None])
def test_the_losses_are_those_of_the_first_batches(eval_batches):
    model, kept = toy(dropout=0.5), []
    train_loader, val_loader = batches(2, 2, 2, 1), batches(1, 2, 1, counted=[4, 1, 3, 2])
    torch.manual_seed(3)
    history = taught(
        model, train_loader, eval_every=1, eval_batches=eval_batches, val_loader=val_loader,
        on_step=lambda *_: kept.append(copy.deepcopy(model).eval()),
    )  # fmt: skip
    same(len(kept), 4, "how often on_step was called, in four steps")
    for step, then in enumerate(kept):
        for name, its_loader in (("train_losses", train_loader), ("val_losses", val_loader)):
            rows = (torch.cat(part) for part in zip(*its_loader[:eval_batches], strict=True))
            because = f"{name} after step {step + 1}, eval_batches={eval_batches}: without dropout, of the weights then"
            near(getattr(history, name)[step], loss_of(then, *rows).item(), because)


@clause("evaluated")
def test_without_a_schedule_the_rate_is_that_of_the_first_group():
    model = toy()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 1}, {"params": model[2].parameters()}], 0.7)
    history = taught(model, optimizer=optimizer, eval_every=2)
    same(history.learning_rates, [1.0, 1.0], "learning_rates, where the lr of two param groups is 1 and 0.7")


@clause("tokens")
@pytest.mark.parametrize(("accumulate", "expected"), [(1, [8, 16, 24, 28, 36]), (2, [16, 28, 44, 56]), (9, [28, 56])])
def test_every_token_of_the_inputs_is_seen(accumulate, expected):
    history = taught(toy(), epochs=2, eval_every=1, accumulate=accumulate)
    told = f"batches of 2, 2, 2 and 1 rows of 4 tokens, some with targets of -100, accumulate={accumulate}"
    same(history.tokens_seen[: len(expected)], expected, f"tokens_seen: {told}")


@pytest.mark.slow
@clause("undisturbed")
@pytest.mark.parametrize(
    ("kind", "validation"),
    [
        *((kind, "a list") for kind in KINDS),
        ("shuffled", "as shuffled"),
        ("shuffled", "shuffled by the same generator"),
    ],
)
def test_evaluations_change_nothing(kind, validation):
    made = {}
    for eval_every in (1, 1_000):
        torch.manual_seed(3)
        random.seed(3)
        model, train_loader, val_loader = toy(dropout=0.5), loader(kind), VAL
        if validation != "a list":
            generator = train_loader.generator if "same" in validation else None
            val_loader = DataLoader(TensorDataset(*windows()), 3, shuffle=True, generator=generator)
        taught(model, train_loader, epochs=2, eval_every=eval_every, eval_batches=1, val_loader=val_loader)
        made[eval_every] = weights(model)
    because = (
        f"eval_every=1 and eval_every=1000; the train_loader is {kind}, the val_loader is {validation}: dropout "
        "and the order of the batches have to go on as if there had been no evaluation"
    )
    identical(made[1], made[1_000], because)


@clause("undisturbed")
def test_an_evaluation_leaves_the_generator_of_the_val_loader():
    generator = torch.Generator().manual_seed(8)
    before = generator.get_state()
    val_loader = DataLoader(TensorDataset(*windows()), 3, shuffle=True, generator=generator)
    taught(toy(), eval_every=2, val_loader=val_loader)
    assert torch.equal(generator.get_state(), before), "the generator of val_loader has moved on with the evaluations"


@clause("on-step")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_step_is_told_with_its_loss(accumulate):
    model, expected, told = toy(), toy(), []
    parts = batches(2, 2, 2, 1)
    taught(model, parts, epochs=2, accumulate=accumulate, on_step=lambda step, loss, history: told.append((step, loss)))
    losses = by_hand(expected, [parts[first : first + accumulate] for first in range(0, 4, accumulate)] * 2)
    same([step for step, _ in told], list(range(1, len(losses) + 1)), "the numbers of the steps, as on_step was told")
    for (step, seen), loss in zip(told, losses, strict=True):
        near(seen, loss, f"the loss of step {step}, accumulate={accumulate}, from before the step")


@clause("on-step")
def test_a_step_is_told_when_it_is_done_and_measured():
    model, expected, seen = toy(), toy(), []

    def look(step, loss, history):
        seen.append((history, list(history.steps), weights(model).clone()))

    history = taught(model, eval_every=2, on_step=look)
    parts = batches(2, 2, 2, 1)
    for step, (given, entries, then) in enumerate(seen, start=1):
        assert given is history, f"in step {step}, on_step got {given!r}, and not the History that is returned"
        same(entries, [number for number in (2, 4) if number <= step], f"history.steps in step {step}, eval_every=2")
        by_hand(expected, [[parts[step - 1]]])
        close(then, weights(expected), f"the weights when on_step was called for step {step}: those after it")
    same(len(seen), 4, "how often on_step was called")


@clause("stopped")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, StopIteration, SystemExit])
def test_on_step_can_stop_the_training(error):
    model, expected, seen = toy(), toy(), []
    optimizer, twin = adamw(model), adamw(expected)

    def stop(step, loss, history):
        seen.append(history)
        if step == 3:
            raise error("enough")

    try:
        taught(model, optimizer=optimizer, epochs=2, eval_every=2, on_step=stop)
    except error as raised:
        same(str(raised), "enough", f"the message of the {error.__name__} that came out")
    else:
        pytest.fail(f"on_step raised a {error.__name__} in step 3, and it did not come out")
    same(len(seen), 3, f"how often on_step was called, when it raised a {error.__name__} in step 3")
    by_hand(expected, [[batch] for batch in batches(2, 2, 2, 1)[:3]], twin)
    close(
        weights(model), weights(expected), "on_step stopped the training in step 3: expected are the weights after it"
    )
    counted = [float(state["step"]) for state in optimizer.state.values()]
    same(counted, [3.0] * 3, "how many steps the optimizer has counted, when on_step stopped it in step 3")
    same(seen[-1].steps, [2], "steps of the History that on_step was given, eval_every=2")


@pytest.mark.slow
@clause("resumed")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_taking_up_is_as_never_having_stopped(accumulate, kind):
    steps = (1, 4, 7) if accumulate == 1 else (1, 2, 3)
    whole, history, taken, _ = whole_run(kind, kept=steps, accumulate=accumulate)
    for step in steps:
        model, rest = rest_of_run(kind, taken[step], step, accumulate=accumulate)
        told = f"two epochs of four batches, accumulate={accumulate}, the train_loader is {kind}"
        identical(model, whole, f"taken up after step {step} of {len(taken)}: {told}")
        same(vars(rest), after(history, step), f"the History from step {step} on, which goes on: {told}")


@clause("resumed")
def test_a_run_that_was_taken_up_can_be_taken_up_again():
    whole, _, taken, _ = whole_run("shuffled")
    torch.manual_seed(99)
    model, optimizer = restored(taken[3])
    again = {}
    more = {"epochs": 2, "eval_every": 2, "eval_batches": 2, "schedule": lambda step: 0.1 / (1 + step)}
    taught(
        model,
        loader(),
        optimizer,
        start_step=3,
        on_step=lambda s, *_: again.update({s: snapshot(model, optimizer)}),
        **more,
    )
    same(list(again), list(range(4, 9)), "the numbers of the steps that on_step was told, start_step=3 of 8")
    model, _ = rest_of_run("shuffled", again[6], 6)
    identical(model, whole, "taken up after step 3, and once more after step 6")


@clause("resumed")
@pytest.mark.parametrize("start_step", [8, 9, 50])
def test_where_no_step_is_left_nothing_is_done(start_step):
    model = toy()
    before, calls = weights(model).clone(), []
    history = taught(
        model, loader(), epochs=2, eval_every=1_000, start_step=start_step, on_step=lambda *_: calls.append(1)
    )
    told = f"two epochs of four batches, start_step={start_step}"
    identical(model, before, told)
    same((vars(history), calls), (vars(History()), []), f"the History, and the calls of on_step: {told}")


@clause("rewound")
def test_on_step_finds_the_generator_as_the_run_began():
    train_loader, seen = loader(), []
    train_loader.generator.manual_seed(12)
    list(train_loader)  # it has been used
    began = generator_of(train_loader)
    taught(toy(), train_loader, epochs=3, eval_every=3, on_step=lambda *_: seen.append(generator_of(train_loader)))
    same(
        [torch.equal(state, began) for state in seen],
        [True] * 12,
        "whether the generator stood as before, step by step",
    )


@clause("rewound")
@pytest.mark.parametrize("ending", ["an error of on_step", "an error of the model", "an interrupted evaluation"])
def test_an_error_leaves_the_generator_as_the_run_began(ending):
    train_loader, model = loader(), toy()
    began = generator_of(train_loader)

    def fail(*arguments):
        evaluating = not torch.is_grad_enabled()
        if ending != "an interrupted evaluation" or evaluating:
            raise KeyboardInterrupt

    if ending != "an error of on_step":
        model.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        taught(model, train_loader, eval_every=3, on_step=fail if ending == "an error of on_step" else None)
    assert torch.equal(generator_of(train_loader), began), f"after {ending}, the generator had moved on"


@clause("rewound")
def test_what_on_step_finds_is_enough_to_take_up():
    whole, _, taken, standing = whole_run("shuffled")
    for step in (2, 4, 7):
        model, _ = rest_of_run("shuffled", taken[step], step, standing[step])
        identical(model, whole, f"taken up after step {step}, with the generator as it stood when on_step was called")


@clause("no-order")
@pytest.mark.parametrize("start_step", [1, 5])
def test_an_order_that_cannot_be_repeated_is_refused(start_step):
    shuffled = DataLoader(TensorDataset(*windows()), 2, shuffle=True)
    with refuses(ValueError, "generator"):
        taught(toy(), shuffled, epochs=2, start_step=start_step)
    try:
        taught(toy(), shuffled, epochs=2)
    except ValueError as error:
        pytest.fail(f"a DataLoader that shuffles without a generator was refused with start_step=0: {error}")


@clause("empty")
def test_an_epoch_without_a_batch_is_refused():
    model = toy()
    before = weights(model).clone()
    with refuses(ValueError, "train_loader", 1):
        taught(model, [])
    identical(model, before, "an empty train_loader")
    with refuses(ValueError, "train_loader", 2):
        taught(model, iter(batches(2, 2)), epochs=2)  # it can be gone through once


@clause("numbers")
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_numbers_that_do_not_fit_are_refused(name, value):
    model, drawn = toy(), []
    before = weights(model).clone()
    given = ((drawn.append(1), batch)[1] for batch in batches(2, 2, 2, 1))
    with refuses(ValueError, name, value):
        taught(model, given, **{name: value})
    same(drawn, [], f"batches that were drawn before {name}={value} was refused")
    identical(model, before, f"{name}={value} was refused")


@clause("numbers")
@pytest.mark.parametrize("name", ALLOWED)
def test_numbers_that_just_fit_are_not_refused(name):
    try:
        taught(toy(), **{name: ALLOWED[name]})
    except ValueError as error:
        pytest.fail(f"{name}={ALLOWED[name]} was refused: {error}")
