"""An error that stops a command, told in a line and without a traceback. dojo/cli.py shows it."""


class DojoError(Exception):
    """Something that a command depends on is not as it has to be. The text says what, and what to do about it."""


class UsageProblem(DojoError):
    """A command was called with something that does not exist, or that does not fit the rest of the call."""
