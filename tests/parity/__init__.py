"""The reference beside the libraries of others, which few installs have: run by tox -e parity, and by nothing else."""
