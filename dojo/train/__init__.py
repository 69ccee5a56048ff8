"""Put the learner's own pieces together, let them learn a text, and let the model write."""

__all__ = [
    "curve", "ingredients", "loop", "models", "narrating", "opening", "pace", "parallel", "pieces", "runs", "saved",
    "session", "settings", "speaking", "summary", "teaching", "tokens",
]  # fmt: skip
