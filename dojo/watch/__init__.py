"""Save a file, see the verdict: what watches, what is tested, and what the screen shows."""

__all__ = ["ahead", "files", "keys", "screen", "watching"]
