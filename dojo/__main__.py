"""The `dojo` command. `doctor` needs nothing but Python, so that it can say what is missing."""

import sys

NEEDED = ("click", "rich", "psutil", "pytest")


def main() -> None:
    """Run dojo and end the process with its exit code."""
    try:
        from dojo.cli import dojo
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        sys.exit(_without(error.name))
    dojo.main(prog_name="dojo")


def _without(package: str) -> int:
    """What can be done before the packages are installed: doctor's work, or one plain line."""
    if sys.argv[1:2] == ["doctor"]:
        from dojo.system.doctor import main as doctor

        return doctor(sys.argv[2:])
    from dojo.system.packages import tell

    return tell(package)


if __name__ == "__main__":
    main()
