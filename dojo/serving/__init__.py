"""Which file answers `import katas.attention.causal`, and what that file may use."""

__all__ = ["annotations", "finder", "hollow", "jaxtyping_standin", "light_optimizers", "restrictions"]
