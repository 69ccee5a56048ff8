"""What a maintainer checks: `python -m dojo.check stubs`, `mistakes`, `hollow`, `figures`, `bench`; tox calls them."""
