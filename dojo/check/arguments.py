"""What the checks share on the command line: which katas, by address or name, all when none is named."""

import argparse

from dojo.catalog.curriculum import Kata, UnknownKata, find, katas


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"python -m dojo.check {name}", description=description)
    made.add_argument(
        "katas", nargs="*", type=kata, metavar="KATA", help="an address or a name; every kata when none is given"
    )
    return made


def kata(word: str) -> Kata:
    try:
        return find(word)
    except UnknownKata as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def chosen(arguments: argparse.Namespace) -> list[Kata]:
    return arguments.katas or list(katas())
