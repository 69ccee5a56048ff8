"""GPT-2's vocabulary, where tiktoken looks for it: is it there, and fetching it with a time limit and a check."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0  # for one file of about a megabyte
SILENCE = 10.0  # without an answer
BASE = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"


@dataclass(frozen=True)
class File:
    """One file of the vocabulary: its name, the SHA-256 of its content, and the address it has in tiktoken."""

    name: str
    sha256: str

    @property
    def url(self) -> str:
        return BASE + self.name

    @property
    def cached_as(self) -> str:
        """The name that tiktoken gives it in its cache."""
        return hashlib.sha1(self.url.encode(), usedforsecurity=False).hexdigest()


ABSENT = "GPT-2's vocabulary is not on this machine: `dojo doctor --fetch` fetches it."
FILES = (
    File("encoder.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
    File("vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
)


def folder() -> Path | None:
    """tiktoken's cache; None where an empty variable switches it off."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in os.environ:
            return Path(os.environ[name]) if os.environ[name] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def is_cached(file: File) -> bool:
    """Whether a file is in the cache, whole."""
    place = folder()
    try:
        return place is not None and fits(file, (place / file.cached_as).read_bytes())
    except OSError:
        return False


def fits(file: File, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == file.sha256


def ranks() -> dict[bytes, int]:
    """GPT-2's tokens and their ids, the end of text apart. Raises FileNotFoundError where they are not cached."""
    if not all(map(is_cached, FILES)):  # tiktoken would fetch them, without a time limit
        raise FileNotFoundError(ABSENT)
    import tiktoken

    return dict(tiktoken.get_encoding("gpt2")._mergeable_ranks)


def merges() -> list[tuple[bytes, bytes]]:
    """GPT-2's merges in their order. Raises FileNotFoundError where they are not cached."""
    place = folder()
    if place is None or not is_cached(FILES[1]):
        raise FileNotFoundError(ABSENT)
    byte_of = bytes_of_characters()
    _, *lines = (place / FILES[1].cached_as).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" ") for line in lines)
    return [(bytes(byte_of[sign] for sign in left), bytes(byte_of[sign] for sign in right)) for left, right in pairs]


def bytes_of_characters() -> dict[str, int]:
    """GPT-2's files have a character for every byte: its own where it can be seen, and one from 256 on for the rest."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + index): byte for index, byte in enumerate(hidden)}


def fetch_all(say: Callable[..., None]) -> str:
    """Fetch what is not cached. Returns what went wrong in a sentence, or an empty string."""
    place = folder()
    if place is None:
        return "TIKTOKEN_CACHE_DIR is empty, which switches the cache off: unset it, or name a folder."
    for file in FILES:
        if is_cached(file):
            continue
        say(f"fetching {file.url} ...")
        try:
            content = download(file.url)
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            return f"GPT-2's vocabulary could not be fetched: {why}. Everything else works without it."
        if not fits(file, content):
            return f"{file.url} gave {len(content)} bytes that are not GPT-2's {file.name}. Nothing was kept."
        try:
            keep(place / file.cached_as, content)
        except OSError as error:
            return f"{place} cannot be written: {error.strerror or error}"
    return ""


def download(url: str) -> bytes:
    """The content at an address. Raises OSError, also when it takes longer than SECONDS in all."""
    from urllib.request import Request, urlopen

    end, content = time.monotonic() + SECONDS, bytearray()
    with urlopen(Request(url, headers={"User-Agent": "llm-katas"}), timeout=SILENCE) as answer:
        while part := answer.read1(1 << 16):
            content += part
            if time.monotonic() > end:
                raise TimeoutError(f"it took longer than {SECONDS:g} seconds")
    return bytes(content)


def keep(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
