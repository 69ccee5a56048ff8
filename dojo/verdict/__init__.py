"""Run a kata"s tests in a process of their own, judge what came out, and explain it."""

__all__ = ["child", "diagnosis", "explain", "recording", "reporting", "running"]
