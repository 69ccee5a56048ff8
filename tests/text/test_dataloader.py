"""The data loader, clause by clause. The why: docs/text/dataloader.md."""

import atexit
import itertools
import pickle
import shutil
import tempfile
import tracemalloc
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from katas.text.dataloader import SlidingWindowDataset, create_dataloader
from tests.support import clause, refuses, same

TEXT = [7, 3, 9, 1, 4, 8, 2, 6]
FILE = [(7 * place) % 50_257 for place in range(10_000)]
SHORT = 2_000  # bytes of a pickle that holds the place of the tokens, and not the tokens

SOURCES = {
    "a list": list,
    "a tuple": tuple,
    "a list with NumPy's integers": lambda ids: list(np.array(ids)),
    "a tensor of int64": torch.tensor,
    "a tensor of int32": lambda ids: torch.tensor(ids, dtype=torch.int32),
    "a tensor of uint8": lambda ids: torch.tensor(ids, dtype=torch.uint8),
    "an array of int64": lambda ids: np.array(ids, dtype=np.int64),
    "an array of uint16": lambda ids: np.array(ids, dtype=np.uint16),
    "an array of uint32": lambda ids: np.array(ids, dtype=np.uint32),
    "every second number of a tensor": lambda ids: torch.tensor(ids).repeat_interleave(2)[::2],
    "an array, read backwards": lambda ids: np.array(ids[::-1], dtype=np.uint16)[::-1],
}
PARTS = {
    "all of it": lambda tokens: tokens,
    "from 3 001 on": lambda tokens: tokens[3_001:],
    "1 000 to 6 000, and of these from 7 on": lambda tokens: tokens[1_000:6_000][7:],
}
SCATTERED = {
    "every third from 10 on": lambda tokens: tokens[10::3],
    "all, backwards": lambda tokens: tokens[::-1],
    "a copy from 30 on": lambda tokens: tokens[30:].copy(),
}
NOT_INTEGERS = {
    "a tensor of float32": (torch.ones(9), "float32"),
    "an array of float64": (np.ones(9), "float64"),
    "a list of floats": ([5.0] * 9, "float"),
    "an array of bool": (np.ones(9, dtype=np.bool_), "bool"),
    "a text": ("low lower lowest", "str"),
}


@st.composite
def texts(draw):
    """The length of a text, a context_length that fits, and a stride."""
    n = draw(st.integers(2, 40), label="tokens")
    return n, draw(st.integers(1, min(n - 1, 9)), label="context_length"), draw(st.integers(1, 12), label="stride")


def ids_of(n):
    """n ids, all different, in no order."""
    return [100_003 + (7 * place) % 41 for place in range(n)]


def windows(ids, context_length, stride):
    """What a dataset holds, found by moving along the text token by token."""
    found = []
    for start in range(len(ids)):
        if start % stride == 0 and start + context_length + 1 <= len(ids):
            inputs = [ids[start + place] for place in range(context_length)]
            found.append((inputs, [ids[start + place + 1] for place in range(context_length)]))
    return found


def plain(item):
    """An item or a batch as lists."""
    inputs, targets = item
    return inputs.tolist(), targets.tolist()


def items(dataset):
    return [plain(dataset[index]) for index in range(len(dataset))]


def batches(loader):
    return [plain(batch) for batch in loader]


def starts(loader):
    """Where the windows of an epoch begin, if the text counts from 0."""
    return [row[0].item() for inputs, _ in loader for row in inputs]


def written(folder):
    """A file of tokens in uint16."""
    path = Path(folder) / "tokens.bin"
    np.array(FILE, dtype=np.uint16).tofile(path)
    return path


def mapped(path, **where):
    return np.memmap(path, dtype=np.uint16, mode="r", **where)


@cache
def file_of_the_probe():
    """Made once: a diagnosis runs the probe with every known mistake."""
    folder = tempfile.mkdtemp(prefix="dataloader-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return written(folder)


def taken(call):
    """The bytes that a call takes at its peak, as far as Python and NumPy know."""
    call()
    tracemalloc.start()
    try:
        kept = call()
        return tracemalloc.get_traced_memory()[1], kept
    finally:
        tracemalloc.stop()


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def made(ids=TEXT, context_length=3, stride=2):
        return kata.SlidingWindowDataset(ids, context_length, stride)

    def loader(**more):
        """Over 21 tokens: 9 windows, which begin at the even numbers up to 16."""
        return kata.create_dataloader(list(range(21)), **{"batch_size": 4, "context_length": 4, "stride": 2} | more)

    def refused(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def epochs(**more):
        here = loader(batch_size=3, **more)
        return [starts(here) for _ in range(2)]

    def after_a_seed(seed):
        torch.manual_seed(seed)
        return epochs()

    def touched(source, part):
        """The other part of an item and the source, after a part was overwritten."""
        item = made(source)[1]
        item[part].fill_(50)
        return item[1 - part].tolist(), [int(token) for token in source]

    def loaded(part):
        dataset = made(part(mapped(file_of_the_probe())), 4, 397)
        return items(pickle.loads(pickle.dumps(dataset)))[:3]

    def pickled(part):
        return len(pickle.dumps(made(part(mapped(file_of_the_probe())), 4, 397))) < SHORT

    def large():
        source = np.array([5] * 3_000)
        return [taken(lambda: made(source, 4, 1))[0] > bar for bar in (10_000, 150_000)]

    parts = {
        "first item": lambda: plain(made()[0]),
        "second item": lambda: plain(made()[1]),
        "wide stride": lambda: plain(made(TEXT, 2, 4)[1]),
        "4 tokens": lambda: refused(lambda: len(made(TEXT[:4]))),
        "8 tokens": lambda: refused(lambda: len(made())),
        "9 tokens": lambda: refused(lambda: len(made([*TEXT, 5]))),
        "index -1": lambda: refused(lambda: plain(made()[-1])),
        "index 9": lambda: refused(lambda: plain(made()[9])),
        "walk": lambda: refused(lambda: len(list(itertools.islice(made(), 20)))),
        "memory": large,
        "whole file, loaded": lambda: loaded(PARTS["all of it"]),
        "slice of a file, loaded": lambda: loaded(PARTS["from 3 001 on"]),
        "whole file, by name": lambda: pickled(PARTS["all of it"]),
        "slice of a file, by name": lambda: pickled(PARTS["from 3 001 on"]),
        "context_length 0": lambda: refused(lambda: len(made(TEXT, 0, 2))),
        "stride 0": lambda: refused(lambda: len(made(TEXT, 3, 0))),
        "3 tokens": lambda: refused(lambda: len(made(TEXT[:3]))),
        "floats": lambda: refused(lambda: len(made(np.ones(9)))),
        "batches": lambda: batches(loader(shuffle=False))[:2],
        "other lengths": lambda: batches(loader(shuffle=False, stride=3))[:2],
        "default order": lambda: after_a_seed(8),
        "another seed": lambda: after_a_seed(9),
        "shuffled": lambda: epochs(shuffle=True, generator=torch.Generator().manual_seed(3)),
        "in order": lambda: epochs(shuffle=False),
        "sizes by default": lambda: len(list(loader())),
        "sizes, dropped": lambda: len(list(loader(drop_last=True))),
        "sizes, kept": lambda: len(list(loader(drop_last=False))),
        "workers": lambda: loader(num_workers=1).num_workers,
        "10 in a batch": lambda: refused(lambda: len(loader(batch_size=10))),
        "10 in a batch, kept": lambda: refused(lambda: len(loader(batch_size=10, drop_last=False))),
    }
    for name in ("a tensor of int64", "a tensor of int32", "an array of int64", "an array of uint16"):
        source = SOURCES[name]
        parts |= {
            f"{name}: dtype": lambda s=source: refused(lambda: str(made(s(TEXT))[0][0].dtype)),
            f"{name}: inputs changed": lambda s=source: touched(s(TEXT), 0),
            f"{name}: targets changed": lambda s=source: touched(s(TEXT), 1),
        }
    return parts


@clause("item")
@pytest.mark.parametrize(
    ("index", "inputs", "targets"), [(0, [7, 3, 9], [3, 9, 1]), (1, [9, 1, 4], [1, 4, 8]), (2, [4, 8, 2], [8, 2, 6])]
)
def test_targets_are_the_inputs_one_token_later(index, inputs, targets):
    seen = SlidingWindowDataset(TEXT, 3, 2)[index]
    because = f"these are the %s of item {index}; the text is {TEXT}, context_length is 3, stride is 2"
    same(seen[0].tolist(), inputs, because % "inputs")
    same(seen[1].tolist(), targets, because % "targets")


@clause("item")
@given(texts())
def test_every_item_is_the_window_that_counting_finds(case):
    n, context_length, stride = case
    ids = ids_of(n)
    dataset = SlidingWindowDataset(ids, context_length, stride)
    for index, expected in enumerate(windows(ids, context_length, stride)):
        because = f"item {index} of {n} tokens, context_length={context_length}, stride={stride}"
        same(plain(dataset[index]), expected, because)


@clause("count")
@pytest.mark.parametrize(("n", "number"), [(4, 1), (5, 1), (6, 2), (7, 2), (8, 3)])
def test_the_last_window_ends_with_the_last_target(n, number):
    because = f"{n} tokens, context_length=3, stride=2: a window needs 4 tokens, with its last target"
    same(len(SlidingWindowDataset(TEXT[:n], 3, 2)), number, because)


@clause("count")
@given(texts())
def test_every_window_is_counted(case):
    n, context_length, stride = case
    expected = len(windows(ids_of(n), context_length, stride))
    because = f"len() for {n} tokens, context_length={context_length}, stride={stride}"
    same(len(SlidingWindowDataset(ids_of(n), context_length, stride)), expected, because)


@clause("batches")
def test_a_batch_has_a_window_in_each_row():
    loader = create_dataloader(TEXT, batch_size=2, context_length=3, stride=2, shuffle=False)
    inputs, targets = next(iter(loader))
    because = f"these are the %s of the first batch of 2; the text is {TEXT}, context_length=3, stride=2"
    same(inputs.tolist(), [[7, 3, 9], [9, 1, 4]], because % "inputs")
    same(targets.tolist(), [[3, 9, 1], [1, 4, 8]], because % "targets")


@clause("batches")
@given(texts(), st.integers(1, 5))
def test_without_shuffle_the_batches_follow_the_text(case, batch_size):
    n, context_length, stride = case
    ids = ids_of(n)
    rows = windows(ids, context_length, stride)
    whole = range(0, len(rows) - batch_size + 1, batch_size)  # a batch that is not full is for `last` to judge
    expected = [tuple(map(list, zip(*rows[start : start + batch_size], strict=True))) for start in whole]
    if expected:
        seen = batches(create_dataloader(ids, batch_size, context_length, stride, shuffle=False))
        because = f"{n} tokens, batch_size={batch_size}, context_length={context_length}, stride={stride}, no shuffle"
        same(seen[: len(expected)], expected, because)


@clause("shuffle")
@pytest.mark.parametrize("more", [{}, {"shuffle": True}], ids=["by default", "asked for"])
def test_an_epoch_has_every_window_once_and_in_another_order(more):
    loader = create_dataloader(list(range(103)), batch_size=5, context_length=4, stride=2, **more)
    first, second = starts(loader), starts(loader)
    in_order = list(range(0, 99, 2))
    same(sorted(first), in_order, "where the 50 windows of an epoch begin, sorted; 103 tokens, stride 2, batches of 5")
    assert first != in_order, "with shuffle, the windows came in the order of the text"
    assert first != second, "with shuffle, the second epoch had the same order as the first"


@clause("last")
@pytest.mark.parametrize(
    ("more", "sizes"),
    [({}, [4, 4]), ({"drop_last": True}, [4, 4]), ({"drop_last": False}, [4, 4, 2])],
    ids=["by default", "dropped", "kept"],
)
def test_a_last_batch_that_is_too_small(more, sizes):
    loader = create_dataloader(list(range(14)), 4, 4, 1, **more)
    given = f"drop_last={more['drop_last']}" if more else "drop_last not given"
    because = f"these are the numbers of windows in each batch; there are 10 windows, batch_size=4, {given}"
    same([len(inputs) for inputs, _ in loader], sizes, because)


@clause("last")
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_last_batch_that_is_full_stays(drop_last):
    loader = create_dataloader(list(range(16)), 4, 4, 1, drop_last=drop_last)
    because = f"these are the numbers of windows in each batch; 12 windows, batch_size=4, drop_last={drop_last}"
    same([len(inputs) for inputs, _ in loader], [4, 4, 4], because)


@clause("index")
@pytest.mark.parametrize(("index", "of"), [(-1, 2), (-3, 0), (np.int64(1), 1)])
def test_a_negative_index_counts_from_the_end(index, of):
    seen = plain(SlidingWindowDataset(TEXT, 3, 2)[index])
    same(seen, windows(TEXT, 3, 2)[of], f"item {index} of three is item {of}")


@clause("index")
@pytest.mark.parametrize("index", [3, 17, -4])
def test_an_index_beyond_either_end_is_refused(index):
    with refuses(IndexError, index, 3):
        SlidingWindowDataset(TEXT, 3, 2)[index]


@clause("index")
def test_a_loop_over_a_dataset_ends():
    seen = [plain(item) for item in itertools.islice(SlidingWindowDataset(TEXT, 3, 2), 20)]
    same(seen, windows(TEXT, 3, 2), "the items that a for loop over the dataset gives, the first 20 at most")


@clause("sources")
@pytest.mark.parametrize("source", SOURCES)
def test_ids_come_from_many_sources(source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = SlidingWindowDataset(SOURCES[source](TEXT), 3, 2)
        same(items(dataset), windows(TEXT, 3, 2), f"token_ids is {source}")
    seen = [str(part.dtype) for part in dataset[0]]
    same(seen, ["torch.int64", "torch.int64"], f"the dtypes of inputs and targets; token_ids is {source}")


@clause("sources")
def test_large_ids_are_read_in_full(tmp_path):
    large = [40_000, 65_535, 3, 50_256, 32_768]
    np.array(large, dtype=np.uint16).tofile(tmp_path / "tokens.bin")
    seen = items(SlidingWindowDataset(mapped(tmp_path / "tokens.bin"), 2, 1))
    same(seen, windows(large, 2, 1), "token_ids is a read-only map of a file of uint16")


@clause("on-demand")
@pytest.mark.parametrize("source", ["an array of int64", "an array of uint16", "a tensor of int64"])
def test_a_dataset_takes_no_memory(source):
    tokens = SOURCES[source]([5] * 20_000)
    grown, dataset = taken(lambda: SlidingWindowDataset(tokens, 4, 1))
    assert grown < 50_000, f"a dataset over {source}, 20 000 tokens, took {grown:,} bytes; nothing should be copied"
    same(len(dataset), 19_996, "len() for 20 000 tokens, context_length=4, stride=1")


@clause("on-demand")
@pytest.mark.parametrize("source", ["an array of int64", "a tensor of int64", "a tensor of int32"])
def test_items_are_read_when_they_are_asked_for(source):
    tokens = SOURCES[source](TEXT)
    dataset = SlidingWindowDataset(tokens, 3, 2)
    tokens[0] = 5
    same(plain(dataset[0])[0], [5, 3, 9], f"the first token of {source} was set to 5 after the dataset was made")


@clause("separate")
@pytest.mark.parametrize("source", SOURCES)
def test_changing_an_item_changes_nothing_else(source):
    tokens = SOURCES[source](TEXT)
    inputs, targets = SlidingWindowDataset(tokens, 3, 2)[1]
    inputs.fill_(50)
    same(targets.tolist(), [1, 4, 8], "the inputs of an item were overwritten with 50, and these are its targets")
    targets.fill_(60)
    same([int(token) for token in tokens], TEXT, f"an item was overwritten, and this is token_ids, {source}")


@clause("pickled")
@pytest.mark.parametrize("source", ["a list", "a tensor of int64", "an array of uint16", "an array, read backwards"])
def test_a_pickled_dataset_gives_the_same_items(source):
    loaded = pickle.loads(pickle.dumps(SlidingWindowDataset(SOURCES[source](TEXT), 3, 2)))
    same(items(loaded), windows(TEXT, 3, 2), f"token_ids is {source}; the dataset was pickled and loaded")


@clause("pickled")
@pytest.mark.parametrize("offset", [0, 6])
@pytest.mark.parametrize("part", PARTS | SCATTERED)
def test_a_pickled_dataset_over_a_mapped_file_gives_the_same_items(tmp_path, part, offset):
    tokens = (PARTS | SCATTERED)[part](mapped(written(tmp_path), offset=offset))
    loaded = pickle.loads(pickle.dumps(SlidingWindowDataset(tokens, 4, 397)))
    because = f"token_ids is {part}, of a file that is mapped from byte {offset} on; pickled and loaded"
    same(items(loaded), windows(tokens.tolist(), 4, 397), because)


@clause("by-name")
@pytest.mark.parametrize("part", PARTS)
def test_the_tokens_of_a_file_are_not_pickled(tmp_path, part):
    tokens = PARTS[part](mapped(written(tmp_path)))
    dataset = SlidingWindowDataset(tokens, 4, 397)
    for times in ("once", "twice"):
        content = pickle.dumps(dataset)
        because = f"token_ids is {part}, of a mapped file: {len(tokens)} tokens; the dataset was pickled {times}"
        assert len(content) < SHORT, f"the pickle takes {len(content):,} bytes, expected less than 2 000: {because}"
        dataset = pickle.loads(content)


@clause("lengths")
@pytest.mark.parametrize(
    ("name", "value"), [("context_length", 0), ("context_length", -4), ("stride", 0), ("stride", -1)]
)
def test_no_length_is_below_one(name, value):
    with refuses(ValueError, name, value):
        SlidingWindowDataset(TEXT, **{"context_length": 3, "stride": 2, name: value})


@clause("short")
@pytest.mark.parametrize(("n", "context_length"), [(7, 7), (3, 8), (1, 1)])
def test_a_text_without_a_window_is_refused(n, context_length):
    with refuses(ValueError, n, context_length):
        SlidingWindowDataset(ids_of(n), context_length, 1)


@clause("short")
def test_a_text_of_one_window_is_long_enough():
    same(items(SlidingWindowDataset(TEXT, 7, 9)), [(TEXT[:7], TEXT[1:])], "8 tokens, context_length=7: one window fits")


@clause("integers")
@pytest.mark.parametrize("wrong", NOT_INTEGERS)
def test_ids_that_are_not_integers_are_refused(wrong):
    token_ids, named = NOT_INTEGERS[wrong]
    with refuses(TypeError, named):
        SlidingWindowDataset(token_ids, 3, 2)


@clause("generator")
@given(st.integers(0, 99), st.integers(5, 60), st.integers(1, 5))
def test_the_order_is_the_one_that_a_data_loader_draws(seed, n, batch_size):
    theirs = DataLoader(range(n - 4), batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    ours = create_dataloader(list(range(n)), batch_size, 4, 1, drop_last=False, generator=generator)
    for epoch in (1, 2):
        expected = [place for batch in theirs for place in batch.tolist()]
        because = f"the order of epoch {epoch}; {n - 4} windows, a generator with the seed {seed}"
        same(starts(ours), expected, because)


@clause("generator")
def test_without_a_generator_the_global_random_state_is_used():
    orders = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        orders.append(starts(create_dataloader(list(range(105)), 5, 4, 2)))
    same(orders[1], orders[0], "two epochs, each after torch.manual_seed(5), without a generator")
    assert orders[2] != orders[0], "torch.manual_seed(5) and torch.manual_seed(6) gave the same order"


@clause("workers")
def test_the_number_of_workers_is_passed_on():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of more workers than cores
        seen = {number: create_dataloader(TEXT, 2, 3, 2, num_workers=number).num_workers for number in (0, 1, 2)}
    same(seen, {0: 0, 1: 1, 2: 2}, "num_workers, and the number of workers that the loader has")


@pytest.mark.slow
@clause("workers")
def test_a_spawned_worker_reads_the_file(tmp_path):
    tokens = mapped(written(tmp_path))[100:]
    loader = create_dataloader(tokens, 3, 4, 397, shuffle=False, drop_last=False, num_workers=1)
    same(loader.num_workers, 1, "num_workers=1 was asked for")
    # A worker takes seconds to start: what cannot be pickled already fails here.
    pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn)))
    loader.multiprocessing_context = "spawn"
    seen = [row for inputs, targets in batches(loader) for row in zip(inputs, targets, strict=True)]
    because = "a spawned worker made the batches, over a mapped file of 10 000 tokens, from 100 on"
    same(seen, windows(FILE[100:], 4, 397), because)


@clause("no-batch")
@pytest.mark.parametrize(("number", "batch_size"), [(3, 4), (1, 2), (9, 50)])
def test_a_loader_without_a_batch_is_refused(number, batch_size):
    with refuses(ValueError, number, batch_size):
        create_dataloader(list(range(number + 100)), batch_size, 100, 1)


@clause("no-batch")
@pytest.mark.parametrize(("number", "drop_last", "sizes"), [(3, False, [3]), (4, True, [4])])
def test_one_batch_is_enough(number, drop_last, sizes):
    loader = create_dataloader(list(range(number + 100)), 4, 100, 1, drop_last=drop_last)
    because = f"these are the numbers of windows in each batch; {number} windows, batch_size=4, drop_last={drop_last}"
    same([len(inputs) for inputs, _ in loader], sizes, because)
