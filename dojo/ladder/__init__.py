"""The same computation written in many ways, proved equal first and timed then, with torch and Python alone."""

__all__ = ["checks", "classes", "drawing", "gate", "ladder", "measuring", "table", "tiled", "variants"]
