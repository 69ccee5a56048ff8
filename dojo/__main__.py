"""The `dojo` command. `doctor` needs nothing but Python, so that it can say what is missing."""

import sys

from dojo.system import packages


def main() -> None:
    """Run dojo and end the process with its exit code."""
    try:
        from dojo.cli import dojo
    except ModuleNotFoundError as error:
        if not (package := packages.missing(error)):
            raise
        sys.exit(_without(package))
    dojo.main(prog_name="dojo")


def _without(package: str) -> int:
    """What can be done before the packages are installed: doctor's work, or one plain line."""
    if sys.argv[1:2] == ["doctor"]:
        from dojo.system.doctor import main as doctor

        return doctor(sys.argv[2:])
    return packages.tell(package)


if __name__ == "__main__":
    main()
