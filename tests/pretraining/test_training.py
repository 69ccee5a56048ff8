"""Training, clause by clause. The why: docs/pretraining/training.md."""

import contextlib
import copy
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
WRONG = [("epochs", -1), ("start_step", -3), ("eval_every", 0), ("eval_batches", 0), ("accumulate", 0)]
CLIPPED = {"rtol": 1e-5, "atol": 1e-6}  # PyTorch's function adds 1e-6 to the norm
KINDS = ["shuffled", "a list", "random at every look"]


@cache
def windows(counted=(4,) * 7):
    """Windows of four tokens; of the targets of each row, so many count, and the others are -100."""
    inputs = (numbers(len(counted), TOKENS, seed="inputs") * 100).long() % VOCAB_SIZE
    targets = (numbers(len(counted), TOKENS, seed="targets") * 100).long() % VOCAB_SIZE
    for row, kept in enumerate(counted):
        targets[row, kept:] = -100
    return inputs, targets


def batches(*sizes, counted=(4,) * 7):
    """A list of batches with these numbers of rows."""
    inputs, targets = (part[: sum(sizes)].split(sizes) for part in windows(tuple(counted)))
    return list(zip(inputs, targets, strict=True))


class OtherEveryTime:
    """A loader with other batches in every epoch, and with none at last; an evaluation gets those of its epoch."""

    def __init__(self, *epochs):
        self.length, self.epochs, self.now = len(epochs[0]), iter(epochs), []

    def __len__(self):
        return self.length

    def __iter__(self):
        if grads():
            self.now = next(self.epochs, [])
        return iter(self.now)


class Drawn(Dataset):
    """Windows with two tokens that are drawn whenever one is read, from torch's and from Python's random numbers."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        inputs, targets = (part[index].clone() for part in windows())
        inputs[0], inputs[1] = int(torch.randint(VOCAB_SIZE, ())), random.randrange(VOCAB_SIZE)
        return inputs, targets


def loader(kind="shuffled", batch_size=2):
    """A new train_loader of seven windows: four batches, the last of one window."""
    if kind == "a list":
        return batches(2, 2, 2, 1)
    dataset = Drawn() if kind == "random at every look" else TensorDataset(*windows())
    return DataLoader(dataset, batch_size, shuffle=True, generator=torch.Generator().manual_seed(5))


def toy(dropout=0.0):
    return toy_model(VOCAB_SIZE, 6, dropout).double()


def sgd(model, lr=0.5):
    return torch.optim.SGD(model.parameters(), lr)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)


def trained(model, train_loader=None, optimizer=None, epochs=1, *, run=train, **more):
    """Train a model with arguments that most tests leave alone; the optimizer is gradient descent."""
    more = {"val_loader": batches(2), "eval_every": 1_000, "eval_batches": 1} | more
    train_loader = batches(2, 2, 2, 1) if train_loader is None else train_loader
    return run(model, train_loader, optimizer=optimizer or sgd(model), epochs=epochs, **more)


def clip(parameters, max_norm):
    """Clip by the formula."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    for gradient in gradients:
        gradient.mul_((max_norm / norm).clamp(max=1))


def loss_of(model, group):
    """The mean loss of all rows of some batches, by PyTorch."""
    inputs, targets = (torch.cat(part) for part in zip(*group, strict=True))
    return functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def by_hand(model, groups, optimizer=None, max_norm=None, schedule=None):
    """Train with PyTorch alone, all rows of a group in one batch; the loss of each step."""
    optimizer, losses = optimizer or sgd(model), []
    for step, group in enumerate(groups, start=1):
        for part in optimizer.param_groups:
            part["lr"] = schedule(step) if schedule else part["lr"]
        optimizer.zero_grad()
        loss = loss_of(model, group)
        loss.backward()
        if max_norm is not None:
            clip(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def compare(mine, expected, because, **looser):
    """Assert that two models have the same weights."""
    __tracebackhide__ = True
    close(weights(mine), weights(expected), f"weights after training; {because}", **looser)


def identical(mine, expected, because):
    """Assert that two models, or the weights of two, are the same bit for bit."""
    __tracebackhide__ = True
    mine, expected = (w if isinstance(w, torch.Tensor) else weights(w) for w in (mine, expected))
    if not torch.equal(mine, expected):
        pytest.fail(f"weights differ by up to {(mine - expected).abs().nan_to_num(torch.inf).max():.3g}: {because}")


def near(seen, expected, because):
    """Assert that a number is the expected one, but for the last digits of a float."""
    __tracebackhide__ = True
    if not (math.isclose(seen, expected, rel_tol=1e-9) or (math.isnan(seen) and math.isnan(expected))):
        pytest.fail(f"{both(seen, expected)}: {because}")


def watched(model, look):
    """What look(module, inputs) finds, at each call of the model with gradients."""
    seen = []
    model.register_forward_hook(lambda module, args, _: seen.append(look(module, *args)) if grads() else None)
    return seen


def grads():
    return torch.is_grad_enabled()


def rates_used(optimizer):
    """The lr of each param group, at each step of the optimizer."""
    seen = []
    optimizer.register_step_pre_hook(lambda used, args, kwargs: seen.append([g["lr"] for g in used.param_groups]))
    return seen


def two_groups(model):
    return torch.optim.SGD([{"params": model[0].parameters(), "lr": 1}, {"params": model[2].parameters()}], 0.7)


def snapshot(model, optimizer):
    """What a checkpoint holds, but for the loader's generator."""
    return *copy.deepcopy((model.state_dict(), optimizer.state_dict())), torch.get_rng_state(), random.getstate()


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


RUN = {"epochs": 2, "eval_every": 2, "eval_batches": 2, "schedule": lambda step: 0.1 / (1 + step)}


def whole_run(kind, run=train, **more):
    """A run of two epochs: the model, its History, and what a checkpoint would hold after each step."""
    torch.manual_seed(3)
    random.seed(3)
    model, taken = toy(dropout=0.5), {}
    optimizer = adamw(model)
    keep = lambda step, *_: taken.update({step: snapshot(model, optimizer)})  # noqa: E731
    history = trained(model, loader(kind), optimizer, on_step=keep, run=run, **RUN | more)
    return model, history, taken


def rest_of_run(kind, taken, step, run=train, **more):
    """The same run, taken up after a step from what a checkpoint held."""
    model, optimizer = restored(taken[step])
    history = trained(model, loader(kind), optimizer, start_step=step, run=run, **RUN | more)
    return model, history


def entries_after(history, step):
    first = sum(entry <= step for entry in history.steps)
    return {name: entries[first:] for name, entries in vars(history).items()}


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def run(*arguments, model=None, **more):
        """The weights after a training."""
        model = model or toy()
        trained(model, *arguments, run=kata.train, **more)
        return weights(model)

    def history(name, **more):
        model = toy(dropout=0.5)
        made = trained(model, None, two_groups(model), 2, run=kata.train, **{"eval_every": 3} | more)
        return torch.tensor(getattr(made, name))

    def modes_in_steps(**more):
        model = toy(dropout=0.5).eval()
        seen = watched(model, lambda *_: [module.training for module in model.modules()])
        run(model=model, **more)
        return seen

    def modes_after(on_step=None):
        model = toy(dropout=0.5).eval()
        model[1].train()
        with contextlib.suppress(ZeroDivisionError):
            run(model=model, on_step=on_step)
        return [module.training for module in model.modules()]

    def rates(schedule, **more):
        model = toy()
        optimizer = two_groups(model)
        seen = rates_used(optimizer)
        run(batches(1, 1, 1), optimizer, model=model, schedule=schedule, **more)
        return torch.tensor(seen)

    def gradients(what, **more):
        """What the gradients are in a step, and after it."""
        model, seen = toy(), []
        optimizer = sgd(model)
        optimizer.register_step_pre_hook(lambda *_: seen.append(what(model[2].weight.grad)))
        run(batches(1), optimizer, model=model, **more)
        return [*seen, what(model[2].weight.grad)]

    def last_layer(max_norm):
        model = toy()
        return run(batches(1, 1), adamw(model[2]), 2, model=model, max_norm=max_norm)

    def heard(what, **more):
        seen = []
        run(on_step=lambda *arguments: seen.append(what(*arguments)), eval_every=2, **more)
        return seen

    def resumed(what):
        _, _, taken = whole_run("random at every look", kata.train)
        model, rest = rest_of_run("random at every look", taken, 2, kata.train)
        return what(model, rest)

    def shuffled(eval_every):
        torch.manual_seed(3)
        return run(loader(), None, 2, model=toy(dropout=0.5), eval_every=eval_every)

    def generator_in_on_step():
        train_loader, seen = loader(), []
        began = train_loader.generator.get_state()
        run(train_loader, on_step=lambda *_: seen.append(torch.equal(train_loader.generator.get_state(), began)))
        return seen

    def refused(call):
        try:
            call()
        except ValueError as error:
            return str(error)
        return "nothing was refused"

    def refusal(name, value):
        return f"{name} and {value}" if name in (told := refused(lambda: run(**{name: value}))) else told

    def no_order(start_step):
        shuffles = DataLoader(TensorDataset(*windows()), 4, shuffle=True)
        return "generator" in refused(lambda: run(shuffles, start_step=start_step))

    falling = lambda step: 1 / (1 + step)  # noqa: E731
    unequal = {"counted": [4, 1, 3, 2]}
    return {
        "one step": lambda: run(batches(2)),
        "two steps": lambda: run(batches(2, 1)),
        "AdamW": lambda: run(batches(2), adamw(model := toy()), model=model),
        "gradients that are missing, in a step and after it": lambda: gradients(lambda gradient: gradient is None),
        "two epochs": lambda: run(batches(1, 2), None, 2),
        "other batches in the second epoch": lambda: run(OtherEveryTime(batches(1), batches(2)), None, 2),
        "modes in steps": modes_in_steps,
        "modes in steps, evaluated": lambda: modes_in_steps(eval_every=1),
        "modes after": modes_after,
        "modes after, also after an error": lambda: [modes_after(), modes_after(lambda *_: 1 / 0)],
        "clipped": lambda: run(batches(1), max_norm=0.1),
        "norms of gradients, in a step and after it": lambda: gradients(torch.norm, max_norm=0.1),
        "clipped, two groups": lambda: run(batches(1), two_groups(model := toy()), model=model, max_norm=0.1),
        "clipped twice": lambda: run(batches(1, 1), max_norm=0.1),
        "rates": lambda: rates(falling),
        "rates without a schedule": lambda: rates(None),
        **{name: lambda name=name: history(name) for name in vars(History())},
        "steps, every 2": lambda: history("steps", eval_every=2),
        "losses of two batches": lambda: history("train_losses", eval_batches=2),
        "losses of all batches": lambda: history("train_losses", eval_batches=None),
        "numbers of steps": lambda: heard(lambda step, *_: step),
        "losses of steps": lambda: torch.tensor(heard(lambda step, loss, _: float(loss))),
        "type of a loss": lambda: heard(lambda step, loss, _: type(loss).__name__),
        "entries in on_step": lambda: heard(lambda step, _, then: len(then.steps)),
        "accumulated alike": lambda: run(batches(1, 1), accumulate=2),
        "accumulated": lambda: run(batches(1, 1, 1, 1, **unequal), accumulate=2),
        "losses, accumulated": lambda: torch.tensor(heard(lambda step, loss, _: float(loss), accumulate=2)),
        "remainder": lambda: run(batches(1, 1, 1), accumulate=2),
        "remainder of two epochs": lambda: run(batches(1, 1, 1), None, 2, accumulate=2),
        "uncounted": lambda: run(batches(1, counted=[0])),
        "uncounted, AdamW": lambda: run(batches(1, 1, counted=[4, 0]), adamw(model := toy()), model=model),
        "uncounted beside another": lambda: run(batches(1, 1, counted=[4, 0]), accumulate=2),
        "last layer": lambda: last_layer(None),
        "last layer, clipped": lambda: last_layer(0.1),
        "shuffled": lambda: shuffled(1_000),
        "shuffled, evaluated": lambda: shuffled(1),
        "resumed": lambda: resumed(lambda model, _: weights(model)),
        "steps, resumed": lambda: resumed(lambda _, rest: rest.steps),
        "tokens, resumed": lambda: resumed(lambda _, rest: rest.tokens_seen),
        "generator in on_step": generator_in_on_step,
        "no order": lambda: no_order(1),
        "no order, from the beginning": lambda: no_order(0),
        "no batch": lambda: "train_loader" in refused(lambda: run([])),
        "no batch in epoch 2": lambda: "train_loader" in refused(lambda: run(iter(batches(1)), None, 2)),
        **{f"{name}={value}": lambda case=(name, value): refusal(*case) for name, value in WRONG},
    }


@clause("step")
@pytest.mark.parametrize("kind", ["gradient descent", "AdamW"])
def test_a_batch_makes_one_step(kind):
    make = sgd if kind == "gradient descent" else adamw
    model, expected = toy(), toy()
    trained(model, batches(2), make(model))
    by_hand(expected, [batches(2)], make(expected))
    compare(model, expected, f"one batch, one epoch, {kind}; expected is one step with PyTorch")


@clause("fresh")
def test_a_step_has_the_gradients_of_its_own_batch():
    model, expected = toy(), toy()
    trained(model, batches(1, 2))
    by_hand(expected, [[batch] for batch in batches(1, 2)])
    compare(model, expected, "two batches, one epoch; in step 2 the gradients of step 1 should be gone")


@clause("epochs")
def test_epochs_follow_one_another():
    model = toy()
    seen = watched(model, lambda module, inputs: inputs.tolist())
    trained(model, batches(2, 1), epochs=3)
    expected = [inputs.tolist() for inputs, _ in batches(2, 1)] * 3
    same(seen, expected, "the inputs of all steps: two batches in a list, epochs=3")


@clause("epochs")
def test_each_epoch_iterates_over_the_loader_again():
    model = toy()
    seen = watched(model, lambda module, inputs: len(inputs))
    trained(model, OtherEveryTime(batches(2, 1), batches(1, 3)), epochs=2)
    same(seen, [2, 1, 1, 3], "rows of each batch: the loader has batches of 2 and 1 rows, then of 1 and 3")


@clause("training-mode")
@pytest.mark.parametrize("eval_every", [1, 1_000])
def test_every_step_is_done_in_training_mode(eval_every):
    model = toy(dropout=0.5).eval()
    seen = watched(model, lambda *_: [module.training for module in model.modules()])
    trained(model, eval_every=eval_every)
    same(
        seen, [[True] * 4] * 4, f"training of all modules in each step, eval_every={eval_every}; they came in eval mode"
    )


@clause("clip")
@pytest.mark.parametrize("max_norm", [0.05, 100.0])
def test_gradients_are_clipped_before_a_step(max_norm):
    model, expected = toy(), toy()
    trained(model, batches(2), two_groups(model), max_norm=max_norm)
    by_hand(expected, [batches(2)], two_groups(expected), max_norm=max_norm)
    because = f"one step of two param groups, max_norm={max_norm}; expected are PyTorch's, clipped together before it"
    compare(model, expected, because, **CLIPPED)


@clause("schedule")
def test_every_group_has_the_rate_of_the_step():
    model = toy()
    optimizer = two_groups(model)
    seen = rates_used(optimizer)
    trained(model, batches(2, 1), optimizer, 2, schedule=lambda step: 1 / (1 + step))
    expected = [[1 / (1 + step)] * 2 for step in (1, 2, 3, 4)]
    same(seen, expected, "lr of two param groups in each step, where schedule(step) is 1 / (1 + step), two epochs")


@clause("schedule")
def test_without_a_schedule_the_rates_do_not_change():
    model = toy()
    optimizer = two_groups(model)
    seen = rates_used(optimizer)
    trained(model, batches(2, 2), optimizer, 2)
    same(seen, [[1, 0.7]] * 4, "lr of two param groups in each step, without a schedule")


@clause("evaluated")
@pytest.mark.parametrize(("eval_every", "expected"), [(1, [1, 2, 3, 4, 5, 6, 7, 8]), (3, [3, 6]), (4, [4, 8])])
def test_an_entry_is_made_every_so_many_steps(eval_every, expected):
    model = toy()
    optimizer = two_groups(model)
    history = trained(model, None, optimizer, 2, eval_every=eval_every)
    assert isinstance(history, History), f"{history!r} was returned, expected a History"
    told = f"two epochs of four batches, eval_every={eval_every}"
    same(history.steps[: len(expected)], expected, f"steps: {told}")
    rates = [float(rate) for rate in history.learning_rates[: len(expected)]]
    same(rates, [1.0] * len(expected), f"learning_rates: {told}; the lr of two param groups is 1 and 0.7")


@clause("losses")
@pytest.mark.parametrize("name", ["train_losses", "val_losses"])
@pytest.mark.parametrize("eval_batches", [1, 2, None])
def test_the_losses_are_those_of_the_first_batches(eval_batches, name):
    model = toy(dropout=0.5)
    loaders = {"train_losses": batches(2, 1, 1), "val_losses": batches(1, 2, 3)}
    history = trained(model, loaders["train_losses"], val_loader=loaders["val_losses"], eval_every=3,
                      eval_batches=eval_batches)  # fmt: skip
    seen = getattr(history, name)
    same(len(seen), 1, f"the number of {name}, after three steps with eval_every=3")
    expected = loss_of(model.eval(), loaders[name][:eval_batches]).item()
    near(seen[0], expected, f"{name} after the last step, eval_batches={eval_batches}, without dropout")


@clause("tokens")
def test_every_token_of_the_inputs_is_seen():
    history = trained(toy(), epochs=2, eval_every=1)
    expected = [8, 16, 24, 28, 36, 44, 52, 56]
    same(history.tokens_seen, expected, "tokens_seen after each step, with batches of 2, 2, 2 and 1 rows of 4 tokens")


@clause("on-step")
def test_on_step_gets_number_and_loss_of_each_step():
    model, expected, told = toy(), toy(), []
    trained(model, epochs=2, on_step=lambda step, loss, history: told.append((step, loss)))
    losses = by_hand(expected, [[batch] for batch in batches(2, 2, 2, 1)] * 2)
    same([step for step, _ in told], list(range(1, 9)), "the numbers that on_step got, two epochs of four batches")
    for (step, seen), loss in zip(told, losses, strict=True):
        assert type(seen) is float, f"on_step got a loss of type {type(seen).__name__}, expected a float"
        near(seen, loss, f"the loss of step {step}, computed before the weights change")


@clause("on-step")
def test_on_step_is_called_after_the_step_and_its_evaluation():
    model, expected, seen = toy(), toy(), []
    history = trained(
        model, eval_every=2, on_step=lambda _, loss, then: seen.append((then, list(then.steps), weights(model)))
    )
    same([entries for _, entries, _ in seen], [[], [2], [2], [2, 4]], "history.steps in on_step, eval_every=2")
    assert all(given is history for given, _, _ in seen), "on_step got another History than train returned"
    for step, (_, _, then) in enumerate(seen, start=1):
        by_hand(expected, [batches(2, 2, 2, 1)[step - 1 : step]])
        close(then, weights(expected), f"the weights in on_step of step {step}: expected are those after the step")


@clause("last-step")
@pytest.mark.parametrize(("eval_every", "expected"), [(2, [2, 4, 6, 8]), (3, [3, 6, 8]), (100, [8])])
def test_the_last_step_is_followed_by_an_evaluation(eval_every, expected):
    history = trained(toy(), epochs=2, eval_every=eval_every)
    same(history.steps, expected, f"steps of the History, two epochs of four batches, eval_every={eval_every}")


@clause("modes")
@pytest.mark.parametrize("ending", ["the last step", "an error of on_step"])
def test_every_module_gets_its_mode_back(ending):
    model = toy(dropout=0.5).eval()
    model[1].train()
    before = [module.training for module in model.modules()]
    if ending == "the last step":
        trained(model, epochs=2)
    else:
        with pytest.raises(ZeroDivisionError):
            trained(model, epochs=2, on_step=lambda *_: 1 / 0)
    same([module.training for module in model.modules()], before, f"training of all modules, after {ending}")


@clause("accumulate")
@pytest.mark.parametrize("counted", [[4] * 6, [4, 1, 3, 2, 1, 2]], ids=["alike", "unequal"])
@pytest.mark.parametrize("accumulate", [2, 3])
def test_a_step_of_several_batches_is_that_of_one_large_batch(accumulate, counted):
    model, expected, told = toy(), toy(), []
    parts = batches(1, 1, 1, 1, 1, 1, counted=counted)
    trained(model, parts, accumulate=accumulate, on_step=lambda step, loss, history: told.append(loss))
    losses = by_hand(expected, [parts[first : first + accumulate] for first in range(0, 6, accumulate)])
    because = f"accumulate={accumulate}, six batches with {counted} targets that count"
    compare(model, expected, f"{because}; expected are steps with all their rows in one batch")
    close(torch.tensor(told), torch.tensor(losses), f"the losses that on_step got: {because}")


@clause("remainder")
@pytest.mark.parametrize(("accumulate", "sizes"), [(2, [2, 2, 1]), (9, [5])])
def test_what_is_left_at_the_end_of_an_epoch_makes_a_step(accumulate, sizes):
    model, expected = toy(), toy()
    rows = iter(batches(1, 1, 1, 1, 1, counted=[4, 1, 3, 2, 4]) * 2)
    trained(model, batches(1, 1, 1, 1, 1, counted=[4, 1, 3, 2, 4]), epochs=2, accumulate=accumulate)
    by_hand(expected, [[next(rows) for _ in range(size)] for size in sizes * 2])
    because = f"two epochs of five batches, accumulate={accumulate}: steps of {sizes} batches in each epoch"
    compare(model, expected, because)


@clause("uncounted")
def test_a_step_in_which_nothing_counts_changes_nothing():
    model, expected, losses = toy(), toy(), []
    parts = batches(3, 1, 3, counted=[4, 1, 3, 0, 4, 2, 1])
    trained(model, parts, adamw(model), on_step=lambda step, loss, history: losses.append(loss))
    by_hand(expected, [parts[:1], parts[2:]], adamw(expected))
    compare(model, expected, "the second of three batches has only targets of -100, and should change nothing")
    same(len(losses), 3, "how often on_step was called for three steps; in the second, all targets are -100")
    near(losses[1], math.nan, "the loss of a step whose targets are all -100")


@clause("uncounted")
def test_a_batch_in_which_nothing_counts_changes_nothing_in_a_step_with_others():
    model, expected, losses = toy(), toy(), []
    parts = batches(3, 1, 3, counted=[4, 1, 3, 0, 4, 2, 1])
    trained(model, parts, accumulate=3, on_step=lambda step, loss, history: losses.append(loss))
    because = "three batches make one step, accumulate=3; all targets of the second are -100"
    (loss,) = by_hand(expected, [parts])
    compare(model, expected, because)
    close(torch.tensor(losses), torch.tensor([loss]), f"the loss that on_step got: {because}")


@clause("partial")
@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_what_the_optimizer_does_not_have_stays_and_does_not_count(max_norm):
    model, expected = toy(), toy()
    expected[0].weight.requires_grad_(False)
    trained(model, optimizer=sgd(model[2]), max_norm=max_norm)
    by_hand(expected, [[batch] for batch in batches(2, 2, 2, 1)], sgd(expected[2]), max_norm)
    compare(model, expected, f"the optimizer has the last layer only, max_norm={max_norm}", **CLIPPED)


@clause("undisturbed")
@pytest.mark.parametrize("kind", KINDS)
def test_evaluations_do_not_change_the_run(kind):
    made = []
    for eval_every in (1, 1_000):
        torch.manual_seed(3)
        random.seed(3)
        made.append(toy(dropout=0.5))
        trained(made[-1], loader(kind), epochs=2, eval_every=eval_every)
    because = "dropout and the order of the batches should not depend on the number of evaluations"
    identical(*made, f"eval_every=1 and eval_every=1000, the train_loader is {kind}: {because}")


@clause("resumed")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_that_is_taken_up_continues_as_if_never_stopped(accumulate, kind):
    whole, history, taken = whole_run(kind, accumulate=accumulate)
    for step in (1, 4, 7) if accumulate == 1 else (1, 2, 4):
        model, rest = rest_of_run(kind, taken, step, accumulate=accumulate)
        told = f"start_step={step} of {len(taken)}, accumulate={accumulate}, the train_loader is {kind}"
        identical(model, whole, told)
        same(vars(rest), entries_after(history, step), f"the entries of the History: {told}")


@clause("rewound")
@pytest.mark.parametrize("eval_every", [2, 1_000])
def test_on_step_finds_the_generator_in_its_first_state(eval_every):
    train_loader, model, seen = loader(), toy(), []
    began = train_loader.generator.get_state()
    orders = watched(model, lambda module, inputs: inputs.tolist())
    look = lambda *_: seen.append(torch.equal(train_loader.generator.get_state(), began))  # noqa: E731
    trained(model, train_loader, epochs=2, eval_every=eval_every, on_step=look)
    same(seen, [True] * 8, "whether the generator was in its first state, in each call of on_step")
    twin = loader()
    expected = [inputs.tolist() for _ in range(2) for inputs, _ in twin]
    same(orders, expected, "the inputs of all steps; expected are those of a loader whose generator nobody sets back")


@clause("no-order")
def test_an_order_that_cannot_be_repeated_is_refused():
    shuffled = DataLoader(TensorDataset(*windows()), 2, shuffle=True)
    with refuses(ValueError, "generator"):
        trained(toy(), shuffled, epochs=2, start_step=1)
    trained(toy(), shuffled)  # from the beginning, no order has to be repeated


@clause("empty")
@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_without_a_batch_is_refused(epoch):
    with refuses(ValueError, "train_loader", epoch):
        trained(toy(), OtherEveryTime(*[batches(2)] * (epoch - 1), [], batches(2)), epochs=3)


@clause("numbers")
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_numbers_that_do_not_fit_are_refused(name, value):
    with refuses(ValueError, name, value):
        trained(toy(), **{name: value})
