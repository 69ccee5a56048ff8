"""The devices that torch has here."""

import contextlib
import re
from collections.abc import Iterator, Sequence

from dojo.errors import DojoError, UsageProblem

NO_MEMORY = re.compile("alloc|out of memory|overflow", re.IGNORECASE)  # in what torch says where there is too little


def there() -> list[str]:
    """cpu, and cuda or mps where there is one."""
    import torch

    return ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()


def chosen(asked: str, liked: Sequence[str] = ("cuda",)) -> str:
    """The device to work on: the one asked for, or the first liked one that is there, or the CPU.

    Raises UsageProblem for one that is not there.
    """
    found = there()
    if not asked:
        return next((device for device in liked if device in found), "cpu")
    if asked.partition(":")[0] not in found:
        raise UsageProblem(f"there is no {asked} here, only {' and '.join(found)}.")
    return asked


@contextlib.contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Within, too little memory becomes a DojoError that ends with some advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
            raise DojoError(f"there is too little memory for this model: {advice}.") from None
        raise
