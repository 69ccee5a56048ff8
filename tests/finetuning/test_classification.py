"""Classification, clause by clause. The why: docs/finetuning/classification.md."""

import contextlib
import itertools
import math
import pickle
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from katas.finetuning.classification import (
    ClassificationDataset,
    accuracy,
    add_classification_head,
    classification_loss,
    last_token_logits,
    pad_or_truncate,
)
from tests.support import clause, close, dealt, numbers, refuses, same

VOCAB, WIDTH, CLASSES, BLOCKS, PAD = 11, 6, 3, 3, 0
TEXTS, LABELS = ["ab", "a", "caab", "fed"], [1, 0, 2, 1]
LN3, NAN = math.log(3), math.nan


class Block(nn.Module):
    """What stands for a block: each token takes up something of all tokens up to it."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + torch.tanh(self.mix(x.cumsum(dim=1)))


class Gpt(nn.Module):
    """A small causal model with a GPT's parts under their names; with `fails`, it breaks at that call."""

    def __init__(self, outputs=VOCAB, dropout=0.0, fails=None):
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(VOCAB, WIDTH), nn.Embedding(16, WIDTH)
        self.drop_emb = nn.Dropout(dropout)
        self.trf_blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)])
        self.final_norm = nn.LayerNorm(WIDTH)
        self.out_head = nn.Linear(WIDTH, outputs, bias=False)
        self.fails, self.seen = fails, []
        dealt(self)

    def forward(self, token_ids):
        self.seen.append((any(part.training for part in self.modules()), torch.is_grad_enabled()))
        if len(self.seen) == self.fails:
            raise RuntimeError("the model broke")
        places = torch.arange(token_ids.shape[1], device=token_ids.device)
        x = self.drop_emb(self.tok_emb(token_ids) + self.pos_emb(places))
        return self.out_head(self.final_norm(self.trf_blocks(x)))


class Table(nn.Module):
    """Logits by id, line by line. Its first parameter may be on another device than the table, a plain tensor."""

    def __init__(self, *lines, device=None):
        super().__init__()
        if device:
            self.first = nn.Parameter(torch.zeros(1, device=device))
            self.second = nn.Parameter(torch.zeros(1))
        self.table = torch.tensor(lines) if lines else numbers(VOCAB, CLASSES, seed="table")

    def forward(self, token_ids):
        return self.table[token_ids]


class Luggage(torch.Tensor):
    """Ids that write down where they are sent, and stay where they are."""

    def to(self, *where, **more):
        device = more.get("device", where[0] if where else None)
        if not isinstance(device, str | torch.device):  # to another dtype
            return super().to(*where, **more)
        self.sent.append(torch.device(device).type)
        return self.as_subclass(torch.Tensor)


class Counted:
    """Batches that can only be gone through, and that know how many were taken."""

    def __init__(self, batches):
        self.batches, self.taken = batches, 0

    def __iter__(self):
        for batch in self.batches:
            self.taken += 1
            yield batch


class Encoder:
    """Letters to ids, a to 1, b to 2, that writes down what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, text):
        self.calls.append(text)
        return encode(text)


def encode(text):
    return [ord(letter) - ord("a") + 1 for letter in text]


def ids(*shape, seed=0, below=VOCAB):
    """Ids of a vocabulary, the same everywhere."""
    return ((numbers(*shape, seed=f"ids {seed}", dtype=torch.float64) + 1) / 2 * below).long().clamp(max=below - 1)


def luggage(tensor, sent):
    found = tensor.as_subclass(Luggage)
    found.sent = sent
    return found


def case(rows, tokens, seed=0):
    """Inputs, lengths and labels."""
    return ids(rows, tokens, seed=seed), 1 + ids(rows, seed=f"n{seed}", below=tokens), ids(rows, seed=seed, below=3)


def by_hand(model, inputs, lengths):
    """The logits of each message, read alone and without its padding."""
    rows = zip(inputs, lengths.tolist(), strict=True)
    return torch.stack([model(row[None, :length])[0, -1] for row, length in rows])


def share(model, batches):
    """The accuracy, message by message."""
    found = []
    with torch.no_grad():
        for inputs, lengths, labels in batches:
            for line, label in zip(by_hand(model, inputs, lengths).tolist(), labels.tolist(), strict=True):
                found.append(line.index(max(line)) == label)
    return sum(found) / len(found)


def uneven():
    """Batches of 4, 1 and 2 messages."""
    return [case(rows, 5, seed=rows) for rows in (4, 1, 2)]


def restless(batches):
    """Batches on whose way numbers are drawn from both global random states, as by a loader that shuffles."""
    for batch in batches:
        random.random()
        torch.rand(3)
        yield batch


def tosses():
    """What both global random states would give next, without a change of either."""
    python, torchs = random.getstate(), torch.get_rng_state()
    found = random.random(), torch.rand(1).item()
    random.setstate(python)
    torch.set_rng_state(torchs)
    return found


def mixed(model):
    """The model with its parts in different modes: itself training, two parts of it not."""
    model.train()
    model.drop_emb.eval()
    model.trf_blocks[1].eval()
    return model


def modes(model):
    return {name or "the model": part.training for name, part in model.named_modules()}


def states(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def trainable(model):
    return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def expected_trainable(blocks):
    """What of the model is to be learned."""
    names = [f"{part}.{name}" for part in ("final_norm", "out_head") for name in ("bias", "weight")]
    for block in range(BLOCKS - blocks, BLOCKS):
        names += [f"trf_blocks.{block}.mix.bias", f"trf_blocks.{block}.mix.weight"]
    return sorted(names)


def headed(blocks=1, classes=CLASSES, **more):
    model = Gpt(**more)
    add_classification_head(model, classes, blocks)
    return model


def ten_steps(model):
    """Ten steps of an optimizer that has every parameter, and whose weight decay moves all that have a gradient."""
    inputs, _, labels = case(6, 5)
    for _ in range(10):
        functional.cross_entropy(model(inputs)[:, -1, :2], labels % 2).backward()
        with torch.no_grad():  # by hand, for torch.optim takes seconds to load
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * (parameter.grad.sign() + 0.1 * parameter)
                    parameter.grad.zero_()


def pretrained(**more):
    """A model with gradients left from its pretraining."""
    model = Gpt(**more)
    inputs = ids(2, 5)
    functional.cross_entropy(model(inputs[:, :-1]).flatten(0, 1), inputs[:, 1:].flatten()).backward()
    return model


def looked_at(model):
    """Let accuracy run through, or break where the model does."""
    try:
        accuracy(model, restless(uneven()))
    except RuntimeError as error:
        if model.fails is None or str(error) != "the model broke":
            raise
    else:
        assert not model.fails, "the model broke, and its error did not come through"


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def fitted(token_ids, length, pad_id=PAD):
        before = list(token_ids)
        seen = tried(lambda: kata.pad_or_truncate(token_ids, length, pad_id), length)
        return seen, type(seen).__name__, seen is token_ids, list(token_ids) == before

    def made(texts=TEXTS, labels=LABELS, **more):
        return kata.ClassificationDataset(texts, labels, encode, **{"pad_id": PAD, **more})

    def plain(dataset):
        items = itertools.islice(dataset, 20)
        return [(type(row), *(row.tolist(), row.dtype), length, label) for row, length, label in items]

    def told(**more):
        dataset = made(**more)
        return dataset.max_length, len(dataset), plain(dataset)

    def called():
        encoder = Encoder()
        dataset = kata.ClassificationDataset(TEXTS, LABELS, encoder, PAD)
        first = list(encoder.calls)
        plain(dataset), plain(dataset)
        return first, len(encoder.calls)

    def pickled():
        dataset = kata.ClassificationDataset(TEXTS, LABELS, lambda text: encode(text), PAD)
        return plain(pickle.loads(pickle.dumps(dataset)))

    def touched():
        dataset = made()
        dataset[0][0].fill_(9)
        return plain(dataset)

    def relabelled():
        labels = list(LABELS)
        dataset = made(labels=labels)
        labels[:2] = [7, 8]
        return plain(dataset)

    def stripping(*texts):
        return tried(lambda: len(kata.ClassificationDataset(texts, [0] * 3, lambda t: encode(t.strip()), PAD)), 1)

    def batched():
        return [[(part.shape, part.dtype) for part in batch] for batch in DataLoader(made(), batch_size=3)]

    def headed(blocks=1, classes=CLASSES, model=None):
        model = model or Gpt()
        kata.add_classification_head(model, classes, blocks)
        return model

    def described(model):
        head = model.out_head
        weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
        shapes = [part if part is None else (part.shape, part.dtype, part.device.type) for part in (weight, bias)]
        return type(head).__name__, shapes

    def drawn(device=None, dtype=None):
        model = Gpt().to(device=device, dtype=dtype)
        torch.manual_seed(7)
        return headed(model=model).out_head.weight

    def frozen_before():
        return trainable(headed(model=Gpt().requires_grad_(False)))

    def again():
        model = headed(3)
        first = model.out_head
        kata.add_classification_head(model, 4, 1)
        return described(model), model.out_head is first, trainable(model)

    def stepped():
        model = headed(model=pretrained())
        before = states(model)
        left = sorted(name for name, parameter in model.named_parameters() if parameter.grad is not None)
        ten_steps(model)
        return left, sorted(name for name, value in states(model).items() if not torch.equal(value, before[name]))

    def kept():
        model, before = Gpt(), states(Gpt())
        kata.add_classification_head(model, CLASSES)
        return sorted(name for name, value in states(model).items() if not torch.equal(value, before.get(name, value)))

    def unfit(classes, blocks):
        model = Gpt()
        seen = tried(lambda: kata.add_classification_head(model, classes, blocks), classes, blocks, BLOCKS)
        return seen, described(model), trainable(model)

    def last(*shape, seed=0, model=None):
        inputs, lengths, _ = case(*shape, seed=seed)
        return kata.last_token_logits(model or Gpt(CLASSES), inputs, lengths)

    def beside(padding):
        inputs = torch.tensor([[3, 4, padding, padding], [5, 6, 7, padding]])
        return kata.last_token_logits(Gpt(CLASSES), inputs, torch.tensor([2, 3]))

    def calls(training):
        model = Gpt(CLASSES, dropout=0.5).train(training)
        seen = kata.last_token_logits(model, *case(2, 4)[:2])
        return model.seen, seen.requires_grad, modes(model)["the model"]

    def refused(lengths):
        lengths = torch.tensor(lengths)
        return tried(
            lambda: kata.last_token_logits(Gpt(CLASSES), ids(3, 4), lengths), tuple(lengths.shape), 0, 5, -1, 4
        )

    def sent(device):
        journeys = [], []
        inputs, labels = (luggage(ids(2, n, below=3)[:, 0] if n == 1 else ids(2, n), journeys[n == 1]) for n in (4, 1))
        seen = tried(lambda: float(kata.classification_loss(Table(device=device), inputs, labels)))
        return seen, [sorted(set(journey)) for journey in journeys]

    def loss(rows, tokens, with_lengths=True):
        model, (inputs, lengths, labels) = Gpt(CLASSES), case(rows, tokens, seed=3)
        seen = kata.classification_loss(model, inputs, labels, lengths if with_lengths else None)
        slopes = torch.autograd.grad(seen, list(model.parameters())) if seen.requires_grad else None
        return seen, slopes

    def mislabelled(labels):
        labels = torch.tensor(labels)
        return tried(
            lambda: kata.classification_loss(Gpt(CLASSES), ids(3, 4), labels), tuple(labels.shape), 3, -1, -100, CLASSES
        )

    def of(table, labels, inputs=None, lengths=None):
        inputs = torch.arange(len(labels))[:, None] if inputs is None else torch.tensor(inputs)
        parts = [inputs, *([] if lengths is None else [torch.tensor(lengths)]), torch.tensor(labels)]
        return kata.accuracy(Table(*table), [parts])

    def taken(number):
        loader = Counted(uneven())
        return kata.accuracy(Gpt(CLASSES), loader, number), loader.taken

    def meanwhile():
        model = mixed(Gpt(CLASSES, dropout=0.5))
        kata.accuracy(model, uneven())
        return model.seen

    def slopes():
        model = Gpt(CLASSES)
        model(ids(2, 3)).sum().backward()
        kata.accuracy(model, uneven())
        return [parameter.grad for parameter in model.parameters()]

    def afterwards(fails, whole, recording=True):
        model, broke = mixed(Gpt(CLASSES, fails=fails)), ""
        model.training = whole
        try:
            with torch.set_grad_enabled(recording):
                try:
                    kata.accuracy(model, restless(uneven()))
                except RuntimeError as error:
                    broke = str(error)
                return broke, modes(model), torch.is_grad_enabled()
        finally:
            torch.set_grad_enabled(True)

    def next_tosses(fails):
        model = Gpt(CLASSES, fails=fails)
        random.seed(1)
        torch.manual_seed(1)
        try:
            with contextlib.suppress(RuntimeError):
                kata.accuracy(model, restless(uneven()))
        finally:
            torch.set_grad_enabled(True)
        return tosses()

    near = [[0.0, 1e-9], [1e-9, 0.0]]
    even = [[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 0.0, 3.0]]
    lost = [[NAN, 1.0, 0.0], [0.0, NAN, 2.0], [NAN, NAN, NAN], [0.0, 1.0, 2.0]]
    clear = [[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0], [3.0, 2.0, 1.0]]
    return {
        "fitted": lambda: [fitted([5, 6, 7], length) for length in range(1, 6)],
        "fitted, others": lambda: [
            *[fitted((5, 6, 7), n, pad_id=9) for n in (2, 4)],
            fitted([PAD, 4, PAD], 4),
            fitted([PAD, 4, PAD], 2),
        ],
        "fitted to nothing": lambda: [fitted([5, 6, 7], length) for length in (0, -1)],
        "items": told,
        "items, cut": lambda: told(max_length=2),
        "items, one token": lambda: told(max_length=1),
        "items, longer": lambda: [told(max_length=n) for n in (3, 7)],
        "items, another pad": lambda: told(texts=["ba", "c", "bbb"], labels=[2, 0, 1], pad_id=2, max_length=4),
        "no length": lambda: [tried(lambda n=n: told(max_length=n), n) for n in (0, -3)],
        "places": lambda: [tried(lambda i=i: made()[i][1:]) for i in (0, 3, -1, -4, 4, -5)],
        "called": lambda: (called(), tried(pickled)),
        "touched": touched,
        "labels": relabelled,
        "batched": lambda: tried(batched),
        "no token": lambda: [stripping("a", *texts) for texts in (["", ""], [" ", "b"], ["b", "c"])],
        "counts": lambda: [tried(lambda n=n: len(made(labels=[1] * n)), 4, n) for n in (3, 5)],
        "nothing": lambda: [tried(lambda n=n: len(made([], [], max_length=n)), 0) for n in (None, 5)],
        "head": lambda: described(headed()),
        "head of two": lambda: described(headed(classes=2)),
        "head's numbers": drawn,
        "head, double": lambda: str(drawn(dtype=torch.float64).dtype),
        "head elsewhere": lambda: drawn(device="meta").device.type,
        "trainable": lambda: [tried(lambda n=n: trainable(headed(n))) for n in range(BLOCKS + 1)],
        "trainable, default": lambda: trainable(add_default(kata)),
        "frozen before": frozen_before,
        "again": again,
        "stepped": stepped,
        "kept": kept,
        "unfit": lambda: [unfit(*wrong) for wrong in ((1, 1), (0, 1), (3, -1), (3, 4), (2, 3))],
        "last": lambda: [tried(lambda r=r, t=t: last(r, t)) for r, t in ((3, 4), (4, 3), (1, 1), (2, 5))],
        "last of a table": lambda: last(3, 4, seed=5, model=Table()),
        "square": lambda: tried(lambda: last(3, 3, seed=2)),
        "whole": lambda: kata.last_token_logits(Gpt(CLASSES), ids(3, 4)),
        "padding": lambda: [beside(padding) for padding in (PAD, 8)],
        "calls": lambda: [calls(training) for training in (True, False)],
        "sent": lambda: sent("meta"),
        "nowhere to go": lambda: sent(None),
        "lengths": lambda: [refused(lengths) for lengths in ([1, 4, 2], [0, 4, 2], [1, 5, 2], [1, -1, 2])],
        "lengths of other shapes": lambda: [refused(lengths) for lengths in ([2], [[2], [2], [2]], 2, [2, 2])],
        "loss": lambda: (last(3, 4), loss(3, 4)),
        "loss, whole": lambda: loss(3, 4, with_lengths=False),
        "loss of one": lambda: loss(1, 4),
        "labels that do not fit": lambda: [
            mislabelled(labels) for labels in ([0, 2, 1], [0, 3, 1], [0, -1, 1], [0, -100, 1])
        ],
        "labels of other shapes": lambda: [mislabelled(labels) for labels in ([[0], [1], [2]], [1], 1, [0, 1])],
        "share": lambda: of(clear, [0, 1, 1, 0]),
        "share with lengths": lambda: (
            of(clear, [1, 2, 0], [[1, 0, 0], [0, 2, 1], [1, 2, 3]], [1, 2, 3]),
            tried(lambda: last(3, 4)),
        ),
        "share of all": lambda: [of(clear, [0, 1, 2, 0]), of(clear, [1, 2, 0, 1])],
        "near": lambda: [of(near, [1, 0]), of(near, [0, 1])],
        "ties": lambda: [of(even, labels) for labels in ([0, 1, 0], [1, 2, 2], [0, 1, 1])],
        "nan": lambda: [of(lost, labels) for labels in ([0, 1, 0, 2], [1, 2, 1, 2], [0, 1, 2, 2])],
        "weighted": lambda: kata.accuracy(Gpt(CLASSES), uneven()),
        "first": lambda: [tried(lambda n=n: taken(n)) for n in (1, 2, 3, None)],
        "more": lambda: tried(lambda: taken(7)),
        "none": lambda: tried(lambda: taken(0)),
        "empty": lambda: tried(lambda: kata.accuracy(Gpt(CLASSES), [])),
        "meanwhile": meanwhile,
        "slopes": slopes,
        "afterwards": lambda: [afterwards(None, whole) for whole in (True, False)],
        "after an error": lambda: [afterwards(fails, whole) for fails in (None, 2) for whole in (True, False)],
        "without gradients": lambda: afterwards(None, True, recording=False),
        "random afterwards": lambda: next_tosses(None),
        "random after an error": lambda: [next_tosses(fails) for fails in (None, 2)],
    }


def add_default(kata):
    model = Gpt()
    kata.add_classification_head(model, CLASSES)
    return model


@clause("padded")
def test_two_tokens_at_a_length_of_four_get_two_of_padding():
    same(pad_or_truncate([5, 6], 4, 0), [5, 6, 0, 0], "the tokens 5, 6 at a length of 4, with a pad_id of 0")


@clause("padded")
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 8), st.integers(0, 9))
def test_what_is_filled_up_begins_with_its_own_tokens(token_ids, missing, pad_id):
    length = max(1, len(token_ids) + missing)
    expected = list(token_ids)
    while len(expected) < length:
        expected.append(pad_id)
    because = f"{len(token_ids)} tokens at a length of {length}, with a pad_id of {pad_id}, which a text may have too"
    same(pad_or_truncate(list(token_ids), length, pad_id), expected, because)


@clause("truncated")
def test_three_tokens_at_a_length_of_two_lose_the_last():
    same(pad_or_truncate([5, 6, 7], 2, 0), [5, 6], "the tokens 5, 6, 7 at a length of 2: the first ones are kept")


@clause("truncated")
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_what_is_cut_off_is_the_end(token_ids, data):
    length = data.draw(st.integers(1, len(token_ids)), label="length")
    expected = [token_ids[place] for place in range(length)]
    same(pad_or_truncate(list(token_ids), length, 0), expected, f"{len(token_ids)} tokens at a length of {length}")


@clause("new")
@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_tokens_given_stay_as_they_are(length):
    given_ids = [5, 6, 7]
    seen = pad_or_truncate(given_ids, length, 0)
    same(given_ids, [5, 6, 7], f"token_ids after a call with a length of {length}: was the caller's own list changed?")
    assert seen is not given_ids, "the very list that was given came back: who changes the one changes the other"
    same(seen, [5, 6, 7, 0, 0][:length], f"the tokens 5, 6, 7 at a length of {length}")


@clause("new")
def test_a_tuple_becomes_a_list():
    for length, expected in ((1, [5]), (2, [5, 6]), (3, [5, 6, 9])):
        same(pad_or_truncate((5, 6), length, 9), expected, f"a tuple of two tokens at a length of {length}")


@clause("no-length")
@pytest.mark.parametrize("length", [0, -1])
def test_a_length_of_nothing_is_refused(length):
    with refuses(ValueError, length):
        pad_or_truncate([5, 6, 7], length, 0)


@clause("item")
def test_an_item_has_tokens_their_number_and_a_class():
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD)
    same(len(dataset), 4, "four texts")
    for index, row in enumerate([[1, 2, 0, 0], [1, 0, 0, 0], [3, 1, 1, 2], [6, 5, 4, 0]]):
        token_ids, length, label = dataset[index]
        told = f"item {index}, of the text {TEXTS[index]!r} (a is 1, b is 2, and so on; pad_id is 0)"
        close(token_ids, torch.tensor(row), told)
        same((length, label), (len(TEXTS[index]), LABELS[index]), f"length and label of {told}: two ints")


@clause("item")
def test_a_plain_loader_makes_three_tensors_of_the_items():
    inputs, lengths, labels = next(iter(DataLoader(ClassificationDataset(TEXTS, LABELS, encode, PAD), batch_size=3)))
    close(inputs, torch.tensor([[1, 2, 0, 0], [1, 0, 0, 0], [3, 1, 1, 2]]), "inputs, of the first three texts")
    close(lengths, torch.tensor([2, 1, 4]), "lengths of the first three texts")
    close(labels, torch.tensor([1, 0, 2]), "labels of the first three texts")


@clause("max-length")
def test_the_longest_text_gives_the_length():
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD)
    same(dataset.max_length, 4, "the attribute max_length, where the longest text has 4 tokens")
    same(sorted({len(row) for row, *_ in (dataset[i] for i in range(4))}), [4], "the numbers of tokens of all items")


@clause("max-length")
@pytest.mark.parametrize("max_length", [1, 3, 4, 9])
def test_a_length_that_is_given_holds(max_length):
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD, max_length)
    same(dataset.max_length, max_length, "the attribute max_length, where it was given")
    for index, text in enumerate(TEXTS):
        expected = (encode(text) + [PAD] * 9)[:max_length]
        close(dataset[index][0], torch.tensor(expected), f"the text {text!r} with a max_length of {max_length}")


@clause("max-length")
def test_a_max_length_of_nothing_is_refused():
    with refuses(ValueError, 0):
        ClassificationDataset(TEXTS, LABELS, encode, PAD, 0)


@clause("length")
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=4), st.integers(1, 8))
def test_what_is_left_of_the_text_is_counted(texts, max_length):
    dataset = ClassificationDataset(texts, [0] * len(texts), encode, 2, max_length)
    for index, text in enumerate(texts):
        because = f"{text!r} has {len(text)} tokens, max_length is {max_length}, and pad_id is 2, the id of b"
        same(dataset[index][1], min(len(text), max_length), f"the length of item {index}: {because}")


@clause("index")
def test_minus_one_is_the_last_item():
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD)
    row, *rest = dataset[-1]
    same((row.tolist(), rest), ([6, 5, 4, 0], [3, 1]), "item -1 is that of the last text, 'fed'")
    same(dataset[-4][1:], (2, 1), "length and label of item -4, the first of four")


@clause("index")
@pytest.mark.parametrize("index", [4, 9, -5])
def test_beyond_either_end_is_nothing(index):
    with refuses(IndexError):
        ClassificationDataset(TEXTS, LABELS, encode, PAD)[index]


@clause("index")
def test_a_for_loop_ends():
    seen = [label for _, _, label in itertools.islice(ClassificationDataset(TEXTS, LABELS, encode, PAD), 20)]
    same(seen, LABELS, "the labels, in a for loop over the dataset")


@clause("once")
def test_each_text_is_encoded_once_and_never_again():
    encoder = Encoder()
    dataset = ClassificationDataset(TEXTS, LABELS, encoder, PAD)
    same(sorted(encoder.calls), sorted(TEXTS), "the texts that encode was called with while the dataset was made")
    for _ in range(2):
        seen = [dataset[index][1] for index in range(len(dataset))]
    same(len(encoder.calls), 4, "calls of encode once all items were read twice: items are looked up, not encoded")
    same(seen, [2, 1, 4, 3], "the lengths of all items")


@clause("once")
def test_a_dataset_travels_without_its_encoder():
    dataset = ClassificationDataset(TEXTS, LABELS, lambda text: encode(text), PAD)
    try:
        loaded = pickle.loads(pickle.dumps(dataset))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        pytest.fail(f"a lambda for encode, and the dataset cannot be pickled for a worker: {str(error)[:80]}")
    same(loaded[2][0].tolist(), [3, 1, 1, 2], "item 2 of a dataset that was pickled and loaded")


@clause("own")
def test_a_change_of_an_item_stays_in_it():
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD)
    row, *_ = dataset[0]
    row.fill_(9)
    same(dataset[0][0].tolist(), [1, 2, 0, 0], "item 0, read again after somebody wrote 9 into the first copy of it")
    same(dataset[1][0].tolist(), [1, 0, 0, 0], "item 1, after somebody wrote 9 into item 0")


@clause("own")
def test_a_later_change_of_the_labels_does_not_show():
    labels = list(LABELS)
    dataset = ClassificationDataset(TEXTS, labels, encode, PAD)
    labels[:] = [9]
    same([dataset[index][2] for index in range(4)], LABELS, "the labels, after the list that they came in was changed")


@clause("no-token")
@pytest.mark.parametrize("max_length", [None, 3])
@pytest.mark.parametrize("index", [0, 17])
def test_a_text_without_tokens_is_refused(index, max_length):
    texts = ["ab"] * 30
    texts[index] = ""
    with refuses(ValueError, index):
        ClassificationDataset(texts, [2] * 30, encode, PAD, max_length)


@clause("no-token")
def test_it_is_the_tokens_that_count():
    texts = ["a"] * 9
    texts[7] = " \n"
    with refuses(ValueError, 7):
        ClassificationDataset(texts, [2] * 9, lambda text: encode(text.strip()), PAD)


@clause("counts")
@pytest.mark.parametrize("labels", [3, 5, 0])
def test_texts_and_labels_of_unequal_number_are_refused(labels):
    with refuses(ValueError, 4, labels):
        ClassificationDataset(TEXTS, [1] * labels, encode, PAD)


@clause("counts")
@pytest.mark.parametrize("max_length", [None, 5])
def test_no_texts_are_refused(max_length):
    with refuses(ValueError, 0):
        ClassificationDataset([], [], encode, PAD, max_length)


@clause("head")
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_new_head_has_an_output_for_each_class(classes):
    model, old = Gpt(), None
    old = model.out_head
    result = add_classification_head(model, classes)
    assert result is None, f"the model is changed in place, and nothing is given back: a {type(result).__name__} came"
    head = model.out_head
    assert head is not old, "out_head is still the old one, which gives a logit for every token"
    assert type(head) is nn.Linear, f"out_head is a {type(head).__name__}, and no nn.Linear"
    same((head.in_features, head.out_features), (WIDTH, classes), "inputs and outputs of the new head")
    assert head.bias is not None, "the new head has no bias: unlike the old one, it has one"
    same(tuple(model(ids(2, 4)).shape), (2, 4, classes), "the shape of the logits of 2 messages of 4 tokens")


@clause("head")
def test_the_head_has_the_numbers_of_a_fresh_linear():
    torch.manual_seed(123)
    expected = nn.Linear(WIDTH, CLASSES)
    model = Gpt()
    torch.manual_seed(123)
    add_classification_head(model, CLASSES)
    head = model.out_head
    close(head.weight, expected.weight, "after the same seed, the weight of a fresh nn.Linear")
    close(head.bias, expected.bias, "after the same seed, the bias of a fresh nn.Linear")


@clause("head")
@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float64), ("cpu", torch.bfloat16), ("meta", None)])
def test_the_head_is_where_and_what_the_old_one_was(device, dtype):
    model = Gpt().to(device=device, dtype=dtype)
    old = model.out_head
    add_classification_head(model, CLASSES)
    assert model.out_head is not old, "out_head is still the old one"
    for name, parameter in model.out_head.named_parameters():
        same((parameter.device, parameter.dtype), (old.weight.device, old.weight.dtype), f"device and dtype of {name}")


@clause("trainable")
@pytest.mark.parametrize("blocks", range(BLOCKS + 1))
def test_head_norm_and_the_last_blocks_are_learned(blocks):
    because = f"the parameters that require gradients, of a model with {BLOCKS} blocks and trainable_blocks={blocks}"
    same(trainable(headed(blocks)), expected_trainable(blocks), because)


@clause("trainable")
def test_by_default_one_block_is_learned():
    model = Gpt()
    add_classification_head(model, CLASSES)
    same(trainable(model), expected_trainable(1), "the parameters that require gradients, by default")


@clause("trainable")
def test_what_was_frozen_before_is_learned_as_well():
    model = Gpt().requires_grad_(False)
    add_classification_head(model, CLASSES, 2)
    same(trainable(model), expected_trainable(2), "the parameters that require gradients; all were frozen before")


@clause("frozen")
@pytest.mark.parametrize("blocks", [0, 1, BLOCKS])
def test_ten_steps_move_what_is_trainable_and_nothing_else(blocks):
    model = pretrained()
    before = states(model)
    add_classification_head(model, CLASSES, blocks)
    before |= {name: value for name, value in states(model).items() if name.startswith("out_head")}
    ten_steps(model)
    for name, value in states(model).items():
        if name in expected_trainable(blocks):
            assert not torch.equal(value, before[name]), f"{name} is to be learned, and ten steps have not moved it"
        else:
            because = "a gradient left from before moves it, or it is not frozen, or the call itself changed it"
            assert torch.equal(value, before[name]), f"{name} is frozen, and is not what it was, bit for bit: {because}"


@clause("frozen")
def test_no_frozen_parameter_has_a_gradient():
    model = pretrained()
    add_classification_head(model, CLASSES)
    frozen = [name for name in states(model) if name not in expected_trainable(1)]
    left = [name for name in frozen if model.get_parameter(name).grad is not None]
    assert not left, f"frozen, with a gradient from before with which an optimizer still takes a step: {left}"
    same(trainable(model), expected_trainable(1), "the parameters that require gradients")


@clause("frozen")
def test_the_table_of_a_tied_model_stays_frozen():
    model = Gpt()
    model.out_head.weight = model.tok_emb.weight
    before = states(model)
    add_classification_head(model, CLASSES)
    assert torch.equal(model.tok_emb.weight, before["tok_emb.weight"]), "the table, which the old head used, changed"
    same(trainable(model), expected_trainable(1), "the parameters that require gradients, of a model with a tied head")


@clause("trainable")
def test_a_second_call_begins_anew():
    model = headed(3)
    first = model.out_head
    add_classification_head(model, 5, 1)
    same((model.out_head is first, model.out_head.out_features), (False, 5), "whether the head is the first, its size")
    same(trainable(model), expected_trainable(1), "what is trainable after trainable_blocks=3, and then 1")


@clause("unfit")
@pytest.mark.parametrize("classes", [1, 0, -2])
def test_fewer_classes_than_two_are_refused(classes):
    model = pretrained()
    with refuses(ValueError, classes):
        add_classification_head(model, classes)
    unchanged(model)


@clause("unfit")
@pytest.mark.parametrize("blocks", [-1, 4, 12])
def test_blocks_that_are_not_there_are_refused(blocks):
    model = pretrained()
    with refuses(ValueError, blocks, BLOCKS):
        add_classification_head(model, CLASSES, blocks)
    unchanged(model)


def unchanged(model):
    same(model.out_head.out_features, VOCAB, "the outputs of out_head, after a refusal: those of the old head")
    same(trainable(model), sorted(states(Gpt())), "the trainable parameters after a refusal: all, as before")
    left = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not left, f"gradients that were there before the refusal, and are gone: {left}"


@clause("last")
def test_a_message_is_told_by_its_last_token():
    model = Table([0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0])
    seen = last_token_logits(model, torch.tensor([[1, 2, 3], [3, 0, 0], [2, 1, 0]]), torch.tensor([3, 1, 2]))
    because = "messages 1 2 3, 3 and 2 1, padded with 0, of lengths 3, 1, 2; the logits of id n are 2n and 2n + 1"
    close(seen, torch.tensor([[6.0, 7.0], [6.0, 7.0], [2.0, 3.0]]), because)


@clause("last")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_each_row_has_a_length_of_its_own(batch, tokens, seed):
    model, (inputs, lengths, _) = Gpt(CLASSES), case(batch, tokens, seed)
    rows = zip(model(inputs), lengths.tolist(), strict=True)
    expected = torch.stack([row[length - 1] for row, length in rows])
    because = f"{batch} rows of {tokens} tokens, lengths {lengths.tolist()}: row r at position lengths[r] - 1"
    close(last_token_logits(model, inputs, lengths), expected, because)


@clause("last")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_without_lengths_the_last_position_tells(batch, tokens, seed):
    model, (inputs, _, _) = Gpt(CLASSES), case(batch, tokens, seed)
    because = f"{batch} rows of {tokens} tokens and no lengths: the logits at the last position"
    close(last_token_logits(model, inputs), model(inputs).unbind(dim=1)[-1], because)


@clause("padding")
@given(st.integers(1, 4), st.integers(2, 6), st.integers(0, 99), st.integers(0, VOCAB - 1))
def test_other_padding_is_as_good(batch, tokens, seed, pad_id):
    model, (inputs, lengths, _) = Gpt(CLASSES), case(batch, tokens, seed)
    places = torch.arange(tokens)[None]
    padded = inputs.where(places < lengths[:, None], pad_id)
    before, after = last_token_logits(model, inputs, lengths), last_token_logits(model, padded, lengths)
    close(after, before, f"lengths {lengths.tolist()}: only ids behind the last token were rewritten, by {pad_id}")
    moved = inputs.where(places != lengths[:, None] - 1, (inputs + 1) % VOCAB)
    assert not torch.equal(last_token_logits(model, moved, lengths), before), (
        "the last token changed, and nothing moved"
    )


@clause("padding")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_a_message_alone_is_what_it_is_in_a_batch(batch, tokens, seed):
    model, (inputs, lengths, _) = Gpt(CLASSES), case(batch, tokens, seed)
    because = f"lengths {lengths.tolist()}: each message was also read alone, without padding and without lengths"
    close(last_token_logits(model, inputs, lengths), by_hand(model, inputs, lengths), because)


@clause("call")
@pytest.mark.parametrize("with_lengths", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_called_once_in_its_own_mode(training, with_lengths):
    model, (inputs, lengths, _) = Gpt(CLASSES, dropout=0.5).train(training), case(3, 4)
    last_token_logits(model, inputs, lengths if with_lengths else None)
    same(len(model.seen), 1, "calls of the model for one batch: all messages go through it together")
    same(model.seen[0][0], training, "whether the model is in training mode during the call: that is the caller's wish")
    same(model.training, training, "whether the model is in training mode after the call")


@clause("call")
def test_gradients_flow_back_from_the_logits():
    model, (inputs, lengths, _) = Gpt(CLASSES), case(3, 4)
    seen = last_token_logits(model, inputs, lengths)
    assert seen.requires_grad, "no gradient flows back from the logits: they were detached, or none was recorded"
    found = torch.autograd.grad(seen.square().sum(), list(model.parameters()))
    right = torch.autograd.grad(by_hand(model, inputs, lengths).square().sum(), list(model.parameters()))
    for (name, _), mine, expected in zip(model.named_parameters(), found, right, strict=True):
        close(mine, expected, f"the gradient of {name} is another one")


@clause("device")
def test_inputs_and_labels_go_where_the_model_is():
    sent = {"inputs": [], "labels": []}
    inputs, labels = luggage(ids(2, 3), sent["inputs"]), luggage(ids(2, below=3), sent["labels"])
    classification_loss(Table(device="meta"), inputs, labels)
    for name, journey in sent.items():
        because = f"the model's first parameter is on the device meta, and {name} went to {journey or 'no device'}"
        assert set(journey) == {"meta"}, because


@clause("device")
def test_a_model_without_parameters_is_fine():
    model, (inputs, lengths, labels) = Table(), case(3, 4)
    expected = functional.cross_entropy(by_hand(model, inputs, lengths), labels)
    close(classification_loss(model, inputs, labels, lengths), expected, "the model has no parameters, so no device")


@clause("device")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_batch_from_the_cpu_meets_a_model_on_a_gpu():
    batch, model = case(3, 4), Gpt(CLASSES)
    inputs, lengths, labels = batch
    expected = classification_loss(model, inputs, labels, lengths)
    model.cuda()
    for where in (lengths, lengths.cuda()):
        close(classification_loss(model, inputs, labels, where).cpu(), expected, "the same batch and model on a GPU")
    same(accuracy(model, [batch]), share(model.cpu(), [batch]), "the accuracy on the GPU")


@clause("lengths")
@pytest.mark.parametrize("shape", [(1,), (2,), (3, 1), ()])
def test_lengths_that_are_not_one_a_row_are_refused(shape):
    with refuses(ValueError, shape):
        last_token_logits(Gpt(CLASSES), ids(3, 4), torch.ones(shape, dtype=torch.int64))


@clause("lengths")
@pytest.mark.parametrize("length", [0, -1, -4, 13, 99])
def test_a_length_that_does_not_fit_is_refused(length):
    with refuses(ValueError, length, 12):
        last_token_logits(Gpt(CLASSES), ids(3, 12), torch.tensor([1, length, 12]))


@clause("loss")
@pytest.mark.parametrize(("label", "cost"), [(0, math.log(4)), (1, math.log(4) - LN3)])
def test_a_class_of_a_quarter_costs_ln_four(label, cost):
    seen = classification_loss(Table([0.0, LN3], [9.0, 0.0]), torch.tensor([[1, 0]]), torch.tensor([label]))
    because = (
        f"the last token's logits are 0 and ln 3, which gives label {label} a probability of {math.exp(-cost):.2f}"
    )
    close(seen, torch.tensor(cost), because)


@clause("loss")
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_it_is_the_mean_over_the_messages(batch, tokens, seed, with_lengths):
    model, (inputs, lengths, labels) = Gpt(CLASSES), case(batch, tokens, seed)
    if not with_lengths:
        lengths = torch.full_like(lengths, tokens)
    expected = functional.cross_entropy(by_hand(model, inputs, lengths), labels)
    seen = classification_loss(model, inputs, labels, lengths if with_lengths else None)
    close(seen, expected, f"{batch} messages of {lengths.tolist()} tokens: the mean of -ln p at the labels")
    assert seen.requires_grad, "no gradient flows back from the loss, and nothing can be learned from it"
    found = torch.autograd.grad(seen, list(model.parameters()))
    right = torch.autograd.grad(expected, list(model.parameters()))
    for (name, _), mine, exact in zip(model.named_parameters(), found, right, strict=True):
        close(mine, exact, f"the gradient of {name} is another one")


@clause("labels")
@pytest.mark.parametrize("shape", [(1,), (2,), (3, 1), (), (3, 4)])
def test_labels_that_are_not_one_a_message_are_refused(shape):
    with refuses(ValueError, shape):
        classification_loss(Gpt(CLASSES), ids(3, 4), torch.ones(shape, dtype=torch.int64))


@clause("labels")
@pytest.mark.parametrize("label", [3, 77, -1, -100])
def test_a_label_that_is_no_class_is_refused(label):
    with refuses(ValueError, label, CLASSES):
        classification_loss(Gpt(CLASSES), ids(4, 4), torch.tensor([0, 2, label, 1]), torch.tensor([1, 4, 2, 2]))


@clause("share")
def test_three_of_four_are_right():
    model = Table([2.0, 1.0], [0.0, 2.0])
    inputs, lengths = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 1]]), torch.tensor([1, 2, 2, 1])
    seen = accuracy(model, [(inputs, lengths, torch.tensor([1, 1, 0, 0]))])
    assert isinstance(seen, float), f"a {type(seen).__name__} came back, and no float"
    same(seen, 0.75, "the last tokens are 1, 1, 1, 0 and so are the model's classes; the labels are 1, 1, 0, 0")


@clause("share")
def test_without_lengths_every_message_ends_at_the_last_position():
    model = Table([2.0, 1.0], [0.0, 2.0])
    batch = [torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]]), torch.tensor([0, 1, 0, 1])]
    same(accuracy(model, [batch]), 0.5, "pairs of inputs and labels: the last tokens are 0, 1, 1, 0, labels 0, 1, 0, 1")


@clause("share")
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 99))
def test_it_is_the_share_of_messages_read_one_by_one(sizes, seed):
    model = Gpt(CLASSES)
    batches = [case(rows, 5, seed=f"{seed} {number}") for number, rows in enumerate(sizes)]
    same(accuracy(model, batches), share(model, batches), f"batches of {sizes} messages, read one by one as well")


@clause("share")
def test_a_little_greater_is_greater():
    model = Table([0.0, 1e-9], [1e-9, 0.0])
    same(accuracy(model, [(torch.tensor([[0], [1]]), torch.tensor([1, 0]))]), 1.0, "logits that differ by 1e-9 differ")


@clause("ties")
@pytest.mark.parametrize(("labels", "expected"), [([0, 1, 0], 1.0), ([1, 2, 2], 0.0)])
def test_of_equal_logits_the_lowest_class_is_chosen(labels, expected):
    model = Table([1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 0.0, 3.0])
    seen = accuracy(model, [(torch.tensor([[0], [1], [2]]), torch.tensor(labels))])
    same(seen, expected, f"classes 0 and 1, 1 and 2, 0 and 2 have equal logits, and the labels are {labels}")


@clause("nan")
@pytest.mark.parametrize("labels", [[0, 1, 2, 2], [1, 2, 0, 2], [2, 0, 1, 2]])
def test_a_model_gone_astray_is_not_right(labels):
    model = Table([NAN, 1.0, 0.0], [0.0, NAN, 2.0], [NAN, NAN, NAN], [0.0, 1.0, 2.0])
    seen = accuracy(model, [(torch.tensor([[0], [1], [2], [3]]), torch.tensor(labels))])
    same(seen, 0.25, f"three of four messages have a nan among their logits; the labels are {labels}")


@clause("share")
def test_batches_of_unequal_size_are_as_good_as_one():
    model = Table([2.0, 1.0], [0.0, 2.0])
    batches = [(torch.tensor([[1], [1], [1]]), torch.tensor([1, 1, 1])), (torch.tensor([[0]]), torch.tensor([1]))]
    same(accuracy(model, batches), 0.75, "3 of 3 messages are right in the first batch, and 0 of 1 in the second")


@clause("share")
def test_a_data_loader_deals_as_it_likes():
    model, parts = Gpt(CLASSES), case(7, 4)
    for size in (1, 2, 3, 7):
        seen = accuracy(model, DataLoader(TensorDataset(*parts), batch_size=size))
        same(seen, share(model, [parts]), f"7 messages, dealt into batches of {size}")


@clause("first")
@pytest.mark.parametrize("number", [1, 2, 3, 4, 9, None])
def test_only_the_first_batches_are_taken(number):
    model, batches = Gpt(CLASSES), uneven()
    loader, expected = Counted(batches), batches[:number]
    because = f"num_batches is {number}, and the loader has 3 batches"
    same(accuracy(model, loader, number), share(model, expected), because)
    same(loader.taken, len(expected), f"{because}: this many were taken from it")


@clause("empty")
@pytest.mark.parametrize("what", ["an empty loader", "num_batches 0", "a batch of no messages"])
def test_of_no_messages_there_is_no_share(what):
    nothing = [part[:0] for part in case(2, 4)]
    loader = Counted({"an empty loader": [], "a batch of no messages": [nothing]}.get(what, uneven()))
    seen = accuracy(Gpt(CLASSES), loader, 0 if what == "num_batches 0" else None)
    assert isinstance(seen, float), f"{what}: a {type(seen).__name__} came back, and no float"
    assert math.isnan(seen), f"{what}: there is nothing to take a share of, expected nan, seen {seen:g}"
    same(loader.taken, 1 if what == "a batch of no messages" else 0, f"{what}: this many batches were taken")


@clause("quiet")
def test_meanwhile_nothing_drops_and_nothing_is_recorded():
    model, batches = mixed(Gpt(CLASSES, dropout=0.9)), uneven()
    model.drop_emb.train()
    seen = accuracy(model, batches)
    assert model.seen, "the model was not called at all"
    training, recording = (any(found) for found in zip(*model.seen, strict=True))
    assert not training, "while it works, a part of the model is in training mode: its dropout drops"
    assert not recording, "while it works, gradients are recorded, which takes time and memory for nothing"
    same(seen, share(model.eval(), batches), "the model has dropout, and this is its accuracy in eval mode")


@clause("quiet")
def test_gradients_of_the_training_stay():
    model = Gpt(CLASSES)
    with torch.enable_grad():  # an earlier evaluation may have switched gradients off for good
        model(ids(2, 3)).square().sum().backward()
    before = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    seen = accuracy(model, uneven())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} had a gradient, and has none afterwards"
        close(parameter.grad, before[name], f"{name} has another gradient after an evaluation")
    same(seen, share(model, uneven()), "the accuracy of a model that has gradients")


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
@pytest.mark.parametrize("start", ["mixed", "eval"])
def test_every_part_gets_its_mode_back(start, fails):
    model = Gpt(CLASSES, fails=fails)
    model = mixed(model) if start == "mixed" else model.eval()
    before = modes(model)
    looked_at(model)
    changed = [f"{name} ({mode} before)" for name, mode in modes(model).items() if mode != before[name]]
    assert not changed, f"another training mode than before: {', '.join(changed)}"
    same(len(model.seen), 3 if fails is None else fails, "calls of the model, for 3 batches")


@clause("modes")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
@pytest.mark.parametrize("recording", [True, False])
def test_gradients_are_recorded_as_before(recording, fails):
    try:
        with torch.set_grad_enabled(recording):
            looked_at(Gpt(CLASSES, fails=fails))
            now = torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    same(now, recording, "whether gradients are recorded after the evaluation")


@clause("random")
@pytest.mark.parametrize("fails", [None, 2], ids=["in peace", "after an error"])
def test_the_next_random_numbers_are_what_they_would_have_been(fails):
    model = Gpt(CLASSES, fails=fails)
    before = tosses()
    looked_at(model)
    for whose, mine, right in zip(("Python's random", "torch"), tosses(), before, strict=True):
        same(mine, right, f"the next number of {whose}: the loader drew some, and so training goes another way")


@clause("random")
def test_a_shuffling_loader_leaves_no_trace():
    model, parts, before = Gpt(CLASSES), case(6, 4), tosses()
    seen = accuracy(model, DataLoader(TensorDataset(*parts), batch_size=4, shuffle=True))
    same(seen, share(model, [parts]), "the accuracy of all messages, in whatever order")
    same(tosses()[1], before[1], "the next number of torch: a loader that shuffles draws from the global state")


@clause("random")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_goes_on_as_it_would_have():
    model = Gpt(CLASSES)
    torch.cuda.manual_seed_all(1)
    before = torch.cuda.get_rng_state()
    accuracy(model, (torch.rand(3, device="cuda").any() and batch for batch in uneven()))
    assert torch.equal(torch.cuda.get_rng_state(), before), "numbers were drawn on the GPU, and its state moved"
