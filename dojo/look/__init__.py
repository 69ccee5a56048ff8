"""Draw what a trained model does with a text, on one page."""

__all__ = ["page", "seeing"]
