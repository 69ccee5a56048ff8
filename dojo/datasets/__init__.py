"""Read the texts and tables that katas, tests and training use."""

__all__ = ["instructions", "messages", "texts"]
