"""Kata: instructions. The why, a figure and hints: docs/finetuning/instruction.md."""

from collections.abc import Callable, Mapping, Sequence
from typing import SupportsIndex

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset


def format_prompt(entry: Mapping[str, str]) -> str:
    """Put a task into Alpaca's layout, up to where the response begins.

    With the instruction "Name the colour." and the input "grass" the prompt is these seven lines, with no line feed at
    the end:

        Below is an instruction that describes a task. Write a response that appropriately completes the request.

        ### Instruction:
        Name the colour.

        ### Input:
        grass

    Clauses:
        prompt         An entry with an instruction and an input becomes the prompt of the example, with its own texts.
        no-input       If the input is empty, the prompt ends with the instruction.

    Further clauses:
        missing-input  An entry without the key input is formatted like one whose input is empty.
        verbatim       Instruction and input stand in the prompt as they are, white space included.

    Source: book section 7.2; Taori et al. 2023.
    """
    task = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    prompt = f"{task}\n\n### Instruction:\n{entry['instruction']}"
    if entry.get("input"):
        prompt += f"\n\n### Input:\n{entry['input']}"
    return prompt


class InstructionDataset(Dataset[tuple[list[int], int]]):
    """Tasks with their answers as token ids, and how many of these ids belong to the prompt.

    Each entry has an instruction, maybe an input, and an output, which is the answer. encode turns a text into a list
    of ids. The text of an entry is format_prompt(entry), an empty line, the heading "### Response:", a line feed, and
    the output.

    Clauses:
        item           Item i is the tuple (token_ids, prompt_length) of entry i, and len() is the number of entries.
        tokens         token_ids are the ids of the entry's text, and no id for the end.
        prompt-length  prompt_length is the number of ids before the output, those of the response heading included.

    Further clauses:
        separate       Prompt, with the response heading, and output are encoded separately, so that no token has parts
                       of both.
        encode-once    encode is called when the dataset is made, and not when an item is read.
        lacking        An entry without a str as instruction or output raises a ValueError with its index and the field.

    Source: book section 7.3.
    """

    def __init__(self, entries: Sequence[Mapping[str, str]], encode: Callable[[str], list[int]]) -> None:
        self._items = []
        for index, entry in enumerate(entries):
            for field in ("instruction", "output"):
                if not isinstance(entry.get(field), str):
                    raise ValueError(f"entry {index} has no text as {field}")
            prompt = encode(f"{format_prompt(entry)}\n\n### Response:\n")
            answer = encode(entry["output"])
            self._items.append((prompt + answer, len(prompt)))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: SupportsIndex) -> tuple[list[int], int]:
        return self._items[index]


def collate(
    batch: Sequence[list[int] | tuple[list[int], int]],
    pad_id: int,
    ignore_index: int = -100,
    max_length: int | None = None,
    mask_prompt: bool = False,
) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, "batch tokens"]]:
    """Make inputs and targets, two int64 tensors (batch, tokens), of texts that differ in length.

    Each item of the batch is a list of token ids, or a tuple (token_ids, prompt_length). There are as many columns as
    the longest item has tokens. pad_id is the id of the end of text, which also fills up the inputs.

    Clauses:
        example        With a pad_id of 0, the items [5, 6, 7] and [8] give the inputs [5, 6, 7], [8, 0, 0] and the
                       targets [6, 7, 0], [0, -100, -100].
        shifted        The target at each token but the last of an item is the token after it.
        end            The target at the last token of every item is pad_id, so that the end is learned.
        padding        After the last token of an item, inputs are pad_id and targets are ignore_index.
        mask-prompt    With mask_prompt, targets that are tokens of the prompt are ignore_index. The first target that
                       counts is the first token of the answer.

    Further clauses:
        pad-in-text    A pad_id among the tokens of an item is a token like any other.
        max-length     With a max_length, only its first max_length columns are left of the finished inputs and targets.
        unchanged      The batch and its lists are not changed.
        no-prompt      With mask_prompt, a prompt_length of 0 masks nothing.
        no-length      With mask_prompt, an item without a prompt_length raises a ValueError with its place, from 0.
        length-range   With mask_prompt, a prompt_length below 0 or above the number of tokens raises a ValueError with
                       both numbers.
        empty          A batch without items raises a ValueError. An item without tokens raises one with its place.

    Source: book section 7.3, and exercise 7.2.
    """
    items = [item if isinstance(item, tuple) else (item, None) for item in batch]
    for place, (token_ids, prompt_length) in enumerate(items):
        if not token_ids:
            raise ValueError(f"item {place} of the batch has no tokens")
        if mask_prompt:
            if prompt_length is None:
                raise ValueError(f"item {place} of the batch has no prompt_length, which mask_prompt needs")
            if not 0 <= prompt_length <= len(token_ids):
                raise ValueError(f"a prompt_length of {prompt_length} does not fit {len(token_ids)} tokens")

    longest = max(len(token_ids) for token_ids, _ in items)  # a ValueError if there are no items
    inputs = torch.full((len(items), longest), pad_id)
    targets = torch.full((len(items), longest), ignore_index)
    for row, (token_ids, prompt_length) in enumerate(items):
        inputs[row, : len(token_ids)] = torch.tensor(token_ids)
        targets[row, : len(token_ids)] = torch.tensor([*token_ids[1:], pad_id])
        if mask_prompt and prompt_length:
            targets[row, : prompt_length - 1] = ignore_index  # the first token of the prompt is no target
    return inputs[:, :max_length], targets[:, :max_length]
