"""What exists: the curriculum, specifications, stubs, hints and known mistakes, read from files and never imported."""

__all__ = ["curriculum", "hints", "mistakes", "specification", "stubs"]
