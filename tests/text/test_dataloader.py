"""The data loader, clause by clause. The why: docs/text/dataloader.md."""

import atexit
import contextlib
import itertools
import os
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
SHORT = 2_000  # bytes of a pickle that tells where tokens lie, and not which

TENSORS = [torch.uint8, torch.uint16, torch.uint32, torch.int8, torch.int16, torch.int32, torch.int64]
ARRAYS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
SOURCES = {
    "a list": list,
    "a tuple": tuple,
    "a list with NumPy's integers": lambda ids: list(np.array(ids)),
    **{f"a tensor of {str(dtype)[6:]}": lambda ids, dtype=dtype: torch.tensor(ids).to(dtype) for dtype in TENSORS},
    **{f"an array of {dtype}": lambda ids, dtype=dtype: np.array(ids, dtype=dtype) for dtype in ARRAYS},
    "every second number of a tensor": lambda ids: torch.tensor(ids).repeat_interleave(2)[::2],
    "every second number of an array": lambda ids: np.repeat(ids, 2)[::2],
    "an array, read backwards": lambda ids: np.array(ids[::-1], dtype=np.uint16)[::-1],
    "an array that cannot be written": lambda ids: frozen(np.array(ids)),
}


PICKLED = [name for name in SOURCES if "tensor of uint" not in name]  # torch does not load all of these itself
SLICES = {
    "all of it": lambda tokens: tokens,
    "the first 3 000": lambda tokens: tokens[:3_000],
    "from 3 001 on": lambda tokens: tokens[3_001:],
    "1 000 to 6 000, and of these from 7 on": lambda tokens: tokens[1_000:6_000][7:],
}
SCATTERED = {
    "every third from 10 on": lambda tokens: tokens[10::3],
    "all, backwards": lambda tokens: tokens[::-1],
    "a copy from 30 on": lambda tokens: tokens[30:].copy(),
    "from 30 on, as a plain array": lambda tokens: np.asarray(tokens)[30:],
}
LENGTHS = [("context_length", 0), ("context_length", -4), ("stride", 0), ("stride", -1)]
TOO_SHORT = [(7, 7), (3, 8), (1, 1), (0, 1)]
AXES = {
    "a tensor of two axes": torch.ones(2, 9, dtype=torch.int64),
    "an array of two axes": np.ones((9, 1), dtype=np.uint16),
    "a tensor without axes": torch.tensor(5),
    "an array of three axes": np.ones((1, 1, 9), dtype=np.int64),
}
NUMBERS = {
    "a tensor of float32": (torch.ones(9), "float32"),
    "an array of float64": (np.ones(9), "float64"),
    "a tensor of bool": (torch.ones(9, dtype=torch.bool), "bool"),
    "an array of bool": (np.ones(9, dtype=np.bool_), "bool"),
    "an array of complex128": (np.ones(9, dtype=np.complex128), "complex128"),
    "an array of objects": (np.array([5] * 9, dtype=object), "object"),
    "a list of floats": ([5.0] * 9, "float"),
    "a list with a float": ([5, 6, 7, 8, 9, 10, 11.0, 12], "float"),
    "a list of bools": ([True] * 9, "bool"),
    "a tuple with a bool": ((5, 6, 7, 8, 9, 10, False, 12), "bool"),
    "a list with None": ([5, 6, 7, 8, 9, 10, None, 12], "NoneType"),
    "a list of words": (["the", "cat", "sat", "on", "the", "mat"], "str"),
}
NO_IDS = {
    "None": (lambda: None, "NoneType"),
    "a number": (lambda: 7, "int"),
    "a set": (lambda: set(range(9)), "set"),
    "a generator": (lambda: (token for token in range(9)), "generator"),
}


@st.composite
def texts(draw):
    """The length of a text, a context_length that fits, and a stride."""
    n = draw(st.integers(2, 40), label="tokens")
    return n, draw(st.integers(1, min(n - 1, 9)), label="context_length"), draw(st.integers(1, 12), label="stride")


def ids_of(n):
    """n ids, all different, that no 16 bits hold and that stand in no order."""
    return [100_003 + (7 * place) % 41 for place in range(n)]


def windows(ids, context_length, stride):
    """What a dataset holds, by moving along the text token by token."""
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


def frozen(array):
    array.flags.writeable = False
    return array


def written(folder, ids=FILE, dtype=np.uint16):
    """A file of tokens, and nothing but their bytes."""
    path = Path(folder) / "tokens.bin"
    np.array(ids, dtype=dtype).tofile(path)
    return path


@cache
def file_of_the_probe():
    """Made once: a diagnosis runs the probe with every known mistake."""
    folder = tempfile.mkdtemp(prefix="dataloader-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return written(folder)


def one_file(**where):
    """A file of tokens, mapped for reading, that every case of the probe shares."""
    return mapped(file_of_the_probe(), **where)


def mapped(path, mode="r", dtype=np.uint16, **where):
    return np.memmap(path, dtype=dtype, mode=mode, **where)


@contextlib.contextmanager
def every_warning():
    """All that is warned of, also what torch else says once only."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            yield heard
    finally:
        torch.set_warn_always(before)


def grown(call):
    """The bytes that a call takes on the way, as far as Python and NumPy know."""
    call()
    tracemalloc.start()
    try:
        kept = call()
        return tracemalloc.get_traced_memory()[1], kept
    finally:
        tracemalloc.stop()


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def made(ids=TEXT, context_length=3, stride=2):
        return kata.SlidingWindowDataset(ids, context_length, stride)

    def loader(n=21, batch_size=3, **more):
        """Of 21 tokens: 9 windows, that begin at the even numbers up to 16."""
        return kata.create_dataloader(list(range(n)), batch_size, 4, 2, **{"num_workers": 0, **more})

    def shapes():
        item = made()[0]
        return type(item).__name__, [tuple(part.shape) for part in item]

    def first(dataset):
        return [plain(dataset[index]) for index in range(min(len(dataset), 30))]

    def places():
        return [tried(lambda i=i: plain(made()[i]), i, 3) for i in (0, 1, 2, 3, 4, -1, -3, -4, -9, np.int64(1))]

    def sources():
        for name, source in SOURCES.items():
            for ids in ([5, 100, 7, 127], [200, 40_000, 70_000, 3]):
                with contextlib.suppress(OverflowError):
                    yield name, [tried(lambda given=given: plain(made(given, 2, 1)[1])) for given in [source(ids)]]
        yield tried(lambda: items(made(range(5), 2, 1)))
        yield [tried(lambda text=text: len(made(text)), "str", "encode") for text in ("low lower lowest", "")]

    def dtypes():
        return [tried(lambda s=s: [part.dtype for part in made(s(TEXT))[0]]) for s in SOURCES.values()]

    def warned(source):
        with every_warning() as heard:
            made(source)[0]
        return bool(heard)

    def follows(source, read):
        """Whether what is changed after the dataset was made, and read or not, shows."""
        dataset = made(source)
        if read:
            items(dataset)
        source[4] += 1
        return items(dataset) == items(made(source))

    def on_demand(tokens, _):
        """Which sources are followed, and roughly how much memory making a dataset takes."""
        dtypes = (torch.int32, torch.int64)
        arrays = [np.array(TEXT, dtype="uint16"), np.array(TEXT), *(torch.tensor(TEXT, dtype=d) for d in dtypes)]
        followed = [follows(source, read) for read in (False, True) for source in [*arrays, tokens[:8]]]
        large = np.array([5] * 3_000), torch.tensor([5] * 3_000)
        taken = [grown(lambda source=source: made(source, 4, 1))[0] for source in large]
        return followed, [[size > bar for bar in (10_000, 150_000, 1_000_000)] for size in taken]

    def touched(source):
        dataset = made(source)
        inputs, targets = dataset[1]
        inputs.fill_(50)
        seen = targets.tolist()
        targets.fill_(60)
        return seen, inputs.tolist(), list(map(int, source)), plain(dataset[1])

    def on_file(use, mode="r+", **where):
        """Of a file of its own, which may be changed."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = written(folder)
            return tried(lambda: use(mapped(path, mode, **where), path))

    def travelled(tokens):
        """The number of items, and what became of them."""
        return tried(lambda: len(made(tokens, 4, 397))), tried(lambda: arrived(made(tokens, 4, 397)))

    def arrived(dataset):
        seen = first(pickle.loads(pickle.dumps(dataset)))
        return seen == first(dataset), seen[:2]

    def by_name(tokens, _):
        """Which pickles are short, whether the file is mapped again, and whether it had been mapped at all."""
        short = []
        for part in (tokens, tokens[3_000:]):
            dataset = made(part, 4, 397)
            for _ in range(2):
                content = pickle.dumps(dataset)
                short.append(len(content) < SHORT)
                dataset = pickle.loads(content)
        dataset = pickle.loads(pickle.dumps(made(tokens[3_000:], 4, 397)))
        tokens[3_000] = 9
        return short, plain(dataset[0])[0][0] == 9, follows(tokens[:8], False)

    def elsewhere(path, moved):
        """A dataset by a relative path, loaded in another folder."""
        home = os.getcwd()
        try:
            os.chdir(path.parent)
            dataset = made(mapped(path.name), 4, 397)
            os.chdir(home if moved == "before" else path.parent)
            content = pickle.dumps(dataset)
            os.chdir(home)
            return first(pickle.loads(content))[:2]
        finally:
            os.chdir(home)

    def moved(_, path):
        return [tried(lambda when=when: elsewhere(path, when)) for when in ("before", "after")]

    def harmed(tokens, path):
        tokens[:3] = [9, 8, 7]
        tokens.flush()
        return travelled(tokens), np.fromfile(path, dtype=np.uint16).tolist()[:9]

    def refused(ids, *named, context_length=3, stride=2):
        return tried(lambda: len(made(ids, context_length, stride)), *named)

    def by_three(**more):
        """A batch size that fits and one that does not, with what the dataset alone gives."""
        return items(made(list(range(21)), 4, 2)), [
            tried(lambda n=n: batches(loader(batch_size=n, **more))) for n in (3, 4)
        ]

    def orders():
        """The orders of two epochs, shuffled by default, if asked for, and not."""
        for more in ({}, {"shuffle": True}, {"shuffle": False}):
            torch.manual_seed(8)
            here = loader(**more)
            yield [starts(here) for _ in range(2)]

    def drawn():
        here = loader(generator=torch.Generator().manual_seed(3))
        return [starts(here) for _ in range(2)]

    def sizes(batch_size):
        """The number of batches by default, if the last one is to be dropped, and if it is to be kept."""
        for more in ({}, {"drop_last": True}, {"drop_last": False}):
            yield tried(lambda more=more: len(list(loader(batch_size=batch_size, **more))), 9, batch_size)

    def workers():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of more workers than cores
            return [loader(num_workers=n).num_workers for n in (0, 1, 2)], kata.create_dataloader(
                TEXT, 2, 3, 2
            ).num_workers

    def travels():
        made = loader(shuffle=False)
        return [tried(lambda part=part: bool(pickle.dumps(part))) for part in (made.dataset, made.collate_fn)]

    return {
        "items": lambda: items(made()),
        "many": lambda: [tried(lambda c=c, s=s: items(made(TEXT, c, s))) for c in (1, 2, 4, 7) for s in (1, 2, 3, 9)],
        "counts": lambda: [tried(lambda n=n, s=s: len(made(ids_of(n), 4, s))) for n in range(5, 15) for s in (1, 4, 6)],
        "shapes": shapes,
        "places": places,
        "walk": lambda: tried(lambda: len(list(itertools.islice(made(), 20)))),
        "sources": lambda: list(sources()),
        "dtypes": dtypes,
        "mapped": lambda: first(made(one_file(), 40, 1_000)),
        "warned": lambda: [tried(lambda s=s: warned(s(TEXT))) for s in SOURCES.values()],
        "mapped, warned": lambda: warned(one_file()),
        "on demand": lambda: on_file(on_demand),
        "touched": lambda: [touched(source) for source in (list(TEXT), np.array(TEXT), torch.tensor(TEXT))],
        "touched, narrow": lambda: [touched(np.array(TEXT, dtype="uint16")), touched(torch.tensor(TEXT).int())],
        "pickled": lambda: tried(lambda: bool(pickle.dumps(made()))),
        "loaded": lambda: [tried(lambda s=s: arrived(made(s([3] * 9)))) for s in map(SOURCES.get, PICKLED)],
        "whole": lambda: travelled(one_file()),
        "offset": lambda: travelled(one_file(offset=6)),
        "slice": lambda: travelled(one_file()[30:5_000][7:]),
        "offset and slice": lambda: travelled(one_file(offset=6)[30:]),
        "other dtype": lambda: travelled(one_file(dtype=np.int32)),
        "steps": lambda: [travelled(one_file()[::step]) for step in (3, -1)],
        "copy": lambda: travelled(one_file()[30:].copy()),
        "by name": lambda: on_file(by_name),
        "moved": lambda: on_file(moved),
        "harmed": lambda: on_file(harmed, "w+", shape=(10_000,)),
        "lengths": lambda: [refused(TEXT, name, value, **{name: value}) for name, value in [*LENGTHS, ("stride", 1)]],
        "short": lambda: [refused(ids_of(n), n, c, context_length=c) for n, c in [*TOO_SHORT, (8, 7)]],
        "axes": lambda: [refused(wrong, tuple(wrong.shape)) for wrong in AXES.values()],
        "numbers": lambda: [refused(wrong, named) for wrong, named in NUMBERS.values()],
        "no ids": lambda: [refused(wrong(), named) for wrong, named in NO_IDS.values()],
        "batches": lambda: by_three(shuffle=False),
        "batches, kept": lambda: by_three(shuffle=False, drop_last=False),
        "loader": lambda: [type(loader()).__name__, isinstance(loader().dataset, kata.SlidingWindowDataset)],
        "orders": lambda: list(orders()),
        "drawn": drawn,
        "sizes": lambda: [list(sizes(batch_size)) for batch_size in (3, 4, 8, 9, 10, 50)],
        "workers": workers,
        "travels": travels,
        "batch size": lambda: [tried(lambda n=n: len(loader(batch_size=n)), n) for n in (-3, 0, 1)],
    }


@clause("item")
def test_targets_are_the_inputs_one_token_later():
    dataset = SlidingWindowDataset(TEXT, 3, 2)
    for index, (inputs, targets) in enumerate([([7, 3, 9], [3, 9, 1]), ([9, 1, 4], [1, 4, 8]), ([4, 8, 2], [8, 2, 6])]):
        because = f"the text is {TEXT}, context_length is 3, stride is 2, and this was asked of item {index}"
        seen = dataset[index]
        same(seen[0].tolist(), inputs, f"inputs: {because}")
        same(seen[1].tolist(), targets, f"targets: {because}")


@clause("item")
@given(texts())
def test_every_item_is_the_window_that_counting_tokens_finds(case):
    n, context_length, stride = case
    ids = ids_of(n)
    for index, expected in enumerate(windows(ids, context_length, stride)):
        seen = plain(SlidingWindowDataset(ids, context_length, stride)[index])
        same(seen, expected, f"item {index} of {n} tokens, context_length={context_length}, stride={stride}")


@clause("count")
@pytest.mark.parametrize(("n", "number"), [(4, 1), (5, 1), (6, 2), (7, 2), (8, 3)])
def test_the_last_window_ends_with_the_last_target_that_there_is(n, number):
    dataset = SlidingWindowDataset(TEXT[:n], 3, 2)
    because = f"{n} tokens, context_length=3, stride=2: a window takes 4 tokens, with its last target"
    same(len(dataset), number, because)


@clause("count")
@given(texts())
def test_all_windows_are_there_and_no_more(case):
    n, context_length, stride = case
    because = f"windows of {n} tokens, context_length={context_length}, stride={stride}"
    same(
        len(SlidingWindowDataset(ids_of(n), context_length, stride)), len(range(0, n - context_length, stride)), because
    )


@clause("overlap")
@given(texts())
def test_neighbours_share_what_the_stride_leaves(case):
    n, context_length, stride = case
    dataset = SlidingWindowDataset(ids_of(n), context_length, stride)
    seen = [set(dataset[index][0].tolist()) for index in range(len(dataset))]
    assert seen, f"{n} tokens, context_length={context_length}: there is no window"
    for index, (here, there) in enumerate(itertools.pairwise(seen)):
        because = f"of items {index} and {index + 1}; context_length={context_length}, stride={stride}"
        same(len(here & there), max(0, context_length - stride), f"inputs in common {because}")


@clause("overlap")
@pytest.mark.parametrize(
    ("stride", "times"),
    [(4, [1, 1, 1, 1, 1]), (2, [1, 2, 2, 2, 1]), (1, [1, 4, 4, 4, 2]), (6, [1, 1, 0, 1, 0]), (30, [1, 1, 0, 0, 0])],
)
def test_the_stride_says_how_often_a_token_is_read(stride, times):
    read = [token for inputs, _ in items(SlidingWindowDataset(range(25), 4, stride)) for token in inputs]
    because = f"how often the tokens at 0, 3, 5, 9 and 22 are inputs; 25 tokens, context_length=4, stride={stride}"
    same([read.count(place) for place in (0, 3, 5, 9, 22)], times, because)


@clause("index")
def test_a_for_loop_comes_to_an_end():
    dataset = SlidingWindowDataset(TEXT, 3, 2)
    seen = [plain(item) for item in itertools.islice(dataset, 50)]
    same(
        seen, windows(TEXT, 3, 2), "a for loop over a dataset of 3 items: it asks for 0, 1, 2, ... until an IndexError"
    )


@clause("index")
@pytest.mark.parametrize("index", [12_345, 12_346, 10**9, -12_346, -(10**9), np.int64(12_345)], ids=repr)
def test_what_lies_beyond_either_end_is_refused(index):
    dataset = SlidingWindowDataset(range(12_348), 3, 1)
    with refuses(IndexError, index, 12_345):
        dataset[index]


@clause("index")
@pytest.mark.parametrize(("index", "item"), [(-1, 2), (-3, 0), (np.int64(1), 1), (np.uint8(2), 2)], ids=repr)
def test_any_integer_is_an_index(index, item):
    dataset = SlidingWindowDataset(TEXT, 3, 2)
    same(plain(dataset[index]), windows(TEXT, 3, 2)[item], f"of 3 items, {index!r} is the one at {item}")


@clause("sources")
@pytest.mark.parametrize("source", SOURCES)
def test_ids_may_come_in_many_kinds(source):
    tokens = SOURCES[source](TEXT)
    same(items(SlidingWindowDataset(tokens, 3, 2)), windows(TEXT, 3, 2), f"token_ids is {source}")


@clause("sources")
@pytest.mark.parametrize("source", SOURCES)
def test_every_item_is_int64(source):
    seen = [str(part.dtype) for part in SlidingWindowDataset(SOURCES[source](TEXT), 3, 2)[1]]
    same(seen, ["torch.int64", "torch.int64"], f"token_ids is {source}, and these are the dtypes of inputs and targets")


@clause("sources")
def test_a_range_is_a_text():
    same(
        items(SlidingWindowDataset(range(3, 11), 3, 2)), windows(list(range(3, 11)), 3, 2), "token_ids is range(3, 11)"
    )


@clause("sources")
@pytest.mark.parametrize(
    "source", ["a tensor of uint16", "an array of uint16", "a tensor of uint32", "an array of int32"]
)
def test_large_ids_come_through(source):
    ids = [65_535, 50_256, 32_768, 255, 256] if "uint16" in source else [65_536, 100_277, 50_256, 32_768, 2**31 - 1]
    same(items(SlidingWindowDataset(SOURCES[source](ids), 2, 1)), windows(ids, 2, 1), f"token_ids is {source}")


@clause("sources")
def test_a_file_mapped_for_reading_is_read_without_a_warning(tmp_path):
    tokens = mapped(written(tmp_path, [*range(50_000, 50_257)]))
    with every_warning() as heard:
        seen = items(SlidingWindowDataset(tokens, 40, 50))
    same(seen, windows(list(range(50_000, 50_257)), 40, 50), "token_ids is an np.memmap of uint16, opened with mode r")
    assert not heard, f"reading from a mapped file warned: {str(heard[0].message)[:150]}"


@clause("sources")
@pytest.mark.parametrize("source", SOURCES)
def test_reading_an_item_warns_of_nothing(source):
    tokens = SOURCES[source](TEXT)
    with every_warning() as heard:
        inputs, _ = SlidingWindowDataset(tokens, 3, 2)[1]
    assert not heard, f"token_ids is {source}, and reading an item warned: {str(heard[0].message)[:150]}"
    same(inputs.tolist(), [9, 1, 4], f"token_ids is {source}")


@clause("on-demand")
@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("source", [name for name in SOURCES if " of " in name])
def test_what_changes_later_shows(source, read):
    tokens = SOURCES[source](TEXT)
    dataset = SlidingWindowDataset(tokens, 3, 2)
    before = items(dataset) if read else windows(TEXT, 3, 2)
    tokens[4], tokens[7] = 5, 0
    after = items(dataset)
    same(before, windows(TEXT, 3, 2), f"token_ids is {source}")
    because = f"the text, {source}, was changed at 4 and 7 after the dataset was made: was it copied?"
    same(after, windows([7, 3, 9, 1, 5, 8, 2, 0], 3, 2), because)


@clause("on-demand")
def test_what_changes_in_a_mapped_file_shows(tmp_path):
    tokens = mapped(written(tmp_path, TEXT), "r+")
    dataset = SlidingWindowDataset(tokens, 3, 2)
    tokens[4], tokens[7] = 5, 0
    because = "the file was changed at 4 and 7 after the dataset was made: was its content copied?"
    same(items(dataset), windows([7, 3, 9, 1, 5, 8, 2, 0], 3, 2), because)


@clause("on-demand")
@pytest.mark.parametrize("source", ["a tensor of int64", "an array of uint16", "an array of int64"])
def test_making_a_dataset_takes_no_memory(source):
    tokens = SOURCES[source]([5] * 20_000)
    taken, dataset = grown(lambda: SlidingWindowDataset(tokens, 4, 1))
    because = f"making a dataset over {source}, 20 000 tokens, took {taken:,} bytes: windows are made when asked for"
    assert taken < 50_000, because
    same(len(dataset), 19_996, "20 000 tokens, context_length=4, stride=1")


@clause("own")
@pytest.mark.parametrize("source", SOURCES)
def test_changing_an_item_changes_nothing_else(source):
    tokens = SOURCES[source](TEXT)
    dataset = SlidingWindowDataset(tokens, 3, 2)
    inputs, targets = dataset[1]
    inputs.fill_(50)
    same(targets.tolist(), [1, 4, 8], "inputs were overwritten with 50, and these are the targets of the same item")
    targets.fill_(60)
    same(inputs.tolist(), [50, 50, 50], "targets were overwritten with 60, and these are the inputs of the same item")
    same([int(token) for token in tokens], TEXT, f"an item was overwritten, and this is token_ids, {source}")
    same(items(dataset), windows(TEXT, 3, 2), f"item 1 was overwritten and all were read again; token_ids is {source}")


@clause("pickled")
@pytest.mark.parametrize("source", PICKLED)
def test_a_pickled_dataset_gives_the_same_items(source):
    loaded = pickle.loads(pickle.dumps(SlidingWindowDataset(SOURCES[source](TEXT), 3, 2)))
    same(items(loaded), windows(TEXT, 3, 2), f"token_ids is {source}, and the dataset was pickled and loaded")


@clause("pickled")
@pytest.mark.parametrize("offset", [0, 6], ids=["from byte 0 on", "from byte 6 on"])
@pytest.mark.parametrize("part", SLICES | SCATTERED)
def test_a_pickled_dataset_over_a_mapped_file_gives_the_same_items(tmp_path, part, offset):
    tokens = (SLICES | SCATTERED)[part](mapped(written(tmp_path), offset=offset))
    loaded = pickle.loads(pickle.dumps(SlidingWindowDataset(tokens, 4, 397)))
    because = f"token_ids is a file of 10 000 tokens, mapped from byte {offset} on; of this {part}; pickled and loaded"
    same(items(loaded), windows(tokens.tolist(), 4, 397), because)


@clause("pickled")
def test_a_file_is_read_with_its_own_dtype(tmp_path):
    tokens = mapped(written(tmp_path, range(70_000, 70_200), np.int32), dtype=np.int32)
    loaded = pickle.loads(pickle.dumps(SlidingWindowDataset(tokens[9:], 4, 5)))
    same(items(loaded), windows(list(range(70_009, 70_200)), 4, 5), "token_ids is a mapped file of int32, from 9 on")


@clause("pickled")
def test_a_loaded_dataset_can_be_pickled_again(tmp_path):
    dataset = SlidingWindowDataset(mapped(written(tmp_path))[30:], 4, 397)
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(dataset))))
    same(items(again), windows(FILE[30:], 4, 397), "from 30 on of a mapped file, pickled and loaded, twice")


@clause("by-name")
@pytest.mark.parametrize("part", SLICES)
def test_the_tokens_of_a_file_do_not_travel(tmp_path, part):
    tokens = SLICES[part](mapped(written(tmp_path)))
    dataset = SlidingWindowDataset(tokens, 4, 397)
    same(len(dataset), len(windows(tokens, 4, 397)), f"the number of items; token_ids is {part} of a mapped file")
    for times in ("once", "twice"):
        content = pickle.dumps(dataset)
        because = f"token_ids is {part} of a mapped file, {len(tokens)} tokens, and the dataset was pickled {times}"
        assert len(content) < SHORT, f"the pickle takes {len(content):,} bytes, expected less than 2 000: {because}"
        dataset = pickle.loads(content)


@clause("by-name")
def test_a_loaded_dataset_maps_the_file(tmp_path):
    tokens = mapped(written(tmp_path), "r+")
    loaded = pickle.loads(pickle.dumps(SlidingWindowDataset(tokens[100:], 4, 397)))
    tokens[100:104] = [9, 8, 7, 6]
    because = "the file was changed after the dataset was pickled and loaded: was it read into memory?"
    same(plain(loaded[0])[0], [9, 8, 7, 6], because)


@clause("reopened")
@pytest.mark.parametrize("moved", ["before it is pickled", "after it is pickled"])
def test_the_file_is_found_from_another_folder(tmp_path, monkeypatch, moved):
    written(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    dataset = SlidingWindowDataset(mapped("tokens.bin"), 4, 397)
    if moved == "before it is pickled":
        monkeypatch.chdir(tmp_path / "elsewhere")
    content = pickle.dumps(dataset)
    monkeypatch.chdir(tmp_path / "elsewhere")
    because = f"the file was mapped by a relative path, and the working directory changed {moved}"
    same(items(pickle.loads(content)), windows(FILE, 4, 397), because)


@clause("reopened")
@pytest.mark.parametrize("mode", ["r", "r+", "w+", "c"])
def test_the_file_is_opened_for_reading_only(tmp_path, mode):
    path = written(tmp_path)
    tokens = mapped(path, mode, **({"shape": (10_000,)} if mode == "w+" else {}))
    if mode == "w+":
        tokens[:] = FILE
        tokens.flush()
    content = pickle.dumps(SlidingWindowDataset(tokens, 4, 397))
    path.chmod(0o444)
    try:
        seen = items(pickle.loads(content))
    except PermissionError as error:
        pytest.fail(f"the file, which may only be read, was opened for writing: {error}")
    finally:
        path.chmod(0o644)
    same(seen, windows(FILE, 4, 397), f"the file was mapped with mode {mode}; its dataset was pickled and loaded")
    same(np.fromfile(path, dtype=np.uint16).tolist(), FILE, "loading a dataset that was pickled changed its file")


@clause("lengths")
@pytest.mark.parametrize(("name", "value"), LENGTHS)
def test_no_length_is_below_one(name, value):
    sizes = {"context_length": 3, "stride": 2, name: value}
    with refuses(ValueError, name, value):
        SlidingWindowDataset(TEXT, **sizes)


@clause("lengths")
def test_one_is_length_enough():
    same(items(SlidingWindowDataset(TEXT, 1, 1)), windows(TEXT, 1, 1), "context_length=1 and stride=1, with 8 tokens")


@clause("short")
@pytest.mark.parametrize(("n", "context_length"), TOO_SHORT)
@pytest.mark.parametrize("source", ["a list", "a tensor of int64", "an array of uint16"])
def test_a_text_without_a_window_is_refused(source, n, context_length):
    with refuses(ValueError, n, context_length):
        SlidingWindowDataset(SOURCES[source](ids_of(n) if source == "a list" else [5] * n), context_length, 1)


@clause("short")
def test_a_text_of_one_window_is_long_enough():
    same(items(SlidingWindowDataset(TEXT, 7, 9)), [(TEXT[:7], TEXT[1:])], "8 tokens, context_length=7: one window fits")


@clause("axes")
@pytest.mark.parametrize("wrong", AXES)
def test_a_text_has_one_axis(wrong):
    with refuses(ValueError, tuple(AXES[wrong].shape)):
        SlidingWindowDataset(AXES[wrong], 3, 2)


@clause("integers")
@pytest.mark.parametrize("wrong", NUMBERS)
def test_ids_that_are_no_integers_are_refused(wrong):
    token_ids, named = NUMBERS[wrong]
    with refuses(TypeError, named):
        SlidingWindowDataset(token_ids, 3, 2)


@clause("no-ids")
@pytest.mark.parametrize("wrong", NO_IDS)
def test_what_holds_no_ids_in_order_is_refused(wrong):
    make, named = NO_IDS[wrong]
    with refuses(TypeError, named):
        SlidingWindowDataset(make(), 3, 2)


@clause("no-ids")
@pytest.mark.parametrize("text", ["low lower lowest", "", "12 13 14 15"])
def test_a_text_that_was_not_encoded_is_refused(text):
    with refuses(TypeError, "str", "encode"):
        SlidingWindowDataset(text, 3, 2)


@clause("batches")
def test_a_batch_has_a_window_in_each_row():
    loader = create_dataloader(TEXT, batch_size=2, context_length=3, stride=2, shuffle=False)
    inputs, targets = next(iter(loader))
    because = f"the first batch of 2; the text is {TEXT}, context_length=3, stride=2"
    same(inputs.tolist(), [[7, 3, 9], [9, 1, 4]], f"inputs of {because}")
    same(targets.tolist(), [[3, 9, 1], [1, 4, 8]], f"targets of {because}")


@clause("batches")
@given(texts(), st.integers(1, 5))
def test_without_shuffle_the_batches_follow_the_text(case, batch_size):
    n, context_length, stride = case
    ids = ids_of(n)
    loader = create_dataloader(ids, batch_size, context_length, stride, shuffle=False, drop_last=False)
    rows = windows(ids, context_length, stride)
    chunks = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    expected = [tuple(map(list, zip(*chunk, strict=True))) for chunk in chunks]
    because = f"{n} tokens, batch_size={batch_size}, context_length={context_length}, stride={stride}, without shuffle"
    same(batches(loader), expected, because)


@clause("batches")
def test_the_loader_is_that_of_torch_over_the_windows():
    loader = create_dataloader(np.array(TEXT, dtype=np.uint16), 2, 3, 2)
    assert isinstance(loader, DataLoader), f"{type(loader).__name__} came back, expected a torch.utils.data.DataLoader"
    of = type(loader.dataset).__name__
    assert isinstance(loader.dataset, SlidingWindowDataset), f"the loader is over {of}, expected a SlidingWindowDataset"
    seen = [str(part.dtype) for part in next(iter(loader))]
    same(seen, ["torch.int64", "torch.int64"], "the dtypes of the inputs and targets of a batch")


@clause("shuffle")
@pytest.mark.parametrize("more", [{}, {"shuffle": True}], ids=["by default", "asked for"])
def test_an_epoch_has_every_window_once_and_in_another_order(more):
    loader = create_dataloader(range(105), batch_size=5, context_length=4, stride=2, **more)
    first, second = starts(loader), starts(loader)
    in_order = list(range(0, 101, 2))[: len(first)]
    same(len(first), 50, "51 windows in batches of 5 make 10 whole batches")
    same(len(set(first)), 50, "of 50 windows that an epoch gave, so many were different")
    assert first != in_order, "with shuffle the windows came in the order of the text"
    assert first != second, "with shuffle the second epoch had the same order as the first"


@clause("shuffle")
@given(st.integers(0, 99), st.integers(5, 60), st.integers(1, 5))
def test_the_order_is_the_one_that_a_data_loader_draws(seed, n, batch_size):
    theirs = DataLoader(range(n - 4), batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed))
    ours = create_dataloader(range(n), batch_size, 4, 1, drop_last=False, generator=torch.Generator().manual_seed(seed))
    for epoch in (1, 2):
        expected = [place for batch in theirs for place in batch.tolist()]
        because = f"epoch {epoch} of {n - 4} windows; the generator has seed {seed}, batch_size={batch_size}"
        same(starts(ours), expected, because)


@clause("shuffle")
def test_without_a_generator_the_global_random_state_decides():
    orders = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        orders.append(starts(create_dataloader(range(105), 5, 4, 2)))
    same(
        orders[1],
        orders[0],
        "torch.manual_seed(5) before each of two epochs, and no generator: the orders should agree",
    )
    assert orders[2] != orders[0], "torch.manual_seed(5) and torch.manual_seed(6) gave the same order"


@clause("shuffle")
def test_a_generator_alone_decides():
    orders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        orders.append(starts(create_dataloader(range(105), 5, 4, 2, generator=torch.Generator().manual_seed(7))))
    same(orders[1], orders[0], "two generators with seed 7; the global random state differed, and so did the orders")
    assert orders[0] != sorted(orders[0]), "with a generator and the default shuffle the windows came in order"


@clause("last")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("more", "sizes"),
    [({}, [4, 4]), ({"drop_last": True}, [4, 4]), ({"drop_last": False}, [4, 4, 2])],
    ids=["by default", "dropped", "kept"],
)
def test_a_last_batch_that_is_too_small_is_left_out(more, sizes, shuffle):
    loader = create_dataloader(range(14), 4, 4, 1, shuffle=shuffle, **more)
    told = ", ".join(f"{name}={value}" for name, value in more.items()) or "drop_last not given"
    because = f"the number of windows in each batch; 10 windows, batch_size=4, {told}"
    same([len(inputs) for inputs, _ in loader], sizes, because)


@clause("last")
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_last_batch_that_is_full_stays(drop_last):
    loader = create_dataloader(range(16), 4, 4, 1, drop_last=drop_last)
    because = f"the number of windows in each batch; 12 windows, batch_size=4, drop_last={drop_last}"
    same([len(inputs) for inputs, _ in loader], [4, 4, 4], because)


@clause("no-batch")
@pytest.mark.parametrize(("windows_", "batch_size"), [(3, 4), (1, 2), (9, 50)])
@pytest.mark.parametrize("more", [{}, {"drop_last": True, "shuffle": False}], ids=["by default", "in order"])
def test_a_loader_without_a_batch_is_refused(windows_, batch_size, more):
    with refuses(ValueError, windows_, batch_size):
        create_dataloader(list(range(windows_ + 100)), batch_size, 100, 1, **more)


@clause("no-batch")
@pytest.mark.parametrize(("number", "drop_last", "sizes"), [(3, False, [3]), (4, True, [4]), (4, False, [4])])
def test_one_batch_is_enough(number, drop_last, sizes):
    loader = create_dataloader(range(number + 100), 4, 100, 1, drop_last=drop_last)
    because = f"the number of windows in each batch; {number} windows, batch_size=4, drop_last={drop_last}"
    same([len(inputs) for inputs, _ in loader], sizes, because)


@clause("batch-size")
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_has_at_least_one_window(batch_size, drop_last):
    with refuses(ValueError, batch_size):
        create_dataloader(TEXT, batch_size, 3, 2, drop_last=drop_last)


@clause("batch-size")
def test_a_batch_of_one_is_a_batch():
    seen = batches(create_dataloader(TEXT, 1, 3, 2, shuffle=False))
    same(seen, [([inputs], [targets]) for inputs, targets in windows(TEXT, 3, 2)], "batch_size=1")


@clause("workers")
def test_the_number_of_workers_is_handed_on():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of more workers than cores
        seen = {number: create_dataloader(TEXT, 2, 3, 2, num_workers=number).num_workers for number in (0, 1, 2)}
        seen["not given"] = create_dataloader(TEXT, 2, 3, 2).num_workers
    same(seen, {0: 0, 1: 1, 2: 2, "not given": 0}, "num_workers, and the number of workers that the loader has")


@pytest.mark.slow
@clause("workers")
def test_a_spawned_worker_reads_the_file(tmp_path):
    tokens = mapped(written(tmp_path))[100:]
    loader = create_dataloader(tokens, 3, 4, 397, shuffle=False, drop_last=False, num_workers=1)
    expected, over = windows(FILE[100:], 4, 397), "a mapped file of 10 000 tokens, from 100 on"
    same(loader.num_workers, 1, "num_workers=1 was asked for")
    # A worker takes seconds to start: what goes wrong in this process already fails here, and at once.
    dataset, _ = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn)))
    same(items(dataset), expected, f"a dataset over {over}, was pickled, as it is for a worker, and loaded")
    loader.multiprocessing_context = "spawn"
    seen = [row for inputs, targets in batches(loader) for row in zip(inputs, targets, strict=True)]
    same(seen, expected, f"a spawned worker made the batches, over {over}")
