"""Instructions, clause by clause. The why: docs/finetuning/instruction.md."""

import copy
import itertools
import pickle
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from katas.finetuning.instruction import InstructionDataset, collate, format_prompt
from tests.support import clause, close, refuses, same

COLOUR = """Below is an instruction that describes a task. Write a response that appropriately completes the request.

### Instruction:
Name the colour.

### Input:
grass"""
RIVER = """Below is an instruction that describes a task. Write a response that appropriately completes the request.

### Instruction:
Name a river."""
HEADING = "\n\n### Response:\n"
ENTRIES = [
    {"instruction": "Name the colour.", "input": "grass", "output": "Green."},
    {"instruction": "Name a river.", "input": "", "output": "The Elbe"},
    {"instruction": "Say nothing", "output": ""},
]
ITEMS = [([5, 6, 7, 8, 9], 3), ([4], 1), ([3, 2, 1], 1)]
LONG = list(range(1, 31))

BATCHES = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=4)


class Encoder:
    """Two letters to an id, from the beginning on, as by a merge: an odd text before another moves all that follows."""

    def __init__(self):
        self.calls = []

    def __call__(self, text):
        self.calls.append(text)
        return encode(text)


def encode(text):
    pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
    return [sum(256**place * ord(letter) for place, letter in enumerate(pair)) for pair in pairs]


def prompt_of(instruction, asked=""):
    """The layout, line by line; asked is the input."""
    lines = [COLOUR.partition("\n")[0], "", "### Instruction:", instruction]
    return "\n".join([*lines, "", "### Input:", asked] if asked else lines)


def texts_of(entry):
    """The prompt, up to the answer, and the answer."""
    return prompt_of(entry["instruction"], entry.get("input", "")) + HEADING, entry["output"]


def by_hand(batch, pad_id, ignore_index=-100):
    """Inputs and targets of lists of ids, place by place."""
    longest = max(len(token_ids) for token_ids in batch)
    inputs, targets = [], []
    for token_ids in batch:
        row = [(token_ids[at] if at < len(token_ids) else pad_id) for at in range(longest)]
        said = [*token_ids[1:], pad_id, *[ignore_index] * longest][:longest]
        inputs.append(row)
        targets.append(said)
    return inputs, targets


def plain(pair):
    return tuple(part.tolist() for part in pair)


def answered(entry):
    """A dataset of one entry, and its only item."""
    return InstructionDataset([entry], encode)[0]


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def prompt(**entry):
        return tried(lambda: kata.format_prompt(entry), "instruction")

    def items(entries=ENTRIES):
        dataset = kata.InstructionDataset(entries, encode)
        return len(dataset), [(type(item[0]).__name__, *item) for item in itertools.islice(dataset, 9)]

    def called():
        encoder = Encoder()
        dataset = kata.InstructionDataset(ENTRIES, encoder)
        first = sorted(encoder.calls)
        items = list(itertools.islice(dataset, 9)), list(itertools.islice(dataset, 9))
        return first, len(encoder.calls), len(items)

    def pickled():
        dataset = kata.InstructionDataset(ENTRIES, lambda text: encode(text))
        return pickle.loads(pickle.dumps(dataset))[1]

    def touched():
        dataset = kata.InstructionDataset(ENTRIES, encode)
        dataset[0][0].append(9)
        return dataset[0]

    def places():
        dataset = kata.InstructionDataset(ENTRIES, encode)
        return [tried(lambda i=i: dataset[i]) for i in (0, 2, -1, -3, 3, -4)]

    def lacking(field, *value):
        entries = [dict(ENTRIES[0]) for _ in range(9)]
        del entries[7][field]
        entries[7] |= dict.fromkeys([field] * len(value), *value)
        return tried(lambda: len(kata.InstructionDataset(entries, encode)), 7, 8, field)

    def batch(items=ITEMS, pad_id=0, **more):
        seen = kata.collate(items, pad_id, **more)
        return [(part, str(part.dtype)) for part in seen]

    def lists(pad_id=0, **more):
        return batch([ids for ids, _ in ITEMS], pad_id, **more)

    def changed(**more):
        items = [([5, 6, 7], 2), ([8], 1)]
        kata.collate(items, 0, **more)
        alone = [[5, 6, 7], [8]]
        kata.collate(alone, 0)
        return items, alone

    def refused(items, *named, **more):
        return tried(lambda: len(kata.collate(items, 0, **more)), *named)

    return {
        "prompt": lambda: prompt(instruction="Name the colour.", input="grass"),
        "prompt without input": lambda: prompt(instruction="Name a river.", input=""),
        "prompt, no field": lambda: prompt(instruction="Name a river."),
        "prompt, white": lambda: [prompt(instruction=" a \n", input=" b\n\n"), prompt(instruction="a", input=" ")],
        "prompt, more": lambda: prompt(instruction="a {b}", input="c", output="d"),
        "prompt, empty": lambda: prompt(instruction=""),
        "no instruction": lambda: [prompt(input="grass"), prompt(instruction=None), prompt(instruction=5)],
        "items": items,
        "items, merged": lambda: items([{"instruction": word, "output": " one\n"} for word in ("odd", "even")]),
        "places": places,
        "called": lambda: (called(), tried(pickled)),
        "touched": touched,
        "lacking": lambda: [lacking(field, *value) for field in ("instruction", "output") for value in ((), (None,))],
        "example": lambda: batch([[5, 6, 7], [8]]),
        "lists": lists,
        "other pad": lambda: [lists(pad_id=50), batch(pad_id=50, mask_prompt=True)],
        "one": lambda: [batch([[4]]), batch([[1, 2, 3]])],
        "ignored otherwise": lambda: [lists(ignore_index=-1), batch(ignore_index=-1, mask_prompt=True)],
        "within": lambda: batch([[0, 5, 0, 0], [0, 0], [3]]),
        "within, other pad": lambda: batch([[9, 5, 9], [7, 9]], pad_id=9, mask_prompt=False),
        "within, masked": lambda: batch([([0, 5, 0, 0, 4], 2), ([0, 0, 3], 1)], mask_prompt=True),
        "masked": lambda: batch(mask_prompt=True),
        "masked to the end": lambda: batch([([5, 6, 7], 3), ([8, 9, 4, 3], 4)], mask_prompt=True),
        "masked, none": lambda: batch([([5, 6, 7], 0), ([8, 9], 0)], mask_prompt=True),
        "pairs, whole": lambda: [batch(), batch(mask_prompt=False)],
        "cut": lambda: [tried(lambda n=n: lists(max_length=n)) for n in (1, 2, 3, 4, 5, 6, 9)],
        "cut, masked": lambda: [tried(lambda n=n: batch(max_length=n, mask_prompt=True)) for n in (1, 2, 3, 4, 5)],
        "cut to nothing": lambda: [refused([[5, 6]], n, max_length=n) for n in (0, -1)],
        "changed": lambda: [changed(), changed(mask_prompt=True)],
        "no pairs": lambda: refused([([5, 6], 1), ([5], 1), [5, 6]], 2, "mask_prompt", mask_prompt=True),
        "prompt lengths": lambda: [
            refused([([5, 6, 7], 2), (LONG, n)], n, 30, mask_prompt=True) for n in (30, 31, 99, -1)
        ],
        "no items": lambda: refused([]),
        "no tokens": lambda: [refused([[5], [6], []], 2), refused([([5], 1), ([], 0)], 1, mask_prompt=True)],
    }


@clause("input")
def test_seven_lines_ask_for_a_colour():
    entry = {"instruction": "Name the colour.", "input": "grass"}
    same(format_prompt(entry), COLOUR, "the prompt of the example, with an input")


@clause("input")
@given(st.text("ab {\n#é漢", max_size=6), st.text("ab {\n#é漢", min_size=1, max_size=6))
def test_instruction_and_input_have_their_places(instruction, asked):
    because = f"the instruction is {instruction!r}, the input {asked!r}"
    same(format_prompt({"instruction": instruction, "input": asked}), prompt_of(instruction, asked), because)


@clause("no-input")
@pytest.mark.parametrize("more", [{}, {"input": ""}], ids=["missing", "empty"])
def test_without_an_input_the_instruction_ends_the_prompt(more):
    seen = format_prompt({"instruction": "Name a river."} | more)
    same(seen, RIVER, "without an input there is no heading for it, and nothing behind the instruction")


@clause("verbatim")
@pytest.mark.parametrize("text", [" two \n", "\n\n", "a {b} %s \\n", "### Input:\nno", "é 漢 👍"])
def test_what_is_asked_stands_there_as_it_is(text):
    seen = format_prompt({"instruction": text, "input": text})
    same(seen, prompt_of(text, text), f"instruction and input are {text!r}: was it stripped, or read as a template?")


@clause("verbatim")
def test_an_input_of_white_space_is_one():
    seen = format_prompt({"instruction": "Count.", "input": " "})
    same(seen, prompt_of("Count.", " "), "the instruction is 'Count.', and the input a single space")


@clause("verbatim")
def test_the_output_is_not_given_away():
    entry = {"instruction": "Name a river.", "input": "", "output": "The Elbe", "source": "a friend"}
    same(format_prompt(entry), RIVER, "the entry has an output and a source too, which are no part of the prompt")


@clause("no-instruction")
@pytest.mark.parametrize("entry", [{}, {"input": "grass", "output": "Green."}, {"instruction": None}])
def test_an_entry_without_an_instruction_is_refused(entry):
    with refuses(ValueError, "instruction"):
        format_prompt(entry)


@clause("item")
def test_an_item_is_a_list_and_a_number():
    dataset = InstructionDataset(ENTRIES, encode)
    same(len(dataset), 3, "three entries")
    for index, entry in enumerate(ENTRIES):
        asking, answering = map(encode, texts_of(entry))
        same(dataset[index], (asking + answering, len(asking)), f"item {index}: tokens, and how many are the prompt")


@clause("prompt-tokens")
def test_the_prompt_ends_with_the_heading_of_the_response():
    token_ids, prompt_length = answered({"instruction": "Name the colour.", "input": "grass", "output": "Green."})
    expected = encode(COLOUR + "\n\n### Response:\n")
    same(token_ids[:prompt_length], expected, "the first prompt_length tokens, against those of the prompt")


@clause("prompt-tokens")
@given(st.text("ab .", max_size=5), st.text("ab ", max_size=4), st.text("ab \n", max_size=4))
def test_the_prompt_is_what_a_model_will_be_given(instruction, asked, output):
    entry = {"instruction": instruction, "input": asked, "output": output}
    token_ids, prompt_length = answered(entry)
    because = f"entry {entry}: the first prompt_length ids, which has to be counted in tokens and not in letters"
    same(token_ids[:prompt_length], encode(texts_of(entry)[0]), because)


@clause("answer-tokens")
@pytest.mark.parametrize("instruction", ["odd", "even"])
@pytest.mark.parametrize("output", ["Green.", "Red", "\n", ""])
def test_no_token_reaches_from_the_prompt_into_the_answer(instruction, output):
    token_ids, prompt_length = answered({"instruction": instruction, "output": output})
    because = f"the answer is {output!r}, encoded alone; two letters are a token, and a text as a whole may pair others"
    same(token_ids[prompt_length:], encode(output), because)


@clause("index")
def test_minus_one_is_the_last_item():
    dataset = InstructionDataset(ENTRIES, encode)
    same(dataset[-1], dataset[2], "item -1 of three, against item 2")
    same(dataset[-3], dataset[0], "item -3 of three, against item 0")
    assert dataset[0] != dataset[2], "items 0 and 2 are alike, though their entries are not"


@clause("index")
@pytest.mark.parametrize("index", [3, 9, -4])
def test_beyond_either_end_is_nothing(index):
    with refuses(IndexError):
        InstructionDataset(ENTRIES, encode)[index]


@clause("index")
def test_a_for_loop_ends():
    seen = [len(token_ids) for token_ids, _ in itertools.islice(InstructionDataset(ENTRIES, encode), 20)]
    same(len(seen), 3, "items in a for loop over a dataset of three entries")


@clause("once")
def test_prompt_and_answer_are_encoded_once_and_never_again():
    encoder, entries = Encoder(), ENTRIES[:2]
    dataset = InstructionDataset(entries, encoder)
    expected = [text for entry in entries for text in texts_of(entry)]
    same(sorted(encoder.calls), sorted(expected), "what encode was called with: a prompt and an answer for each entry")
    seen = [dataset[index] for index in (0, 1, 0, 1)]
    same(len(encoder.calls), len(expected), "calls of encode once all items were read twice: items are looked up")
    same(seen[:2], seen[2:], "items that were read twice")


@clause("once")
def test_a_dataset_travels_without_its_encoder():
    dataset = InstructionDataset(ENTRIES, lambda text: encode(text))
    try:
        loaded = pickle.loads(pickle.dumps(dataset))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        pytest.fail(f"a lambda for encode, and the dataset cannot be pickled for a worker: {str(error)[:80]}")
    same(loaded[0][0][-3:], encode("Green."), "the answer in item 0 of a dataset that was pickled and loaded")


@clause("own")
def test_a_change_of_an_item_stays_in_it():
    dataset = InstructionDataset(ENTRIES, encode)
    token_ids, _ = dataset[0]
    before = list(token_ids)
    token_ids.append(9)
    same(dataset[0][0], before, "item 0, read again after somebody appended 9 to its list")


@clause("lacking")
@pytest.mark.parametrize("value", [[], [None], [5]], ids=["missing", "None", "a number"])
@pytest.mark.parametrize("field", ["instruction", "output"])
def test_an_entry_without_a_field_is_named(field, value):
    entries = [dict(ENTRIES[0]) for _ in range(20)]
    del entries[17][field]
    entries[17] |= dict.fromkeys([field] * len(value), *value)
    with refuses(ValueError, 17, field):
        InstructionDataset(entries, encode)


@clause("example")
def test_three_tokens_and_one_make_a_batch():
    inputs, targets = collate([[5, 6, 7], [8]], 0)
    close(inputs, torch.tensor([[5, 6, 7], [8, 0, 0]]), "the inputs of [5, 6, 7] and [8], with a pad_id of 0")
    close(targets, torch.tensor([[6, 7, 0], [0, -100, -100]]), "the targets of [5, 6, 7] and [8], with a pad_id of 0")


@clause("tensors")
@given(BATCHES)
def test_there_are_as_many_columns_as_the_longest_item_has_tokens(batch):
    shape = (len(batch), max(len(token_ids) for token_ids in batch))
    for name, part in zip(("inputs", "targets"), collate(batch, 9), strict=True):
        told = f"items of {[len(token_ids) for token_ids in batch]} tokens"
        same((tuple(part.shape), part.dtype), (shape, torch.int64), f"shape and dtype of the {name}, of {told}")


@clause("tensors")
def test_a_data_loader_takes_it():
    entries = [ENTRIES[0], ENTRIES[1] | {"output": "The Nile"}]
    loader = DataLoader(InstructionDataset(entries, encode), 2, collate_fn=partial(collate, pad_id=7, mask_prompt=True))
    inputs, targets = next(iter(loader))
    expected = encode(COLOUR + HEADING) + encode("Green.")
    same(inputs[0].tolist(), expected, "row 0 of the inputs that a DataLoader makes of two entries")
    same(targets[1][targets[1] != -100].tolist(), [*encode("The Nile"), 7], "the targets of row 1 that count")


@clause("shifted")
@given(BATCHES)
def test_each_token_is_to_say_the_next(batch):
    inputs, targets = collate(batch, 9)
    for row, token_ids in enumerate(batch):
        tokens = len(token_ids)
        same(inputs[row].tolist()[:tokens], token_ids, f"row {row} of the inputs, as far as the item {token_ids} goes")
        seen = targets[row].tolist()[: tokens - 1]
        same(seen, token_ids[1:], f"row {row} of the targets, for the item {token_ids}: each token is to say the next")


@clause("end")
@pytest.mark.parametrize("pad_id", [0, 50_256])
def test_the_last_token_is_to_say_the_end(pad_id):
    _, targets = collate([[5, 6, 7], [8], [4, 3], [1, 2, 9]], pad_id)
    seen = [targets[row, column].item() for row, column in enumerate((2, 0, 1, 2))]
    same(seen, [pad_id] * 4, "the targets at the last tokens of four items, the longest too: the end is to be learned")
    same((targets == pad_id).sum().item(), 4, "ends that are learned in the whole batch, one for each of four items")


@clause("padding")
@pytest.mark.parametrize(("pad_id", "ignore_index"), [(0, -100), (50_256, -100), (7, -1), (7, 99)])
def test_behind_the_end_nothing_is_learned(pad_id, ignore_index):
    batch = [[5, 6, 1, 8], [8], [4, 3]]
    inputs, targets = collate(batch, pad_id, ignore_index)
    because = f"items of 4, 1 and 2 tokens, with a pad_id of {pad_id} and an ignore_index of {ignore_index}"
    same(inputs[1:].tolist(), [[8, *[pad_id] * 3], [4, 3, pad_id, pad_id]], f"inputs 1 and 2: {because}")
    ignored = [[pad_id, *[ignore_index] * 3], [3, pad_id, ignore_index, ignore_index]]
    same(targets[1:].tolist(), ignored, f"targets 1 and 2: {because}")


@clause("padding")
def test_by_default_it_is_minus_one_hundred():
    _, targets = collate([[5, 6], [8]], 3)
    same(targets.tolist(), [[6, 3], [3, -100]], "the targets of [5, 6] and [8], with a pad_id of 3")


@clause("within")
@given(BATCHES, st.integers(0, 5))
def test_a_pad_id_in_a_text_is_a_token(batch, pad_id):
    expected = by_hand(batch, pad_id)
    because = f"the batch is {batch}, and its pad_id, {pad_id}, may be in it: where padding begins, the length tells"
    same(plain(collate(batch, pad_id)), expected, because)


@clause("prompt")
def test_the_answer_is_learned_from_the_last_token_of_the_prompt_on():
    inputs, targets = collate(ITEMS, 0, mask_prompt=True)
    close(targets, torch.tensor([[-100, -100, 8, 9, 0], [0, *[-100] * 4], [2, 1, 0, -100, -100]]), f"of {ITEMS}")
    close(inputs, torch.tensor([[5, 6, 7, 8, 9], [4, 0, 0, 0, 0], [3, 2, 1, 0, 0]]), "the inputs show the whole prompt")


@clause("prompt")
@given(BATCHES, st.data())
def test_what_counts_is_the_answer_and_its_end(batch, data):
    items = [(ids, data.draw(st.integers(0, len(ids)), label="prompt_length")) for ids in batch]
    ignore_index = data.draw(st.sampled_from([-100, -1]), label="ignore_index")
    inputs, targets = collate(items, 9, ignore_index, mask_prompt=True)
    for row, (token_ids, prompt_length) in enumerate(items):
        counted = [target for target in targets[row].tolist() if target != ignore_index]
        expected = [*token_ids[max(prompt_length, 1) :], 9]
        same(counted, expected, f"the targets that count for {token_ids}, of which {prompt_length} are the prompt")
    same(inputs.tolist(), by_hand(batch, 9)[0], "the inputs, in which nothing is hidden")


@clause("whole")
@given(BATCHES, st.data())
def test_unless_asked_for_the_prompt_is_learned_too(batch, data):
    items = [(ids, data.draw(st.integers(0, len(ids)), label="prompt_length")) for ids in batch]
    expected = by_hand(batch, 9)
    same(plain(collate(items, 9)), expected, f"pairs {items}, without mask_prompt")
    same(plain(collate(items, 9, mask_prompt=False)), expected, f"pairs {items}, with mask_prompt=False")


@clause("max-length")
@pytest.mark.parametrize("max_length", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("mask_prompt", [False, True])
def test_what_is_finished_is_cut(max_length, mask_prompt):
    targets = [[6, 7, 8, 9, 0], [0, -100, -100, -100, -100], [2, 1, 0, -100, -100]]
    if mask_prompt:
        targets[0][:2] = [-100, -100]
    seen = plain(collate(ITEMS, 0, max_length=max_length, mask_prompt=mask_prompt))
    inputs = [[5, 6, 7, 8, 9], [4, 0, 0, 0, 0], [3, 2, 1, 0, 0]]
    expected = tuple([row[:max_length] for row in part] for part in (inputs, targets))
    same(
        seen,
        expected,
        f"{ITEMS} with a max_length of {max_length}: first they are shifted, and then they are cut",
    )


@clause("max-length")
@pytest.mark.parametrize("max_length", [0, -1])
def test_a_max_length_of_nothing_is_refused(max_length):
    with refuses(ValueError, max_length):
        collate([[5, 6], [7]], 0, max_length=max_length)


@clause("pure")
@pytest.mark.parametrize("mask_prompt", [False, True])
def test_the_items_stay_as_they_are(mask_prompt):
    items = copy.deepcopy(ITEMS)
    inputs, _ = collate(items, 0, mask_prompt=mask_prompt)
    same(items, ITEMS, "the items after the call: a dataset that keeps its lists would hand out padding from now on")
    same(inputs[0].tolist(), ITEMS[0][0], "row 0 of the inputs")


@clause("pure")
def test_lists_stay_as_they_are():
    batch = [[5, 6, 7], [8]]
    inputs, _ = collate(batch, 0)
    same(batch, [[5, 6, 7], [8]], "the lists after the call: were they filled up in place?")
    same(inputs[1].tolist(), [8, 0, 0], "row 1 of the inputs")


@clause("pairs")
def test_a_prompt_of_unknown_length_cannot_be_masked():
    batch = [([5, 6], 1)] * 17 + [[5, 6]]
    with refuses(ValueError, 17, "mask_prompt"):
        collate(batch, 0, mask_prompt=True)


@clause("prompt-length")
@pytest.mark.parametrize("prompt_length", [31, 99, -1, -30])
def test_a_prompt_longer_than_its_text_is_refused(prompt_length):
    with refuses(ValueError, prompt_length, 30):
        collate([([5, 6, 7], 2), (LONG, prompt_length)], 0, mask_prompt=True)


@clause("nothing")
def test_no_items_are_refused():
    with refuses(ValueError):
        collate([], 0)


@clause("nothing")
@pytest.mark.parametrize("mask_prompt", [False, True])
def test_an_item_of_no_tokens_is_refused(mask_prompt):
    batch = [([5, 6], 1)] * 17 + [([], 0)]
    with refuses(ValueError, 17):
        collate(batch, 0, mask_prompt=mask_prompt)
