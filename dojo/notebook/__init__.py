"""The door from a notebook: a cell is written to a kata's file and tested, and a template opens any kata."""

__all__ = ["magic", "template"]
