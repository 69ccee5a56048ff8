"""What a study group sees of itself: reports that its members share, made into one table."""

__all__ = ["gathering", "report"]
