"""Bring a release into a learner's clone without touching what the learner wrote."""

__all__ = ["git", "journal", "merge", "origin", "plan"]
