"""Pretraining: a loss, a way down, and what a trained model says."""
