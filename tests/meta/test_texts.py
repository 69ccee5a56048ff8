"""The texts that the course works on."""

import hashlib
import os
import re
import sys
import warnings
from xml.etree import ElementTree

import pytest

from dojo import ROOT
from dojo.datasets import messages, texts
from dojo.train import curve
from tests import support


def test_the_story_is_the_same_bytes_for_everyone():
    said = re.search(r"^([0-9a-f]{64})$", (ROOT / "data" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert said, "data/README.md tells the SHA-256"
    assert texts.story().sha256 == said[1]
    assert 20_000 <= len(texts.story().text) <= 30_000
    assert f"{len(texts.story().text):,} bytes".replace(",", " ") in (ROOT / "data" / "README.md").read_text("utf-8")


def test_the_story_is_plain_english():
    assert texts.story().text.isascii()
    assert "\r" not in texts.story().text
    assert "\n\n\n" not in texts.story().text


def test_the_language_reference_is_large_and_tells_which_it_is():
    reference = texts.language_reference()
    assert len(reference.text) > 300_000
    assert reference.sha256 == hashlib.sha256(reference.text.encode()).hexdigest()
    assert texts.language_reference() == reference


def test_the_quick_text_is_the_story_with_the_messages_to_learn_from_and_no_other():
    quick = texts.quick()
    learned, watched, held_out = messages.split(messages.read_messages(ROOT / "data" / "messages.tsv"))
    parts = quick.text.removesuffix("\n").split("\n\n")
    assert [part for part in parts if part in {message.text for message in learned}] == [one.text for one in learned]
    assert not {message.text for message in watched + held_out} & set(parts)
    story = texts.story().text.strip().split("\n\n")
    assert len(parts) == len(story) + len(learned)
    assert quick.sha256 == hashlib.sha256(quick.text.encode()).hexdigest()


def test_the_tests_of_katas_get_the_same_texts():
    assert support.story() == texts.story().text
    assert support.language_reference() == texts.language_reference().text


def test_any_utf_8_is_read_as_it_stands(tmp_path):
    content = "a\r\nGröße, 漢字, 👍\x00\n".encode()
    (tmp_path / "mine.txt").write_bytes(content)
    read = texts.read(tmp_path / "mine.txt")
    assert read.text == content.decode()
    assert read.sha256 == hashlib.sha256(content).hexdigest()
    assert read.name == str(tmp_path / "mine.txt")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbfa \xef\xbb\xbfb")
    assert texts.read(tmp_path / "mine.txt").text == "a \ufeffb"


@pytest.mark.parametrize(
    ("content", "byte", "offset"),
    [
        (b"abc\xff", "0xff", 3),
        ("Größe".encode("latin-1"), "0xf6", 2),
        ("text".encode("utf-16"), "0xff" if sys.byteorder == "little" else "0xfe", 0),
        (b"cut off \xe6\xbc", "0xe6", 8),
        (b"\xed\xa0\x80", "0xed", 0),
        (b"\xef\xbb\xbf\xff", "0xff", 3),
    ],
    ids=["a stray byte", "Latin-1", "UTF-16", "cut off", "a surrogate", "after a byte order mark"],
)
def test_bytes_that_are_not_utf_8_are_refused_by_offset(tmp_path, content, byte, offset):
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"mine\.txt is not UTF-8: byte {byte} at offset {offset} "):
        texts.read(tmp_path / "mine.txt")


def test_a_file_that_cannot_be_read_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        texts.read(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["蜜海", os.fsdecode(b"caf\xe9"), "$\\frac{$ \x1b[31m"])
def test_a_text_of_any_name_has_a_curve(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = curve.draw({"losses": [2.0], "steps": [1], "val_losses": [2.0]}, name, "token")
        curve.write(tmp_path / "curve.svg", figure)
    ElementTree.parse(tmp_path / "curve.svg")
