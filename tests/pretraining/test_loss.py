"""The loss, clause by clause. The why: docs/pretraining/loss.md."""

import math

import pytest
import torch
from torch.nn import functional

from katas.pretraining.loss import batch_loss, cross_entropy, mean_loss, perplexity
from tests.laws import gradients_agree, leaves_its_inputs_alone, moves_what_it_is_given
from tests.probes import meets, tried
from tests.support import clause, close, numbers, refuses, same, toy_model

LN3 = math.log(3)
VOCAB = 11  # of the toy model
AXES = [(6,), (2, 3), (2, 1, 4), ()]


def ids(*shape, below=VOCAB, seed=0):
    """Ids of a vocabulary, the same everywhere."""
    return ((numbers(*shape, seed=f"ids {seed}", dtype=torch.float64) + 1) / 2 * below).long().clamp(max=below - 1)


def oracle(logits, targets, **more):
    """PyTorch's loss, for any axes."""
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), **more)


def batches(*rows, ignored=False):
    """Batches with so many rows of five tokens; some of the targets may be -100, in the second batch all."""
    found = [(ids(count, 5, seed=index), ids(count, 5, seed=f"of {index}")) for index, count in enumerate(rows)]
    if ignored:
        found[0][1][:, :4] = -100
        found[1][1][:] = -100
    return found


def as_one(model, given):
    """The loss of all batches, computed as that of one."""
    inputs, targets = (torch.cat(parts) for parts in zip(*given, strict=True))
    with torch.no_grad():
        return oracle(model(inputs), targets).item()


class Witness(torch.nn.Module):
    """A toy with dropout that notes, at each call, whether a part is in training mode and gradients are recorded."""

    def __init__(self):
        super().__init__()
        self.toy, self.training_seen, self.recording_seen = toy_model(VOCAB, dropout=0.5), [], []

    def forward(self, token_ids):
        self.training_seen.append(any(part.training for part in self.modules()))
        self.recording_seen.append(torch.is_grad_enabled())
        return self.toy(token_ids)


def modes(model):
    return {name or "the model": part.training for name, part in model.named_modules()}


def modes_afterwards(mean):
    """The modes of a model, itself training and one part not, before and after mean_loss."""
    model = Witness().train()
    model.toy[1].eval()
    before = modes(model)
    mean(model, batches(3, 1))
    return before, modes(model)


def next_number(mean):
    """The number that torch draws after mean_loss with a loader that shuffles, and the one that it draws without."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batches(7)[0]), batch_size=3, shuffle=True)
    model = toy_model(VOCAB)
    torch.manual_seed(0)
    mean(model, loader)
    drawn = torch.rand(1).item()
    torch.manual_seed(0)
    return drawn, torch.rand(1).item()


def probe(kata):
    """Small cases on which the known mistakes differ."""
    loss = kata.cross_entropy
    logits, targets = 4 * numbers(2, 3, 5), ids(2, 3, below=5)
    some = targets.clone()
    some[0, 1:] = -100
    model, inputs, answers = toy_model(VOCAB), ids(2, 4), ids(2, 4, seed=1)

    def mean(*arguments):
        """The mean loss; a float as a tensor, so that its last digits decide nothing."""
        value = kata.mean_loss(*arguments)
        return torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value

    def nan_or(value):
        """What would prove nothing, nan, by its name."""
        return "nan" if torch.as_tensor(value).isnan().all() else value

    def gradient(logits, targets):
        leaf = logits.clone().requires_grad_()
        return torch.autograd.grad(loss(leaf, targets), leaf)[0]

    def learned():
        kata.batch_loss(model, inputs, answers).backward()
        return model[2].bias.grad

    def batch_modes(training):
        witness = Witness().train(training)
        kata.batch_loss(witness, inputs, answers)
        return witness.training_seen, witness.training

    def meanwhile():
        witness = Witness()
        mean(witness, batches(3, 1))
        return witness

    def changed(given):
        mine, theirs = logits.clone(), some.clone()
        loss(mine, theirs)
        return mine if given == "logits" else theirs

    def refused(shape):
        try:
            loss(logits, targets.reshape(-1)[: math.prod(shape)].reshape(shape))
        except ValueError as error:
            return str((2, 3, 5)) in str(error) and str(shape) in str(error)
        return "accepted"

    def far_apart():
        """A loss of 14 to 36 is told as one: that is the bound which somebody chose."""
        seen = loss(torch.tensor([200.0, 0.0]), torch.tensor(1))
        return "bounded" if 13.9 < seen < 36 else str(seen)

    def half():
        return loss(torch.tensor([-8.0, 0.0, 0.0], dtype=torch.float16), torch.tensor(0))

    return {
        "example": lambda: loss(torch.tensor([0.0, LN3]), torch.tensor(0)),
        "batch of logits": lambda: loss(logits, targets),
        "square": lambda: loss(4 * numbers(3, 3, 3), ids(3, 3, below=3)),
        "one axis": lambda: tried(lambda: loss(logits[0], targets[0])),
        "ignored": lambda: loss(logits, some),
        "another ignored": lambda: tried(lambda: loss(logits, targets, ignore_index=int(targets[0, 0]))),
        "gradient": lambda: tried(lambda: gradient(logits / 2, targets)),
        "nothing": lambda: str(tried(lambda: abs(loss(logits, torch.full_like(targets, -100))))),
        "ignored nan": lambda: nan_or(loss(logits.where((some != -100)[..., None], math.nan), some)),
        "extreme": lambda: str(loss(torch.tensor([10_000.0, 9_999.0]), torch.tensor(1))),
        "far apart": far_apart,
        "rows far apart": lambda: nan_or(loss(torch.tensor([[200.0, 199.0], [0.0, 1.0]]), torch.tensor([0, 0]))),
        "float64": lambda: str(loss(logits.double(), targets).dtype),
        "precise": lambda: abs(loss(logits.double(), targets) - oracle(logits.double(), targets)).item() < 1e-12,
        "float16": lambda: str(tried(half)),
        "logits afterwards": lambda: changed("logits"),
        "targets afterwards": lambda: changed("targets"),
        "(3, 2)": lambda: tried(lambda: refused((3, 2))),
        "(1, 3)": lambda: tried(lambda: refused((1, 3))),
        "perplexity": lambda: kata.perplexity(torch.tensor(0.5)),
        "perplexity of a float": lambda: tried(lambda: type(kata.perplexity(0.5)).__name__),
        "perplexity of 1 000": lambda: tried(lambda: kata.perplexity(1_000.0)),
        "batch": lambda: kata.batch_loss(model, inputs, answers),
        "learned": lambda: tried(learned),
        "training": lambda: batch_modes(True),
        "eval": lambda: batch_modes(False),
        "inputs elsewhere": lambda: meets(lambda: kata.batch_loss(model, inputs, answers), model, answers),
        "targets elsewhere": lambda: meets(lambda: kata.batch_loss(model, inputs, answers), model, inputs),
        "equal batches": lambda: mean(model, batches(2, 2)),
        "uneven batches": lambda: mean(model, batches(3, 1)),
        "ignored in batches": lambda: nan_or(mean(model, batches(2, 2, 3, ignored=True))),
        "first batch": lambda: mean(model, batches(3, 1, 2), 1),
        "a generator of batches": lambda: tried(lambda: mean(model, iter(batches(2, 2)))),
        "more batches": lambda: mean(model, batches(3, 1), 9),
        "no batches": lambda: str(tried(lambda: mean(model, []))),
        "training meanwhile": lambda: meanwhile().training_seen,
        "recording meanwhile": lambda: meanwhile().recording_seen,
        "modes afterwards": lambda: modes_afterwards(mean)[1],
        "random afterwards": lambda: len(set(next_number(mean))),
    }


@clause("example")
@pytest.mark.parametrize(("target", "cost"), [(0, math.log(4)), (1, math.log(4) - LN3)])
def test_a_quarter_costs_ln_4_and_three_quarters_less(target, cost):
    seen = cross_entropy(torch.tensor([[0.0, LN3]]), torch.tensor([target]))
    because = (
        f"logits 0 and ln 3, target {target}: its probability is {math.exp(-cost):.2f}, and ln of that {-cost:.4f}"
    )
    close(seen, torch.tensor(cost), because)


@clause("formula")
@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("vocab_size", [1, 3, 7])
def test_the_loss_is_that_of_pytorch(axes, vocab_size):
    logits, targets = 4 * numbers(*axes, vocab_size), ids(*axes, below=vocab_size)
    because = f"PyTorch's loss for logits {tuple(logits.shape)}: the mean of -ln p over all targets"
    close(cross_entropy(logits, targets), oracle(logits, targets), because)


@clause("ignored")
@pytest.mark.parametrize("ignore_index", [-100, -1, 2])
def test_an_ignored_target_does_not_count(ignore_index):
    logits, targets = 4 * numbers(2, 3, 5), torch.tensor([[0, 4, 1], [3, 3, 0]])
    targets[0, 1], targets[1, 2] = ignore_index, ignore_index
    expected = oracle(logits, targets, ignore_index=ignore_index)
    because = f"2 of 6 targets are ignore_index, {ignore_index}: the loss is the mean over the other 4"
    close(cross_entropy(logits, targets, ignore_index=ignore_index), expected, because)


@clause("ignored")
def test_minus_100_is_ignored_by_default():
    seen = cross_entropy(torch.tensor([[0.0, LN3], [0.0, LN3]]), torch.tensor([0, -100]))
    close(seen, torch.tensor(math.log(4)), "the targets are 0, which costs ln 4, and -100, which is ignored")


@clause("gradients")
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_the_gradients_are_those_of_pytorch(axes):
    logits, targets = (4 * numbers(*axes, 5)).requires_grad_(), ids(*axes, below=5)
    gradients_agree(cross_entropy(logits, targets), oracle(logits, targets), {"logits": logits}, "PyTorch's loss")


@clause("perplexity")
@pytest.mark.parametrize("choices", [1, 8, 50_257])
def test_a_loss_of_ln_n_is_a_perplexity_of_n(choices):
    seen = perplexity(torch.tensor(math.log(choices)))
    close(seen, torch.tensor(float(choices)), f"the perplexity of a loss of ln {choices}")


@clause("batch")
def test_the_batch_loss_is_that_of_the_models_logits():
    model, inputs, targets = toy_model(VOCAB), ids(2, 4), ids(2, 4, seed=1)
    expected, seen = oracle(model(inputs), targets), batch_loss(model, inputs, targets)
    close(seen, expected, "inputs and targets are (2, 4); the loss is cross_entropy(model(inputs), targets)")
    gradients_agree(seen, expected, dict(model.named_parameters()), "PyTorch's loss")


@clause("mode")
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_is_called_in_its_own_mode(training):
    model = Witness().train(training)
    batch_loss(model, ids(2, 3), ids(2, 3))
    name = {True: "training", False: "eval"}
    was = f"the model was in {name[training]} mode"
    assert model.training_seen, f"{was}, and was not called"
    assert set(model.training_seen) == {training}, f"{was}, and was called in {name[not training]} mode"
    assert model.training == training, f"{was}, and is in {name[not training]} mode afterwards"


@clause("mean")
def test_the_mean_of_equal_batches_is_that_of_their_losses():
    model, given = toy_model(VOCAB), batches(2, 2, 2)
    seen = mean_loss(model, given)
    close(torch.tensor(seen), torch.tensor(as_one(model, given)), "the mean loss of three batches of (2, 5)")


@clause("num-batches")
@pytest.mark.parametrize("number", [1, 2, 3, 9, None])
def test_only_the_first_batches_count(number):
    model, given = toy_model(VOCAB), batches(2, 2, 2)
    expected = as_one(model, given[:number])
    close(torch.tensor(mean_loss(model, given, number)), torch.tensor(expected), f"num_batches={number}, of 3 batches")


@clause("eval-mode")
def test_dropout_is_off_meanwhile():
    model, given = Witness(), batches(2, 2)
    seen = mean_loss(model, given)
    assert not any(model.training_seen), "mean_loss called the model in training mode, with dropout"
    close(torch.tensor(seen), torch.tensor(as_one(model.eval(), given)), "the loss of the model in eval mode")


@clause("nothing")
@pytest.mark.parametrize("axes", [(2, 3), (0,)], ids=str)
def test_without_a_target_the_loss_is_nan(axes):
    seen = cross_entropy(torch.zeros(*axes, 5), torch.full(axes, -100))
    close(seen, torch.tensor(math.nan), f"all targets, of shape {axes}, are ignored", equal_nan=True)


@clause("ignored-logits")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_logits_at_an_ignored_target_do_not_matter(value):
    logits = torch.tensor([[0.0, LN3], [value, LN3], [value, value]], requires_grad=True)
    seen = cross_entropy(logits, torch.tensor([0, -100, -100]))
    because = f"two of three targets are ignored; their logits have {value}, and 0 times {value} is nan"
    close(seen, torch.tensor(math.log(4)), because)
    close(torch.autograd.grad(seen, logits)[0], torch.tensor([[-0.75, 0.75], [0, 0], [0, 0]]), f"gradients: {because}")


@clause("extreme")
@pytest.mark.parametrize(("target", "cost"), [(0, 0.0), (1, 10_000.0), (2, 20_000.0)])
def test_extreme_logits_cost_their_distance(target, cost):
    seen = cross_entropy(torch.tensor([[10_000.0, 0.0, -10_000.0]]), torch.tensor([target]))
    close(seen, torch.tensor(cost), f"logits 10 000, 0, -10 000: target {target} is {cost:g} below the greatest logit")


@clause("extreme")
def test_each_row_has_its_own_greatest_logit():
    logits = torch.tensor([[90.0, 90.0 + LN3], [-90.0, -90.0 + LN3]])
    close(cross_entropy(logits, torch.tensor([0, 0])), torch.tensor(math.log(4)), "two rows of 1/4 and 3/4, 180 apart")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=lambda dtype: str(dtype)[6:])
def test_the_loss_has_the_dtype_of_the_logits(dtype):
    logits, targets = (4 * numbers(6, 5)).to(dtype), ids(6, below=5)
    close(cross_entropy(logits, targets), oracle(logits.double(), targets).to(dtype), f"the logits are {dtype}")


@clause("pure")
def test_a_call_changes_neither_logits_nor_targets():
    leaves_its_inputs_alone(cross_entropy, numbers(2, 3, 5), torch.tensor([[0, -100, 4], [1, 2, -100]]))


@clause("shapes")
@pytest.mark.parametrize("targets", [(3, 2), (6,), (1, 3)], ids=str)
def test_targets_of_another_shape_are_refused(targets):
    with refuses(ValueError, (2, 3, 5), targets):
        cross_entropy(torch.zeros(2, 3, 5), torch.zeros(targets, dtype=torch.int64))


@clause("float")
@pytest.mark.parametrize(
    ("loss", "expected"), [(LN3, 3.0), (100.0, math.exp(100.0)), (1_000.0, math.inf), (math.inf, math.inf)]
)
def test_a_float_gives_a_float(loss, expected):
    seen = perplexity(loss)
    assert type(seen) is float, f"the perplexity of the float {loss:g} is a {type(seen).__name__}, expected a float"
    assert math.isclose(seen, expected), f"the perplexity of {loss:g} is {seen:g}, expected {expected:g}"


@clause("device")
def test_inputs_and_targets_are_moved_to_the_model():
    model, (inputs, targets) = toy_model(VOCAB), batches(2)[0]
    moves_what_it_is_given(lambda: batch_loss(model, inputs, targets), model, "inputs and targets")


@clause("weighted")
def test_each_target_has_the_same_weight():
    model = toy_model(VOCAB)
    for given in (batches(3, 1), batches(3, 1, 2, ignored=True), batches(1, 1, ignored=True)):
        counts = [int((targets != -100).sum()) for _, targets in given]
        because = f"batches with {counts} targets that are not -100, against all of them as one batch"
        close(torch.tensor(mean_loss(model, given)), torch.tensor(as_one(model, given)), because)


@clause("weighted")
def test_without_a_target_the_mean_is_nan():
    for given in ([], batches(2, 2, ignored=True)[1:]):
        seen = mean_loss(toy_model(VOCAB), given)
        assert math.isnan(seen), f"{len(given)} batches, none with a target that counts: {seen:g} came, expected nan"


@clause("no-grad")
def test_no_gradients_are_recorded_meanwhile():
    model = Witness()
    mean_loss(model, batches(3, 1))
    assert not any(model.recording_seen), "gradients are enabled while mean_loss calls the model"


@clause("modes")
def test_every_submodule_has_its_mode_afterwards():
    before, after = modes_afterwards(mean_loss)
    same(after, before, "whether each part of the model is in training mode after mean_loss")


@clause("random")
def test_the_random_state_is_as_before():
    drawn, expected = next_number(mean_loss)
    same(drawn, expected, "the number that torch draws next, after mean_loss with a loader that shuffles")
