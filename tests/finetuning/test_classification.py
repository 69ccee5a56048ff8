"""Classification, clause by clause. The why: docs/finetuning/classification.md."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from katas.finetuning.classification import accuracy, add_classification_head, classification_loss, last_token_logits
from tests import laws, probes
from tests.support import clause, close, dealt, numbers, refuses, same

VOCAB, WIDTH, CLASSES, BLOCKS = 11, 6, 3, 3
LN3, NAN = math.log(3), math.nan


class Block(nn.Module):
    """In place of a block: each token takes up something of all tokens up to it."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + torch.tanh(self.mix(x.cumsum(dim=1)))


class Gpt(nn.Module):
    """A small causal model with the parts of a GPT. It notes its mode at each call and fails at call `fails`."""

    def __init__(self, outputs=VOCAB, dropout=0.0, fails=None):
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(VOCAB, WIDTH), nn.Embedding(16, WIDTH)
        self.drop_emb = nn.Dropout(dropout)
        self.trf_blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)])
        self.final_norm = nn.LayerNorm(WIDTH)
        self.out_head = nn.Linear(WIDTH, outputs, bias=False)
        self.fails, self.training_seen, self.recording_seen = fails, [], []
        dealt(self)

    def forward(self, token_ids):
        self.training_seen.append(any(part.training for part in self.modules()))
        self.recording_seen.append(torch.is_grad_enabled())
        if len(self.training_seen) == self.fails:
            raise RuntimeError("the model broke")
        places = torch.arange(token_ids.shape[1], device=token_ids.device)
        x = self.drop_emb(self.tok_emb(token_ids) + self.pos_emb(places))
        return self.out_head(self.final_norm(self.trf_blocks(x)))


class Table(nn.Module):
    """Logits by id, line by line, without a parameter."""

    def __init__(self, *lines):
        super().__init__()
        self.table = torch.tensor(lines) if lines else numbers(VOCAB, CLASSES, seed="table")

    def forward(self, token_ids):
        return self.table[token_ids]


def ids(*shape, seed=0, below=VOCAB):
    """Ids of a vocabulary, the same everywhere."""
    return ((numbers(*shape, seed=f"ids {seed}", dtype=torch.float64) + 1) / 2 * below).long().clamp(max=below - 1)


def case(rows, tokens, seed=0):
    """Inputs, lengths and labels."""
    return ids(rows, tokens, seed=seed), 1 + ids(rows, seed=f"n{seed}", below=tokens), ids(rows, seed=seed, below=3)


def uneven():
    """Batches of 4, 1 and 2 texts."""
    return [case(rows, 5, seed=rows) for rows in (4, 1, 2)]


def by_hand(model, inputs, lengths):
    """The logits of each text, read alone and without its padding."""
    rows = zip(inputs, lengths.tolist(), strict=True)
    return torch.stack([model(row[None, :length])[0, -1] for row, length in rows])


def share(model, batches):
    """The accuracy, text by text."""
    found = []
    with torch.no_grad():
        for inputs, lengths, labels in batches:
            for line, label in zip(by_hand(model, inputs, lengths).tolist(), labels.tolist(), strict=True):
                found.append(line.index(max(line)) == label)
    return sum(found) / len(found)


def mixed(model):
    """The model in training mode, except for two of its parts."""
    model.train()
    model.drop_emb.eval()
    model.trf_blocks[1].eval()
    return model


def modes(model):
    return {name or "the model": part.training for name, part in model.named_modules()}


def trainable(model):
    return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def parts_trainable(model):
    """The parts of the model that have a trainable parameter, without weight and bias."""
    return sorted({name.rpartition(".")[0] for name in trainable(model)})


def expected_trainable(blocks):
    return sorted(["final_norm", "out_head", *(f"trf_blocks.{n}.mix" for n in range(BLOCKS - blocks, BLOCKS))])


def with_gradients(model):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def refusal(call, *values):
        try:
            call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]
        return "accepted"

    def headed(blocks=1, classes=CLASSES, model=None):
        model = model or Gpt()
        kata.add_classification_head(model, classes, blocks)
        return model

    def default():
        model = Gpt()
        kata.add_classification_head(model, CLASSES)
        return parts_trainable(model)

    def again():
        model = headed(3)
        kata.add_classification_head(model, 4, 1)
        return parts_trainable(model)

    def seeded():
        model = Gpt()
        torch.manual_seed(7)
        return headed(model=model).out_head.weight.abs().sum() > 0

    def head(show, **options):
        return show(headed(**options).out_head)

    def elsewhere(**where):
        weight = headed(model=Gpt().to(**where)).out_head.weight
        return str(weight.dtype), weight.device.type

    def old_gradients():
        model = headed(model=with_gradients(Gpt()))
        return sorted(name for name, parameter in model.named_parameters() if parameter.grad is not None)

    def last(model, *shape, with_lengths=True):
        inputs, lengths, _ = case(*shape)
        return kata.last_token_logits(model, inputs, lengths if with_lengths else None)

    def slopes(call):
        model = Gpt(CLASSES)
        return call(model).requires_grad

    def calls(training):
        model = Gpt(CLASSES).train(training)
        last(model, 3, 4)
        return model.training_seen, model.training

    def left(which):
        """Whether a loss comes where these, of all that it is given, are on another device than the model."""
        model, (inputs, lengths, labels) = Gpt(CLASSES), case(3, 4)
        beside = labels if which == "inputs" else inputs
        return probes.meets(lambda: kata.classification_loss(model, inputs, labels, lengths), model, beside)

    def loss(with_lengths=True, rows=3):
        inputs, lengths, labels = case(rows, 4, seed=3)
        return kata.classification_loss(Gpt(CLASSES), inputs, labels, lengths if with_lengths else None)

    def of(table, labels, inputs=None, lengths=None):
        inputs = torch.arange(len(labels))[:, None] if inputs is None else torch.tensor(inputs)
        batch = [inputs, *([] if lengths is None else [torch.tensor(lengths)]), torch.tensor(labels)]
        return kata.accuracy(Table(*table), [batch])

    def counted(number=None, batches=None):
        return kata.accuracy(Gpt(CLASSES), iter(uneven() if batches is None else batches), number)

    def meanwhile(seen):
        model = mixed(Gpt(CLASSES, dropout=0.5))
        kata.accuracy(model, uneven())
        return getattr(model, seen)

    def afterwards(fails, start):
        model = start(Gpt(CLASSES, fails=fails))
        came = refusal(lambda: kata.accuracy(model, uneven()))
        return came, modes(model)

    clear = [[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0], [3.0, 2.0, 1.0]]
    lost = [[NAN, 1.0, 0.0], [0.0, NAN, 2.0], [NAN, NAN, NAN]]
    return {
        "logits": lambda: last(Gpt(CLASSES), 3, 4),
        "logits of 2 texts of 5 tokens": lambda: last(Gpt(CLASSES), 2, 5),
        "logits of a single text": lambda: last(Gpt(CLASSES), 1, 5),
        "logits without lengths": lambda: last(Gpt(CLASSES), 3, 4, with_lengths=False),
        "gradients of the logits": lambda: slopes(lambda model: last(model, 3, 4)),
        "calls in training mode": lambda: calls(True),
        "calls in eval mode": lambda: calls(False),
        "inputs elsewhere": lambda: left("inputs"),
        "labels elsewhere": lambda: left("labels"),
        "a model without parameters": lambda: last(Table(), 3, 4),
        "lengths that do not fit": lambda: [
            refusal(lambda n=n: kata.last_token_logits(Gpt(CLASSES), ids(3, 4), torch.tensor([1, n, 2])), n)
            for n in (0, -1, 5)
        ],
        "head": lambda: head(lambda one: (type(one).__name__, one.in_features, one.out_features, one.bias is None)),
        "whether the head is zero": lambda: not seeded(),
        "dtype and device of the head": lambda: elsewhere(dtype=torch.float64, device="meta"),
        **{f"trainable with {n} blocks": lambda n=n: parts_trainable(headed(n)) for n in range(BLOCKS + 1)},
        "trainable by default": default,
        "trainable after a second call": again,
        "trainable, all frozen before": lambda: parts_trainable(headed(model=Gpt().requires_grad_(False))),
        "old gradients": old_gradients,
        "numbers of classes": lambda: [refusal(lambda n=n: headed(classes=n), n) for n in (0, 1, 2)],
        "numbers of blocks": lambda: [refusal(lambda n=n: headed(n), n) for n in (-1, 0, 4)],
        "logits and loss": lambda: (last(Gpt(CLASSES), 3, 4), loss()),
        "loss without lengths": lambda: loss(with_lengths=False),
        "loss of a single text": lambda: loss(rows=1),
        "gradients of the loss": lambda: loss().requires_grad,
        "labels that do not fit": lambda: [
            refusal(lambda n=n: kata.classification_loss(Gpt(CLASSES), ids(2, 4), torch.tensor([0, n])), n)
            for n in (3, -1, -100)
        ],
        "accuracy of pairs": lambda: of(clear, [0, 1, 1, 0]),
        "accuracy of pairs of 2 tokens": lambda: of(clear, [0, 1, 1], [[1, 0], [2, 1], [1, 2]]),
        "whether pairs are accepted": lambda: refusal(lambda: of(clear, [0, 1, 1, 0])),
        "logits, and accuracy with lengths": lambda: (
            last(Gpt(CLASSES), 3, 4),
            of(clear, [1, 2, 0], [[1, 0, 0], [0, 2, 1], [1, 2, 3]], [1, 2, 3]),
        ),
        "type of the accuracy": lambda: type(of(clear, [0, 1, 1, 0])).__name__,
        "accuracy of batches": counted,
        "accuracy of 1 batch": lambda: counted(1),
        "accuracy of 2 batches": lambda: counted(2),
        "accuracy of 9 batches": lambda: counted(9),
        "accuracy of 0 batches": lambda: counted(0),
        "accuracy of nothing": lambda: counted(batches=[]),
        "whether a text with nan can be right": lambda: bool(of(lost, [0, 1, 0], lengths=[1] * 3) > 0),
        "whether texts with nan are left out": lambda: bool(
            of([*lost, *clear[:2]], [1, 2, 1, 0, 1], lengths=[1] * 5) == 1
        ),
        "training mode meanwhile": lambda: meanwhile("training_seen"),
        "gradients recorded meanwhile": lambda: meanwhile("recording_seen"),
        "modes afterwards": lambda: [afterwards(None, start) for start in (mixed, nn.Module.eval)],
        "modes after an error": lambda: [afterwards(2, start) for start in (mixed, nn.Module.eval)],
    }


@clause("head")
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_new_head_has_an_output_for_each_class(classes):
    model = Gpt()
    old = model.out_head
    add_classification_head(model, classes)
    head = model.out_head
    assert head is not old, "out_head is still the old layer, which has an output for each token of the vocabulary"
    assert isinstance(head, nn.Linear), f"out_head is a {type(head).__name__}, expected an nn.Linear"
    same((head.in_features, head.out_features), (WIDTH, classes), "in_features and out_features of the new head")


@clause("trainable")
@pytest.mark.parametrize("blocks", range(BLOCKS + 1))
def test_head_norm_and_the_last_blocks_are_trainable(blocks):
    model = Gpt()
    add_classification_head(model, CLASSES, blocks)
    because = f"the trainable parts of a model with {BLOCKS} blocks and trainable_blocks={blocks}"
    same(parts_trainable(model), expected_trainable(blocks), because)


@clause("trainable")
def test_one_block_is_trainable_by_default():
    model = Gpt()
    add_classification_head(model, CLASSES)
    same(parts_trainable(model), expected_trainable(1), "the trainable parts by default")


@clause("trainable")
@pytest.mark.parametrize("before", ["all frozen", "three blocks trainable"])
def test_what_was_trainable_before_does_not_matter(before):
    model = Gpt()
    if before == "all frozen":
        model.requires_grad_(False)
    else:
        add_classification_head(model, CLASSES, 3)
    add_classification_head(model, CLASSES, 1)
    same(
        parts_trainable(model), expected_trainable(1), f"the trainable parts with trainable_blocks=1; before: {before}"
    )


@clause("last")
def test_a_text_is_classified_at_its_last_token():
    model = Table([0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0])
    seen = last_token_logits(model, torch.tensor([[1, 2, 3], [3, 0, 0], [2, 1, 0]]), torch.tensor([3, 1, 2]))
    because = "the texts 1 2 3, 3 and 2 1, padded with 0, of lengths 3, 1, 2; the logits of id n are 2n and 2n + 1"
    close(seen, torch.tensor([[6.0, 7.0], [6.0, 7.0], [2.0, 3.0]]), because)


@clause("last")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_the_padding_does_not_matter(batch, tokens, seed):
    model, (inputs, lengths, _) = Gpt(CLASSES), case(batch, tokens, seed)
    because = f"lengths {lengths.tolist()} of {tokens} tokens; expected is each text alone, without its padding"
    close(last_token_logits(model, inputs, lengths), by_hand(model, inputs, lengths), because)


@clause("last-position")
@given(st.integers(1, 4), st.integers(1, 6))
def test_without_lengths_the_last_position_is_read(batch, tokens):
    model, inputs = Gpt(CLASSES), ids(batch, tokens)
    because = f"{batch} rows of {tokens} tokens without lengths: the logits at the last position"
    close(last_token_logits(model, inputs), model(inputs).unbind(dim=1)[-1], because)


@clause("gradients")
def test_gradients_reach_the_parameters():
    model, (inputs, lengths, _) = Gpt(CLASSES), case(3, 4)
    laws.gradients_reach(last_token_logits(model, inputs, lengths), dict(model.named_parameters()))


@clause("loss")
@pytest.mark.parametrize(("label", "expected"), [(0, math.log(4)), (1, math.log(4) - LN3)])
def test_the_loss_of_one_text_by_hand(label, expected):
    seen = classification_loss(
        Table([0.0, LN3], [9.0, 0.0]), torch.tensor([[1, 0]]), torch.tensor([label]), torch.tensor([2])
    )
    close(seen, torch.tensor(expected), f"the logits at the last token are 0 and ln 3, the label is {label}")


@clause("loss")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_the_loss_is_the_mean_over_the_texts(batch, tokens, seed, with_lengths):
    model, (inputs, lengths, labels) = Gpt(CLASSES), case(batch, tokens, seed)
    if not with_lengths:
        lengths = torch.full_like(lengths, tokens)
    expected = functional.cross_entropy(by_hand(model, inputs, lengths), labels)
    seen = classification_loss(model, inputs, labels, lengths if with_lengths else None)
    close(seen, expected, f"{batch} texts of lengths {lengths.tolist()}: the mean of -ln p at the labels")


@clause("share")
def test_three_of_four_are_right():
    model = Table([2.0, 1.0], [0.0, 2.0])
    inputs, lengths = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 1]]), torch.tensor([1, 2, 2, 1])
    seen = accuracy(model, [(inputs, lengths, torch.tensor([1, 1, 0, 0]))])
    same(seen, 0.75, "the last tokens, and so the classes, are 1, 1, 1, 0; the labels are 1, 1, 0, 0")


@clause("share")
def test_each_text_counts_the_same_in_batches_of_different_size():
    model = Table([2.0, 1.0], [0.0, 2.0])
    batches = [
        (torch.tensor([[1], [1], [1]]), torch.tensor([1, 1, 1]), torch.tensor([1, 1, 1])),
        (torch.tensor([[0]]), torch.tensor([1]), torch.tensor([1])),
    ]
    same(accuracy(model, batches), 0.75, "3 of 3 texts are right in the first batch, and 0 of 1 in the second")


@clause("share")
def test_the_share_of_one_text_is_all_or_nothing():
    model, text, length = Table([2.0, 1.0], [0.0, 2.0]), torch.tensor([[1]]), torch.tensor([1])
    for label in (0, 1):
        seen = accuracy(model, [(text, length, torch.tensor([label]))])
        same(seen, float(label), f"a text of class 1 has the label {label}")


@clause("pairs")
def test_in_pairs_every_text_ends_at_the_last_position():
    model = Table([2.0, 1.0], [0.0, 2.0])
    batch = [torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]]), torch.tensor([0, 1, 0, 1])]
    same(
        accuracy(model, [batch]), 0.5, "a pair of inputs and labels: the last tokens are 0, 1, 1, 0, labels 0, 1, 0, 1"
    )


@clause("num-batches")
@pytest.mark.parametrize("number", [1, 2, 3, 9, None])
def test_the_first_batches_are_counted(number):
    model = Gpt(CLASSES)
    seen = accuracy(model, uneven(), number)
    same(seen, share(model, uneven()[:number]), f"num_batches is {number}, and the loader has 3 batches")


@clause("eval-mode")
def test_nothing_drops_meanwhile():
    model = Gpt(CLASSES, dropout=0.5).train()
    accuracy(model, uneven())
    assert model.training_seen, "the model was not called"
    assert not any(model.training_seen), "accuracy called the model while a part of it was in training mode"


@clause("bias")
def test_the_head_starts_as_a_fresh_linear():
    torch.manual_seed(123)
    expected = nn.Linear(WIDTH, CLASSES)
    model = Gpt()
    torch.manual_seed(123)
    add_classification_head(model, CLASSES)
    head = model.out_head
    assert head.bias is not None, "the new head has no bias"
    close(head.weight, expected.weight, "the weight after the same seed; expected is that of a new nn.Linear")
    close(head.bias, expected.bias, "the bias after the same seed; expected is that of a new nn.Linear")


@clause("dtype-device")
@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float64), ("cpu", torch.bfloat16), ("meta", None)])
def test_the_head_has_dtype_and_device_of_the_old_one(device, dtype):
    model = Gpt().to(device=device, dtype=dtype)
    expected = str(model.out_head.weight.dtype), device
    add_classification_head(model, CLASSES)
    weight = model.out_head.weight
    same((str(weight.dtype), weight.device.type), expected, "dtype and device of the new head")


@clause("old-gradients")
def test_no_frozen_parameter_keeps_a_gradient():
    model = with_gradients(Gpt())
    add_classification_head(model, CLASSES)
    frozen = [name for name, one in model.named_parameters() if not one.requires_grad]
    left = [name for name in frozen if model.get_parameter(name).grad is not None]
    assert not left, f"frozen, but with a gradient from before, with which an optimizer moves them: {left}"
    assert frozen, "no parameter is frozen"


@clause("settings")
@pytest.mark.parametrize("classes", [1, 0])
def test_fewer_than_two_classes_are_refused(classes):
    with refuses(ValueError, "num_classes", classes):
        add_classification_head(Gpt(), classes)


@clause("settings")
@pytest.mark.parametrize("blocks", [-1, 4])
def test_blocks_that_the_model_does_not_have_are_refused(blocks):
    with refuses(ValueError, "trainable_blocks", blocks):
        add_classification_head(Gpt(), CLASSES, blocks)


@clause("one-call")
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_called_once_in_its_mode(training):
    model, (inputs, lengths, _) = Gpt(CLASSES).train(training), case(3, 4)
    last_token_logits(model, inputs, lengths)
    same(len(model.training_seen), 1, "calls of the model for one batch of three texts")
    same(model.training_seen[0], training, "whether the model was in training mode during the call")
    same(model.training, training, "whether the model is in training mode after the call")


@clause("device")
def test_inputs_and_labels_are_moved_to_the_device_of_the_model():
    model, (inputs, _, labels) = Gpt(CLASSES), case(3, 4)
    laws.moves_what_it_is_given(lambda: classification_loss(model, inputs, labels), model, "inputs and labels")


@clause("device")
def test_a_model_without_parameters_is_accepted():
    model, (inputs, lengths, _) = Table(), case(3, 4)
    close(last_token_logits(model, inputs, lengths), by_hand(model, inputs, lengths), "the model has no parameters")


@clause("device")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_batch_from_the_cpu_meets_a_model_on_a_gpu():
    batch, model = case(3, 4), Gpt(CLASSES)
    inputs, lengths, labels = batch
    expected, right = classification_loss(model, inputs, labels, lengths), share(model, [batch])
    model.cuda()
    for where in (lengths, lengths.cuda()):
        close(classification_loss(model, inputs, labels, where).cpu(), expected, "the same batch and model on a GPU")
    same(accuracy(model, [batch]), right, "the accuracy on the GPU")


@clause("wrong-lengths")
@pytest.mark.parametrize("length", [0, -1, 13])
def test_a_length_that_does_not_fit_is_refused(length):
    with refuses(ValueError, length):
        last_token_logits(Gpt(CLASSES), ids(3, 12), torch.tensor([1, length, 12]))


@clause("wrong-labels")
@pytest.mark.parametrize("label", [3, -1, -100])
def test_a_label_that_is_no_class_is_refused(label):
    with refuses(ValueError, label):
        classification_loss(Gpt(CLASSES), ids(4, 4), torch.tensor([0, 2, label, 1]))


@clause("no-gradients")
def test_no_gradients_are_recorded_meanwhile():
    model = Gpt(CLASSES)
    accuracy(model, uneven())
    assert model.recording_seen, "the model was not called"
    assert not any(model.recording_seen), "accuracy records gradients, which takes time and memory"


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["", "after an error"])
@pytest.mark.parametrize("start", [mixed, nn.Module.eval], ids=["mixed", "eval"])
def test_every_part_gets_its_mode_back(start, fails):
    model = start(Gpt(CLASSES, fails=fails))
    before = modes(model)
    try:
        accuracy(model, uneven())
    except RuntimeError as error:
        if fails is None or str(error) != "the model broke":
            raise
    changed = [f"{name} ({mode} before)" for name, mode in modes(model).items() if mode != before[name]]
    assert not changed, f"these have another training mode than before accuracy: {', '.join(changed)}"


@clause("empty")
@pytest.mark.parametrize("what", ["an empty loader", "num_batches 0", "a batch of no texts"])
def test_the_share_of_no_texts_is_nan(what):
    nothing = [part[:0] for part in case(2, 4)]
    loader = {"an empty loader": [], "a batch of no texts": [nothing]}.get(what, uneven())
    seen = accuracy(Gpt(CLASSES), loader, 0 if what == "num_batches 0" else None)
    assert math.isnan(seen), f"the accuracy of {what} is {seen}, expected nan"


@clause("nan")
@pytest.mark.parametrize("labels", [[0, 1, 2, 2], [1, 2, 0, 2]])
def test_a_text_with_nan_is_not_right(labels):
    model = Table([NAN, 1.0, 0.0], [0.0, NAN, 2.0], [NAN, NAN, NAN], [0.0, 1.0, 2.0])
    seen = accuracy(
        model, [(torch.tensor([[0], [1], [2], [3]]), torch.ones(4, dtype=torch.int64), torch.tensor(labels))]
    )
    same(seen, 0.25, f"three of four texts have a nan among their logits; the labels are {labels}")
