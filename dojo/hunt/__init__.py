"""Hide one edit in a copy of a learner's own code, and say when it is found."""

__all__ = ["hiding"]
