"""Teach a trained model a task on data of our own."""

__all__ = ["classifier", "evaluation", "recipe"]
