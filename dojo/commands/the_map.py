"""`dojo`: every kata on one screen, where you are, and what to do next."""

from typing import Any

from dojo.catalog import curriculum
from dojo.learner.standing import FINISHED, MISSING, UNDER_WAY, Standing, command_for, next_of, standings
from dojo.system import terminal

BAR, WORD, ROOM = 20, 12, 2
CLAUSES, BOOK, MINUTES = "clauses", "book", "min"


def show(as_json: bool) -> None:
    """Print the map."""
    found = standings()
    if as_json:
        terminal.say_json(as_data(found))
    else:
        tell(found)


def tell(found: list[Standing]) -> None:
    """The map on the screen."""
    done = sum(one.state in FINISHED for one in found)
    filled = BAR * done // max(len(found), 1)
    bar = (terminal.glyph("full") * filled, "green"), (terminal.glyph("empty") * (BAR - filled), "dim")
    terminal.say(("LLM Katas", "bold"), "  ", *bar, f"  {done} of {len(found)} green")
    if route := route_of(found):
        for text in terminal.wrapped(route, terminal.columns() - 1):
            terminal.say(text)
    widths = Widths(found)
    terminal.say()
    terminal.say((heading(widths), "dim"))
    for part, title in curriculum.parts().items():
        terminal.say((title, "bold underline"))
        for one in found:
            if one.kata.part == part:
                terminal.say(*line(one, widths))
    terminal.say()
    terminal.say(*what_next(next_of(found)))


def route_of(found: list[Standing]) -> str:
    """How far the short route is, and what is left of it; empty where there is none, or it is done."""
    route = [one for one in found if one.kata.route]
    left = [one for one in route if one.state not in FINISHED]
    if not left:
        return ""
    hours = max(round(sum(one.kata.minutes for one in left) / 60), 1)
    return (
        f"The short route ({terminal.glyph('route')}), from attention to a text that your own model writes: "
        f"{len(route) - len(left)} of {len(route)} green, about {hours} hour{'' if hours == 1 else 's'} left."
    )


class Widths:
    """How wide the columns are: what the screen cannot hold goes, the minutes first, then the book's section."""

    def __init__(self, found: list[Standing]):
        self.room = ROOM if terminal.columns() >= 60 else 1  # between two columns
        self.word = WORD if terminal.columns() >= 50 else 0  # of the state; the sign stays
        self.name = max([4, *(len(curriculum.short(one.kata)) for one in found)])
        self.clauses = max([len(CLAUSES), *(len(clauses_of(one)) for one in found)])
        self.book = max([len(BOOK), *(len(book_of(one)) for one in found)])
        self.minutes = max([len(MINUTES), *(len(minutes_of(one)) for one in found)])
        self.title = max([0, *(len(one.kata.title) for one in found)])
        fixed = self.room + 2 + self.word + self.room + self.name + self.room + self.clauses
        space = terminal.columns() - 1 - fixed - self.room
        least = min(self.title, 16)
        if space - self.minutes - self.room < self.book + self.room + least:
            self.minutes = 0
        if space - self.book - self.room < least:
            self.book = 0
        space -= sum(width + self.room for width in (self.book, self.minutes) if width)
        self.title = min(self.title, space) if space >= 8 else 0


def heading(widths: Widths) -> str:
    """What the columns are."""
    columns = [f"{'':{widths.word + 2}}", f"{'kata':{widths.name}}"]
    columns += [f"{'':{widths.title}}"] if widths.title else []
    columns.append(f"{CLAUSES:>{widths.clauses}}")
    columns += [f"{BOOK:{widths.book}}"] if widths.book else []
    columns += [f"{MINUTES:>{widths.minutes}}"] if widths.minutes else []
    return " " * widths.room + (" " * widths.room).join(columns).rstrip()


def line(one: Standing, widths: Widths) -> list[terminal.Part]:
    """One kata: sign and word of its state, name, title, clauses, section, minutes."""
    style, gap = terminal.STYLES[one.state], " " * widths.room
    before = f"{terminal.glyph('route') if one.kata.route else '':{widths.room}}"
    parts: list[terminal.Part] = [
        before,
        (f"{terminal.glyph(one.state)} {one.state[: widths.word]:{widths.word}}", style),
        gap,
    ]
    parts += [(f"{curriculum.short(one.kata):{widths.name}}", "bold"), gap]
    if widths.title:
        parts += [f"{terminal.cut(one.kata.title, widths.title):{widths.title}}", gap]
    parts.append((f"{clauses_of(one):>{widths.clauses}}", "green" if one.state in FINISHED else ""))
    if widths.book:
        parts += [gap, (f"{book_of(one):{widths.book}}", "dim")]
    if widths.minutes:
        parts += [gap, (f"{minutes_of(one):>{widths.minutes}}", "dim")]
    return parts


def clauses_of(one: Standing) -> str:
    """How much of the core holds, and how many further clauses hold as well."""
    more = f" +{one.further_held}" if one.further_held else ""
    return f"{one.held} of {one.core}{more}"


def book_of(one: Standing) -> str:
    return one.kata.section


def minutes_of(one: Standing) -> str:
    return str(one.kata.minutes)


def what_next(one: Standing | None) -> list[terminal.Part]:
    """The line that says what to type, and what for."""
    if one is None:
        return [("next: ", "bold"), "every kata is green. Train them on a text: ", ("dojo train", "bold cyan")]
    why = "your file is missing; this writes the stub again" if one.state == MISSING else ""
    if one.state not in UNDER_WAY:
        why = f"what to write in katas/{one.kata.address}.py"
    parts: list[terminal.Part] = [("next: ", "bold"), (command_for(one), "bold cyan")]
    return [*parts, (f"  ({why})", "dim")] if why else parts


def as_data(found: list[Standing]) -> dict[str, Any]:
    """The map for scripts."""
    upcoming = next_of(found)
    listed = [
        {
            "kata": one.kata.address,
            "part": one.kata.part,
            "title": one.kata.title,
            "state": one.state,
            "core_held": one.held,
            "core": one.core,
            "further_held": one.further_held,
            "further": one.further,
            "book": one.kata.book,
            "minutes": one.kata.minutes,
            "route": one.kata.route,
        }
        for one in found
    ]
    done = sum(one.state in FINISHED for one in found)
    return {
        "done": done,
        "of": len(found),
        "next": upcoming and {"kata": upcoming.kata.address, "command": command_for(upcoming)},
        "katas": listed,
    }
