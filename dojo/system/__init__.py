"""The terminal, the machine, and what is installed on it."""

__all__ = ["devices", "doctor", "files", "packages", "terminal", "vocabulary"]
