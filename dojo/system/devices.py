"""The devices that torch has here."""

from collections.abc import Sequence

from dojo.errors import UsageProblem


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
