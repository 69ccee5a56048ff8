"""The tokenizer of a published model: the BPE kata with its vocabulary where that gives its ids, else `tokenizers`."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dojo.errors import DojoError
from dojo.published import folder as files
from dojo.system.vocabulary import bytes_of_characters
from dojo.train import pieces

TRAINING, KATA = "text/bpe_training", "text/bpe_tokenizer"
FILE = "tokenizer.json"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# A pattern, and a piece that it does not split and the other one does.
PATTERNS = {GPT2: "12", QWEN: "(a"}


class Misfit(Exception):
    """A tokenizer does what the kata's does not. Says what, as the end of a sentence that begins with "it"."""


class Tokenizer(Protocol):
    """What turns a text, or a text in the chat form, into ids, and ids into text; `largest` is its largest id."""

    largest: int

    def encode(self, text: str) -> list[int]: ...
    def encode_form(self, text: str) -> list[int]: ...
    def decode(self, ids: Iterable[int]) -> str: ...


@dataclass(frozen=True)
class Vocabulary:
    """What the kata's tokenizer is made of, and the pattern that splits a text; `composed`: the text as NFC."""

    vocab: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    special: list[str]
    pattern: str
    composed: bool


def special_tokens(content: dict[str, Any]) -> dict[str, int]:
    """The tokens of a tokenizer.json that are found in a text before it is split, each with its id."""
    return {one["content"]: one["id"] for one in content.get("added_tokens", [])}


def vocabulary(content: dict[str, Any]) -> Vocabulary:
    """The vocabulary in a tokenizer.json, for the kata. Raises Misfit, and what a damaged one causes."""
    model = content["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise Misfit(f"is no byte-level BPE but a {model.get('type')}{' of characters' if 'merges' in model else ''}")
    if model.get("ignore_merges"):
        raise Misfit("takes a piece that is a token before it looks at merges")
    if any(model.get(name) for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")):
        raise Misfit("merges in a way of its own")
    normalizer = content.get("normalizer")
    if normalizer and normalizer.get("type") != "NFC":
        raise Misfit(f"normalizes a text ({normalizer.get('type')})")
    if (after := content.get("post_processor")) and after.get("type") != "ByteLevel":
        raise Misfit("adds tokens to a text")
    added = content.get("added_tokens", [])
    if any(one.get(name) for one in added for name in ("lstrip", "rstrip", "single_word", "normalized")):
        raise Misfit("has special tokens that take the space around them, or words of their own")
    byte_of = bytes_of_characters()
    special = special_tokens(content)
    try:
        tokens = {token: bytes(byte_of[sign] for sign in token) for token in model["vocab"] if token not in special}
    except KeyError:
        raise Misfit("has tokens that are not bytes") from None
    vocab = {model["vocab"][token]: made_of for token, made_of in tokens.items()}
    vocab |= {token_id: token.encode() for token, token_id in special.items()}
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    merges = [(tokens[left], tokens[right]) for left, right in pairs]
    known = set(tokens.values())
    if not known >= {bytes([one]) for one in range(256)} or any(left + right not in known for left, right in merges):
        raise ValueError("tokens are missing")
    if len(vocab) != len(tokens) + len(special) or not all(type(one) is int and one >= 0 for one in vocab):
        raise ValueError("its ids are no numbers of their own")
    return Vocabulary(vocab, merges, [*special], _pattern(content.get("pre_tokenizer") or {}), bool(normalizer))


def _pattern(splitter: dict[str, Any]) -> str:
    """The pattern of a splitter that is ByteLevel, alone or after a Split."""
    steps = splitter.get("pretokenizers", [splitter])
    first, last = steps[0], steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space") or len(steps) > 2:
        raise Misfit("splits a text in a way of its own")
    if len(steps) == 1 and last.get("use_regex", True):
        return GPT2
    pattern = first.get("pattern", {}).get("Regex")
    usual = first.get("type") == "Split" and first.get("behavior") == "Isolated" and not first.get("invert")
    if len(steps) != 2 or last.get("use_regex", True) or not usual or pattern not in PATTERNS:
        raise Misfit("splits a text by a pattern of its own")
    return str(pattern)


class OfKata:
    """The kata's tokenizer, with the vocabulary and the pattern of a published model.

    The kata takes its pattern from text/bpe_training, so the published one has to stand there before the kata is
    imported. Raises Misfit where the kata's file has written the pattern out.
    """

    def __init__(self, made_of: Vocabulary) -> None:
        for address in (TRAINING, KATA):
            vars(pieces.module(address))["SPLIT_PATTERN"] = made_of.pattern
        kata = pieces.module(KATA).BPETokenizer
        left, right = PATTERNS[made_of.pattern].encode()
        whole = {256: bytes([left, right])} | {one: bytes([one]) for one in range(256)}
        if kata(whole, [(bytes([left]), bytes([right]))], []).encode(PATTERNS[made_of.pattern]) != [256]:
            raise Misfit("splits a text by another pattern than SPLIT_PATTERN in your bpe_tokenizer")
        self.kata = kata(made_of.vocab, made_of.merges, made_of.special)
        self.known, self.composed, self.largest = made_of.vocab.keys(), made_of.composed, max(made_of.vocab)

    def encode(self, text: str) -> list[int]:
        return list(self.kata.encode(unicodedata.normalize("NFC", text) if self.composed else text))

    encode_form = encode

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. A model may have more logits than there are tokens; such an id has no text."""
        return str(self.kata.decode([one for one in ids if one in self.known]))


class OfLibrary:
    """The tokenizer as the package `tokenizers` makes it of its file."""

    def __init__(self, library: Any) -> None:
        self.library, self.largest = library, max(library.get_vocab().values(), default=0)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with what the model's texts begin with."""
        return list(self.library.encode(text).ids)

    def encode_form(self, text: str) -> list[int]:
        return list(self.library.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        return str(self.library.decode(list(ids), skip_special_tokens=False))


def of_library(folder: Path, why: str) -> OfLibrary:
    """The tokenizer of a folder by `tokenizers`. Raises DojoError where that is not installed, or cannot read it.

    `why` says what the kata does not do.
    """
    try:
        from tokenizers import Tokenizer as Library
    except ImportError:
        raise DojoError(
            f"the tokenizer of {folder} does not fit the BPE kata: it {why}. With the package `tokenizers` it works: "
            "python -m pip install -c constraints.txt tokenizers"
        ) from None
    try:
        return OfLibrary(Library.from_file(str(folder / FILE)))
    except Exception as error:  # its own are of no other type
        raise DojoError(f"{folder / FILE} is damaged: {str(error).strip().partition(chr(10))[0]}.") from None


def content(folder: Path) -> dict[str, Any]:
    """What is in a tokenizer.json. Raises DojoError where the parts of one are missing."""
    found = files.needed(folder, FILE)
    added = found.get("added_tokens", [])
    listed = isinstance(added, list) and all(
        isinstance(one, dict) and isinstance(one.get("content"), str) and type(one.get("id")) is int for one in added
    )
    if not isinstance(found.get("model"), dict) or not listed:
        raise DojoError(f"{folder / FILE} is damaged: it describes no tokenizer.")
    return found


def fitting(folder: Path, content: dict[str, Any]) -> Vocabulary | str:
    """What the kata's tokenizer is to be made of; or what the kata does not do. Raises DojoError for a damaged file."""
    try:
        return vocabulary(content)
    except Misfit as misfit:
        return str(misfit)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        told = str(error) if isinstance(error, ValueError) else "its parts are not those of a tokenizer"
        raise DojoError(f"{folder / FILE} is damaged: {told}.") from None
