"""What a maintainer checks with `python -m dojo.check NAME`, which is what tox calls."""

__all__ = ["mutants"]
