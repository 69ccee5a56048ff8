"""Attention, one step at a time."""
