"""What a maintainer checks: `python -m dojo.check stubs`, `mistakes`, `hollow`, `figures`. tox calls them by name."""
