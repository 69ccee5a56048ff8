"""Kata: instructions. The why, a figure and hints: docs/finetuning/instruction.md."""

from collections.abc import Callable, Mapping, Sequence
from typing import SupportsIndex

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset


def format_prompt(entry: Mapping[str, str]) -> str:
    """Put a task into the layout of Alpaca, in which a model is asked, up to where the response is to come.

    The entry has an instruction and may have an input. With the instruction "Name the colour." and the input "grass"
    the prompt is these seven lines, with nothing before and nothing after, not even a line feed:

        Below is an instruction that describes a task. Write a response that appropriately completes the request.

        ### Instruction:
        Name the colour.

        ### Input:
        grass

    Clauses:
        input           With an input, the prompt is that of the example, with the entry's own instruction and input.
        no-input        Where the input is missing or empty, the prompt ends with the instruction.
        verbatim        Both stand in the prompt as they are, white space and line feeds too; an input of white space is
                        an input; other fields of the entry take no part.
        no-instruction  An entry without a str as instruction raises a ValueError that names instruction.

    Source: book section 7.2; Taori et al. 2023.
    """
    asked = entry.get("input")
    heading = f"\n\n### Input:\n{asked}" if asked else ""
    return f"{_PREAMBLE}\n\n### Instruction:\n{_field(entry, 'instruction')}{heading}"


class InstructionDataset(Dataset[tuple[list[int], int]]):
    """Tasks with their answers, as tokens, and how many of these tokens ask and do not answer.

    Each entry has an instruction and an output, the answer, and may have an input. encode turns a text into token ids.
    Behind what format_prompt makes of the entry come an empty line, the heading of the response, and the answer:

        ### Input:
        grass

        ### Response:
        Green.

    The prompt is all of this text up to the answer, so its last character is the line feed behind "### Response:".

    Clauses:
        item           Item i is (token_ids, prompt_length), a list of ints and an int, for entry i. len() is the number
                       of entries.
        prompt-tokens  The first prompt_length of token_ids are what encode gives for the prompt: to the last one what
                       a model will be given when it is asked.
        answer-tokens  The others are what encode gives for output alone, none if it is empty: no token reaches from the
                       prompt into the answer, and no end of text is added.
        index          -1 is the last item. Beyond either end an IndexError is raised, so that a for loop ends.
        once           encode is called for prompt and output of each entry, once, while the dataset is made; it is not
                       called later and not kept: a dataset can be pickled whatever encode is.
        own            The list of an item is its own: a change of it does not show when the item is read again.
        lacking        An entry without a str as instruction or as output raises a ValueError that names its index and
                       the field.

    Source: book section 7.3.
    """

    def __init__(self, entries: Sequence[Mapping[str, str]], encode: Callable[[str], list[int]]) -> None:
        self._items = []
        for index, entry in enumerate(entries):
            try:
                prompt, answer = format_prompt(entry) + _RESPONSE, _field(entry, "output")
            except ValueError as error:
                raise ValueError(f"entry {index}: {error}") from None
            asking, answering = encode(prompt), encode(answer)  # apart, for together a token might belong to both
            self._items.append(([*asking, *answering], len(asking)))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: SupportsIndex) -> tuple[list[int], int]:
        token_ids, prompt_length = self._items[index]
        return list(token_ids), prompt_length


def collate(
    batch: Sequence[list[int] | tuple[list[int], int]],
    pad_id: int,
    ignore_index: int = -100,
    max_length: int | None = None,
    mask_prompt: bool = False,
) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, "batch tokens"]]:
    """Make a batch to learn from of texts that differ in length: what a model reads, and what it should say next.

    Each item of the batch is a list of token ids, or a tuple (token_ids, prompt_length) as InstructionDataset gives it.
    pad_id is the id of the end of text, which is also what fills up. The results are inputs and targets.

    Clauses:
        example        With a pad_id of 0, the items [5, 6, 7] and [8] give the inputs [5, 6, 7], [8, 0, 0] and the
                       targets [6, 7, 0], [0, -100, -100].
        tensors        Both are int64 tensors of shape (batch, tokens), with as many tokens as the longest item has.
        shifted        The target at each token of an item but the last is the token after it.
        end            The target at the last token is pad_id, in every row, so that the end is learned once.
        padding        Behind the last token inputs are pad_id, and targets are ignore_index.
        within         A pad_id among the tokens of an item is a token like any other: its target and it as a target
                       count.
        prompt         With mask_prompt, the targets that are tokens of the prompt, the first prompt_length of an item,
                       are ignore_index: the target at the last token of the prompt is the first of the answer, or
                       pad_id where there is none.
        whole          Without mask_prompt, which is the default, a prompt_length changes nothing.
        max-length     With a max_length, only the first max_length columns of the finished inputs and targets are left,
                       or all if there are not more. Below 1 it raises a ValueError that names it.
        pure           The batch and its items stay as they are.
        pairs          With mask_prompt, an item without a prompt_length raises a ValueError that names its place in the
                       batch, counted from 0, and mask_prompt.
        prompt-length  With mask_prompt, a prompt_length below 0, or above the number of tokens, raises a ValueError
                       that names it and that number.
        nothing        A batch of no items raises a ValueError, and an item of no tokens one that names its place.

    Source: book section 7.3, and exercise 7.2.
    """
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length must be at least 1, not {max_length}")
    texts = [item[0] if isinstance(item, tuple) else item for item in batch]
    longest = max(len(token_ids) for token_ids in texts)  # of no items there is none: a ValueError
    inputs = torch.full((len(batch), longest), pad_id)
    targets = torch.full((len(batch), longest), ignore_index)
    for row, item in enumerate(batch):
        token_ids, tokens = texts[row], len(texts[row])
        if tokens == 0:
            raise ValueError(f"item {row} of the batch has no tokens")
        inputs[row, :tokens] = torch.tensor(token_ids)
        targets[row, :tokens] = torch.tensor([*token_ids[1:], pad_id])
        if mask_prompt:
            if not isinstance(item, tuple):
                raise ValueError(f"item {row} of the batch has no prompt_length, which mask_prompt needs")
            prompt_length = item[1]
            if not 0 <= prompt_length <= tokens:
                raise ValueError(f"a prompt_length of {prompt_length} does not fit {tokens} tokens")
            targets[row, : max(prompt_length - 1, 0)] = ignore_index  # the first token is no target
    return inputs[:, :max_length], targets[:, :max_length]


_PREAMBLE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_RESPONSE = "\n\n### Response:\n"


def _field(entry: Mapping[str, str], name: str) -> str:
    """A field of an entry, which has to be a text."""
    text = entry.get(name)
    if not isinstance(text, str):
        raise ValueError(f"the entry has no text as {name}")
    return text
