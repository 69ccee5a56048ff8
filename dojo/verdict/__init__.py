"""Run the tests of a kata in a process of their own, judge what came out, and explain it."""

__all__ = [
    "beside", "child", "command", "diagnosis", "explain", "judging", "memory", "processes", "record", "recording",
    "render", "reporting", "results", "run", "supervision", "tiers", "waiting",
]  # fmt: skip
