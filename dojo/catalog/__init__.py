"""What exists: the curriculum, specifications, stubs, hints and known mistakes, read from files and never imported."""

__all__ = ["curriculum", "estimate", "hints", "mistakes", "schedule", "specification", "stubs"]
