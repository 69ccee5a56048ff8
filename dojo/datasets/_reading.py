"""What the readers of data share."""

from pathlib import Path


def decoded(path: str | Path) -> str:
    """The text of a file of UTF-8, as it is, without a byte order mark at its beginning.

    Raises ValueError, with the line of the first wrong byte, and OSError for a file that cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise ValueError(f"{path}, line {line}: byte 0x{wrong:02x} is not UTF-8 ({error.reason})") from None
