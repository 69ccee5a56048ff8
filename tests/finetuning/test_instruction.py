"""Instructions, clause by clause. The why: docs/finetuning/instruction.md."""

import copy
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
    {"instruction": "Say it in more words", "input": "", "output": "I say it, here and now"},
]
ITEMS = [([5, 6, 7, 8, 9], 3), ([4], 1), ([3, 2, 1], 1)]
BATCHES = st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=6), min_size=1, max_size=4)


def words(text):
    """An encoding of words, line feeds and signs: none of them reaches from a prompt into an answer."""
    return [sum(map(ord, piece)) for piece in re.findall(r"\w+|\W", text)]


def pairs(text):
    """An encoding of two letters to an id: what comes first decides how the rest is cut."""
    return [256 * ord(text[at]) + ord(text[at + 1 : at + 2] or "\0") for at in range(0, len(text), 2)]


def prompt_of(instruction, asked=""):
    """The layout, line by line; asked is the input."""
    lines = [COLOUR.partition("\n")[0], "", "### Instruction:", instruction]
    return "\n".join([*lines, "", "### Input:", asked] if asked else lines)


def texts_of(entry):
    """The prompt, up to the answer, and the answer."""
    return prompt_of(entry["instruction"], entry["input"]) + HEADING, entry["output"]


def by_hand(batch, pad_id, ignore_index=-100):
    """Inputs and targets of lists of ids."""
    longest = max(map(len, batch))
    inputs = [[*ids, *[pad_id] * longest][:longest] for ids in batch]
    return inputs, [[*ids[1:], pad_id, *[ignore_index] * longest][:longest] for ids in batch]


def collated(batch, *arguments, **more):
    """What collate makes of a copy: a batch that is changed is one clause's matter."""
    return collate(copy.deepcopy(batch), *arguments, **more)


def plain(results):
    return tuple(part.tolist() for part in results)


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def item(entry=0, encode=words):
        return kata.InstructionDataset(ENTRIES, encode)[entry]

    def tail(entry, encode):
        token_ids, prompt_length = item(entry, encode)
        return token_ids[prompt_length:]

    def calls():
        seen = []
        dataset = kata.InstructionDataset(ENTRIES, lambda text: seen.append(text) or words(text))
        before = len(seen)
        _ = dataset[0], dataset[1]
        return len(seen) - before

    def batch(items=tuple(ids for ids, _ in ITEMS), pad_id=0, part=1, **more):
        return kata.collate(copy.deepcopy(list(items)), pad_id, **more)[part]

    def masked(items=ITEMS, part=1, **more):
        return batch(items, part=part, mask_prompt=True, **more)

    def changed():
        items = copy.deepcopy(ITEMS)
        kata.collate(items, 0, mask_prompt=True)
        return items

    def refused(call, *named):
        """What came, or which error, and which values it names."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def lacking(field):
        entries = [*ENTRIES, {name: text for name, text in ENTRIES[0].items() if name != field}]
        return refused(lambda: len(kata.InstructionDataset(entries, words)), 3, field)

    return {
        "prompt": lambda: kata.format_prompt(ENTRIES[0]),
        "prompt, no input": lambda: kata.format_prompt(ENTRIES[1]),
        "prompt, no key": lambda: refused(lambda: kata.format_prompt({"instruction": "Name a river."})),
        "prompts with white space": lambda: [
            kata.format_prompt({"instruction": " a \n", "input": text}) for text in (" b\n", " ")
        ],
        "type of an item": lambda: type(item()).__name__,
        "length of a dataset": lambda: len(kata.InstructionDataset(ENTRIES, words)),
        "token_ids": lambda: item()[0],
        "prompt_length": lambda: item()[1],
        "prompt_length, no input": lambda: item(1)[1],
        "token_ids, pairs": lambda: item(1, pairs)[0],
        "answer, pairs": lambda: tail(1, pairs),
        "answer of another, pairs": lambda: tail(2, pairs),
        "calls": calls,
        "no instruction": lambda: lacking("instruction"),
        "no output": lambda: lacking("output"),
        "inputs": lambda: batch(part=0),
        "targets": batch,
        "targets, another pad_id": lambda: batch(pad_id=50),
        "inputs, another pad_id": lambda: batch(pad_id=50, part=0),
        "targets, another ignore_index": lambda: batch(ignore_index=-1),
        "inputs of one": lambda: batch([[1, 2, 3]], part=0),
        "targets of one": lambda: batch([[1, 2, 3]]),
        "targets of tuples": lambda: batch(ITEMS),
        "masked": masked,
        "masked inputs": lambda: masked(part=0),
        "masked, no prompt": lambda: masked([([5, 6, 7], 0), ([8, 9], 0)]),
        "masked, no answer": lambda: masked([([5, 6, 7], 3), ([8, 9, 4, 3], 4)]),
        "masked, another ignore_index": lambda: masked(ignore_index=-1),
        "pad_id in a text": lambda: batch([[0, 5, 0, 0], [0, 0], [3]]),
        "pad_id in an answer": lambda: masked([([2, 5, 0, 0, 4], 2), ([3, 3, 1], 1)]),
        "inputs, max_length": lambda: batch(part=0, max_length=2),
        "targets, max_length": lambda: batch(max_length=2),
        "targets, large max_length": lambda: batch(max_length=9),
        "items afterwards": changed,
        "no prompt_length": lambda: refused(lambda: len(masked([([5, 6], 1), [5, 6]])), 1),
        "large prompt_length": lambda: refused(lambda: len(masked([([5, 6, 7], 31)])), 31, 3),
        "negative prompt_length": lambda: refused(lambda: len(masked([([5, 6, 7], -1)])), -1, 3),
        "no items": lambda: refused(lambda: len(batch([]))),
        "no tokens": lambda: refused(lambda: len(batch([[5], [6], []])), 2),
    }


@clause("prompt")
def test_seven_lines_ask_for_a_colour():
    same(format_prompt(ENTRIES[0]), COLOUR, "the prompt of the example, with an input")


@clause("prompt")
def test_instruction_and_input_have_their_places():
    entry = {"instruction": "Add.", "input": "1 and 2", "output": "3"}
    same(format_prompt(entry), prompt_of("Add.", "1 and 2"), f"the prompt of {entry}")


@clause("no-input")
def test_without_an_input_the_instruction_ends_the_prompt():
    same(format_prompt(ENTRIES[1]), RIVER, "the input is empty, so there is no heading for it and nothing follows")


@clause("item")
def test_an_item_is_a_list_and_a_number():
    dataset = InstructionDataset(ENTRIES, words)
    same(len(dataset), 3, "len() of a dataset of three entries")
    for index in range(3):
        types = [type(part).__name__ for part in dataset[index]]
        same(types, ["list", "int"], f"the types in item {index}, which should be (token_ids, prompt_length)")


@clause("tokens")
@pytest.mark.parametrize("index", [0, 1])
def test_the_ids_are_those_of_the_whole_text(index):
    token_ids, _ = InstructionDataset(ENTRIES, words)[index]
    same(token_ids, words("".join(texts_of(ENTRIES[index]))), f"token_ids of item {index}, in an encoding of words")


@clause("prompt-length")
@pytest.mark.parametrize("index", [0, 1])
def test_the_prompt_ends_with_the_response_heading(index):
    _, prompt_length = InstructionDataset(ENTRIES, words)[index]
    expected = len(words(texts_of(ENTRIES[index])[0]))
    same(prompt_length, expected, f"prompt_length of item {index}: tokens up to and with '### Response:' and line feed")


@clause("prompt-length")
def test_an_answer_that_quotes_the_heading_is_still_an_answer():
    entry = {"instruction": "Show the heading.", "input": "", "output": f"Here it is.{HEADING}Done."}
    _, prompt_length = InstructionDataset([entry], words)[0]
    same(
        prompt_length, len(words(texts_of(entry)[0])), "prompt_length, where the output has '### Response:' in it, too"
    )


@clause("example")
def test_three_tokens_and_one_make_a_batch():
    inputs, targets = collated([[5, 6, 7], [8]], 0)
    close(inputs, torch.tensor([[5, 6, 7], [8, 0, 0]]), "the inputs of [5, 6, 7] and [8], with a pad_id of 0")
    close(targets, torch.tensor([[6, 7, 0], [0, -100, -100]]), "the targets of [5, 6, 7] and [8], with a pad_id of 0")


@clause("shifted")
@given(BATCHES)
def test_each_token_predicts_the_next(batch):
    inputs, targets = plain(collated(batch, 9))
    for row, token_ids in enumerate(batch):
        same(inputs[row][: len(token_ids)], token_ids, f"row {row} of the inputs, as far as its item goes: {batch}")
        seen = targets[row][: len(token_ids) - 1]
        same(seen, token_ids[1:], f"row {row} of the targets, all but the last of the item {token_ids}")


@clause("end")
@pytest.mark.parametrize("pad_id", [0, 50_256])
def test_the_last_token_predicts_the_end(pad_id):
    _, targets = collated([[5, 6, 7], [8], [4, 3], [1, 2, 9]], pad_id)
    seen = [targets[row, column].item() for row, column in enumerate((2, 0, 1, 2))]
    same(seen, [pad_id] * 4, f"the targets at the last tokens of four items, the longest too; pad_id is {pad_id}")


@clause("padding")
@pytest.mark.parametrize(("pad_id", "ignore_index"), [(0, -100), (50_256, -100), (7, -1)])
def test_after_the_end_nothing_is_learned(pad_id, ignore_index):
    more = {} if ignore_index == -100 else {"ignore_index": ignore_index}
    inputs, targets = plain(collated([[5, 6, 1, 8], [9], [4, 3]], pad_id, **more))
    because = f"in a batch of 4, 1 and 2 tokens, pad_id={pad_id}, ignore_index={ignore_index}"
    same([inputs[1][1:], inputs[2][2:]], [[pad_id] * 3, [pad_id] * 2], f"inputs after the last token, {because}")
    expected = [[ignore_index] * 3, [ignore_index] * 2]
    same([targets[1][1:], targets[2][2:]], expected, f"targets after the last token, {because}")


@clause("mask-prompt")
def test_the_first_target_that_counts_is_the_first_of_the_answer():
    inputs, targets = collated([([5, 6, 7, 8, 9], 3), ([4, 2], 1)], 0, mask_prompt=True)
    because = "5, 6, 7 and 4 are prompts, the answers are 8, 9 and 2, and pad_id is 0"
    close(targets, torch.tensor([[-100, -100, 8, 9, 0], [2, 0, -100, -100, -100]]), f"the targets: {because}")
    close(inputs, torch.tensor([[5, 6, 7, 8, 9], [4, 2, 0, 0, 0]]), f"the inputs, which show the prompt: {because}")


@clause("mask-prompt")
@given(BATCHES, st.data())
def test_what_counts_is_the_answer_and_its_end(batch, data):
    items = [(ids, data.draw(st.integers(1, len(ids)), label="prompt_length")) for ids in batch]
    ignore_index = data.draw(st.sampled_from([-100, -1]), label="ignore_index")
    _, targets = collated(items, 9, ignore_index, mask_prompt=True)
    for row, (token_ids, prompt_length) in enumerate(items):
        seen = [target for target in targets[row].tolist() if target != ignore_index]
        told = f"the targets that count for {token_ids}, of which {prompt_length} are the prompt"
        same(seen, [*token_ids[prompt_length:], 9], told)


@clause("mask-prompt")
def test_without_mask_prompt_the_prompt_counts():
    same(plain(collated(ITEMS, 0)), by_hand([ids for ids, _ in ITEMS], 0), f"the batch {ITEMS}, without mask_prompt")


@clause("missing-input")
def test_an_input_may_be_missing():
    same(format_prompt({"instruction": "Name a river."}), RIVER, "the entry has no key input")


@clause("verbatim")
@pytest.mark.parametrize("text", [" two \n", " ", "a {b} %s \\n", "### Input:\nno"])
def test_what_is_asked_stands_there_as_it_is(text):
    seen = format_prompt({"instruction": text, "input": text})
    same(seen, prompt_of(text, text), f"instruction and input are {text!r}, and should not be stripped or formatted")


@clause("separate")
@pytest.mark.parametrize("index", [0, 1, 2])
def test_no_token_has_parts_of_prompt_and_answer(index):
    token_ids, prompt_length = InstructionDataset(ENTRIES, pairs)[index]
    asking, answer = map(pairs, texts_of(ENTRIES[index]))
    because = f"item {index}, with an encoding in which each two letters are a token"
    same(
        token_ids[prompt_length:], answer, f"the ids after prompt_length; expected are those of output alone: {because}"
    )
    same(token_ids[:prompt_length], asking, f"the first prompt_length ids; expected are those of the prompt: {because}")


@clause("encode-once")
def test_reading_an_item_encodes_nothing():
    calls = []
    dataset = InstructionDataset(ENTRIES, lambda text: calls.append(text) or words(text))
    made = len(calls)
    _ = [dataset[index] for index in (0, 1, 0, 1)]
    same(len(calls) - made, 0, "calls of encode while items were read")


@clause("lacking")
@pytest.mark.parametrize("value", [[], [None]], ids=["missing", "None"])
@pytest.mark.parametrize("field", ["instruction", "output"])
def test_an_entry_without_a_field_is_named(field, value):
    entries = [dict(ENTRIES[0]) for _ in range(20)]
    del entries[17][field]
    entries[17] |= dict.fromkeys([field] * len(value), *value)
    with refuses(ValueError, 17, field):
        InstructionDataset(entries, words)


@clause("pad-in-text")
@given(BATCHES, st.integers(1, 8))
def test_a_pad_id_in_a_text_is_a_token(batch, pad_id):
    because = f"the batch {batch} may have its pad_id, {pad_id}, inside; where padding begins, the length tells"
    same(plain(collated(batch, pad_id)), by_hand(batch, pad_id), because)


@clause("max-length")
@pytest.mark.parametrize("max_length", [1, 3, 5, 9])
def test_the_finished_columns_are_cut(max_length):
    batch = [ids for ids, _ in ITEMS]
    expected = tuple([row[:max_length] for row in part] for part in by_hand(batch, 0))
    because = f"the batch {batch} with max_length={max_length}: first it is shifted, and then it is cut"
    same(plain(collated(batch, 0, max_length=max_length)), expected, because)


@clause("unchanged")
@pytest.mark.parametrize("items", [ITEMS, [ids for ids, _ in ITEMS]], ids=["tuples", "lists"])
def test_the_items_stay_as_they_are(items):
    batch = copy.deepcopy(items)
    collate(batch, 0)
    same(batch, items, "the items after the call: were their lists filled up in place?")


@clause("no-prompt")
def test_a_prompt_of_no_tokens_masks_nothing():
    _, targets = collated([([5, 6, 7], 0), ([8], 0)], 0, mask_prompt=True)
    because = "the targets of [5, 6, 7] and [8] with prompt_length 0 and pad_id 0"
    close(targets, torch.tensor([[6, 7, 0], [0, -100, -100]]), because)


@clause("no-length")
def test_a_prompt_of_unknown_length_is_refused():
    with refuses(ValueError, 17):
        collated([([5, 6], 1)] * 17 + [[5, 6]], 0, mask_prompt=True)


@clause("length-range")
@pytest.mark.parametrize("prompt_length", [31, -1])
def test_a_prompt_length_that_does_not_fit_is_refused(prompt_length):
    with refuses(ValueError, prompt_length, 30):
        collated([([5, 6, 7], 2), ([7] * 30, prompt_length)], 0, mask_prompt=True)


@clause("empty")
def test_no_items_are_refused():
    with refuses(ValueError):
        collated([], 0)


@clause("empty")
def test_an_item_of_no_tokens_is_refused():
    with refuses(ValueError, 17):
        collated([[5, 6]] * 17 + [[]], 0)
