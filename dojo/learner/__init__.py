"""What one learner has done: what dojo remembers in .dojo/, and where each kata stands."""

__all__ = ["standing", "store"]
