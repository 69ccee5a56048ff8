"""The schedules of docs/groups/ are what the curriculum and the pages give, and every question has an answer."""

import argparse
import re
from collections.abc import Sequence

from dojo import ROOT
from dojo.catalog import schedule
from dojo.catalog.curriculum import Kata, katas, parts
from dojo.catalog.hints import questions
from dojo.system import terminal

GROUPS = ROOT / "docs" / "groups"
MADE = "<!-- Made from katas/curriculum.toml and the pages: python -m dojo.check groups --write -->"
QUESTIONS = "The questions are those of the katas' pages; [the answers](answers/index.md) have a page of their own."
BOOK = (
    "Eight weeks beside the book",
    "Each week has sections to read and katas to write. The minutes estimate the core of the katas, without reading "
    f"and without the session. {QUESTIONS}",
)
ROUTE = (
    "The short route in four weeks",
    "The short route goes from attention to a text that your own model writes. The minutes estimate the core of the "
    f"katas, without the session. {QUESTIONS}",
)
AFTER = (
    "Three weeks after the book",
    "The katas that the book has no section for: preferences, and what changed since GPT-2. Their pages take the place "
    f"of the book. The minutes estimate the core of the katas, without the session. {QUESTIONS}",
)


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m dojo.check groups", description=__doc__)
    arguments.add_argument("--write", action="store_true", help="write the schedules instead of comparing them")
    write, problems = arguments.parse_args(argv).write, []
    for name, text in pages().items():
        path = GROUPS / name
        if write:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            problems.append(f"docs/groups/{name} is not what the curriculum gives: python -m dojo.check groups --write")
    problems += unanswered()
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


def pages() -> dict[str, str]:
    """The three schedules, by file name."""
    return {
        "beside-the-book.md": page(*BOOK, schedule.beside_the_book()),
        "short-route.md": page(*ROUTE, schedule.short_route()),
        "after-the-book.md": page(*AFTER, schedule.after_the_book()),
    }


def page(title: str, about: str, weeks: Sequence[Sequence[Kata]]) -> str:
    """A schedule: an overview, and then each week with its questions."""
    total = sum(map(schedule.minutes, weeks))
    lines = [MADE, "", f"# {title}", "", about, "", "| week | read | write | minutes |", "|---|---|---|---|"]
    for number, week in enumerate(weeks, 1):
        names = ", ".join(link(kata) for kata in week)
        lines.append(f"| [{number}](#week-{number}) | {sections(week)} | {names} | {schedule.minutes(week)} |")
    lines += ["", f"{terminal.number(total)} minutes in all, about {round(total / 60)} hours."]
    for number, week in enumerate(weeks, 1):
        lines += ["", f"## Week {number}", "", f"Read {sections(week)}."]
        for kata in week:
            lines += ["", f"### {kata.title}", "", f"{link(kata)}: {kata.builds}. {kata.minutes} minutes.", ""]
            lines += [f"- {adapted(question)}" for question in questions(kata)]
    return "\n".join(lines) + "\n"


def link(kata: Kata) -> str:
    return f"[{kata.name}](../{kata.address}.md)"


def sections(week: Sequence[Kata]) -> str:
    """The sections of the book that a week is about, each once; where there is none, the katas' pages."""
    found = ", ".join(dict.fromkeys(part for kata in week for part in kata.book.split(", ") if part))
    return found or "the pages of the katas"


def adapted(question: str) -> str:
    """A question without the links of its page, which lead elsewhere from here."""
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", question)


def unanswered() -> list[str]:
    """Questions without an answer, and answers to what no page asks."""
    found = []
    for part in parts():
        path = GROUPS / "answers" / f"{part}.md"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        asked = [adapted(question) for kata in katas() if kata.part == part for question in questions(kata)]
        answered = re.findall(r"^- (.+)\n\n  \S", text, re.MULTILINE)
        where = f"docs/groups/answers/{part}.md"
        found += [f"{where} has no answer to: {one}" for one in asked if one not in answered]
        found += [f"{where} answers what no page asks: {one}" for one in answered if one not in asked]
    return found
