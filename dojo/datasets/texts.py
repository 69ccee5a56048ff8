"""The texts that the course works on: the story, the language reference that comes with Python, and any UTF-8 file."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from dojo import ROOT
from dojo.datasets.messages import read_messages, split


@dataclass(frozen=True)
class Text:
    """A text, where it comes from, and the SHA-256 of its bytes, which tells two people whether theirs is the same."""

    name: str
    text: str
    sha256: str


def story() -> Text:
    """data/story.txt, about 23 KB of plain English: the same bytes for everyone."""
    return replace(read(ROOT / "data" / "story.txt"), name="data/story.txt")


def quick() -> Text:
    """The story with messages between its paragraphs, about 80 KB: those that a classifier learns from, unlabelled.

    A vocabulary made from it has the words of messages. Messages that are watched or held out are not in it.
    """
    paragraphs = story().text.strip().split("\n\n")
    learned = [message.text for message in split(read_messages(ROOT / "data" / "messages.tsv"))[0]]
    parts = []
    for place, paragraph in enumerate(paragraphs):
        border = [len(learned) * at // len(paragraphs) for at in (place, place + 1)]
        parts += [paragraph, *learned[border[0] : border[1]]]
    text = "\n\n".join(parts) + "\n"
    return Text("data/story.txt with data/messages.tsv", text, _sha256(text.encode()))


def language_reference() -> Text:
    """The reference of the Python language, about half a megabyte, that comes with every Python.

    It differs from one version of Python to the next, and so does its SHA-256.
    """
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[topic].strip() for topic in sorted(topics)) + "\n"
    return Text("the language reference that comes with Python", text, _sha256(text.encode()))


def read(path: str | Path) -> Text:
    """Any file of UTF-8, as it is; only a byte order mark at its beginning is left out.

    Raises ValueError, with the offset of the first wrong byte, for a file that is not UTF-8, and OSError for one that
    cannot be read. The SHA-256 is that of the file.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        wrong = content[error.start]
        raise ValueError(f"{path} is not UTF-8: byte 0x{wrong:02x} at offset {error.start} ({error.reason})") from None
    return Text(str(path), text.removeprefix("\ufeff"), _sha256(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
