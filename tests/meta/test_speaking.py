"""How a model speaks: whole characters only, words after a space, and the end of a text."""

import pytest
import torch
from torch import nn

from dojo.train.ingredients import END_OF_TEXT
from dojo.train.narrating import sample_lines
from dojo.train.speaking import Speaker, first_words

SIZES = {"context_length": 100, "vocab_size": 258}


class Bytes:
    """A tokenizer whose tokens are the 256 bytes, one word with a space before it, and the end of a text."""

    WORD, END = 256, 257

    def encode(self, text):
        return [self.END] if text == END_OF_TEXT else list(text.encode())

    def decode(self, ids):
        known = {self.WORD: b" word", self.END: END_OF_TEXT.encode()}
        return b"".join(known.get(one) or bytes([one]) for one in ids).decode(errors="replace")


class Parrot(nn.Module):
    """A model that says a given list of ids, whatever it reads, and after that the end of the text."""

    def __init__(self, ids, begun):
        super().__init__()
        self.ids, self.begun = ids, begun
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, row):
        place = row.shape[1] - self.begun
        said = self.ids[place] if place < len(self.ids) else Bytes.END
        logits = torch.full((1, row.shape[1], 258), -100.0)
        logits[:, :, Bytes.WORD] = -50.0  # what it would rather say than anything else
        logits[:, :, said] = 100.0
        return logits


@pytest.fixture(autouse=True)
def _reference():
    """The pieces of the reference, whatever stands in katas/."""
    from dojo.serving.finder import forget, served

    with served({"*": "solutions"}):
        yield
        forget()


def spoken(said, prompt="a", tokens=50):
    begun = len(prompt.removesuffix(" ").encode()) or 1
    speaker = Speaker(Parrot(list(said), begun), Bytes(), SIZES)
    return list(speaker.speak(prompt, tokens, temperature=0.0))


def test_what_is_said_comes_in_parts():
    assert spoken(b"bcd") == ["b", "c", "d", ""]


def test_a_character_is_told_when_it_is_whole():
    assert spoken("né€🙂".encode()) == ["n", "é", "€", "🙂", ""]


def test_bytes_that_are_no_character_are_told_in_the_end():
    assert "".join(spoken(b"\xf0\x9f")) == b"\xf0\x9f".decode(errors="replace")


def test_nothing_follows_the_end_of_a_text():
    assert spoken([98, Bytes.END, 99]) == ["b", ""]


def test_no_more_is_said_than_asked_for():
    assert "".join(spoken(b"bcdefg", tokens=3)) == "bcd"


def test_after_a_space_comes_a_token_that_begins_with_one():
    said = "".join(spoken(b"x", prompt="a "))
    assert said.startswith("word"), f"after 'a ' it said {said!r}"


def test_a_prompt_of_spaces_is_taken_as_it_is():
    speaker = Speaker(Parrot([98], 2), Bytes(), SIZES)
    assert "".join(speaker.speak("  ", 5, temperature=0.0)) == "b"


def test_without_a_prompt_the_model_begins_a_text():
    speaker = Speaker(Parrot([98], 1), Bytes(), SIZES)
    assert "".join(speaker.speak("", 5, temperature=0.0)) == "b"


def test_the_same_seed_says_the_same_and_another_one_something_else():
    class Dice(Parrot):
        def forward(self, row):
            logits = torch.full((1, row.shape[1], 258), -100.0)
            logits[:, :, 97:123] = 0.0
            return logits

    speaker = Speaker(Dice([], 1), Bytes(), SIZES)
    first, again, other = ("".join(speaker.speak("a", 30, 1.0, seed=seed)) for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize(
    ("text", "words"),
    [("of it.\n\nThe old man said", "The old"), ("no second paragraph", "no second"), ("one", "one"), (" \n", "")],
)
def test_a_sample_begins_where_a_paragraph_begins(text, words):
    assert first_words(text) == words


def test_a_sample_is_shown_without_empty_lines_and_signs_that_upset_a_terminal():
    assert sample_lines("one\n\n \ntwo \x1b[31mred") == ["  | one", "  | two \ufffd[31mred"]


def test_a_byte_that_is_no_character_is_explained_below_a_sample():
    lines = sample_lines("sh\ufffd\ufffding")
    assert lines[0] == "  | sh\ufffd\ufffding"
    assert " ".join(" ".join(lines[1:]).split()).startswith("(\ufffd is a byte that is no character by itself")
