"""The GPT, piece by piece."""
