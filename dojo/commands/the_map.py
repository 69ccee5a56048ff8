"""`dojo`: where you are and what to do next, on one screen; `dojo list` shows every kata."""

import textwrap
from dataclasses import dataclass
from typing import Any

from dojo.catalog import curriculum
from dojo.learner.standing import (
    COMPLETE,
    DONE,
    FINISHED,
    MISSING,
    NOT_STARTED,
    STARTED,
    UNDER_WAY,
    Standing,
    command_for,
    next_of,
    standings,
)
from dojo.system import terminal

BAR, WORD, ROOM = 20, 11, 2
CLAUSES, BOOK, MINUTES = "clauses", "book", "min"
Text = list[terminal.Part]  # of one line


def show(as_json: bool, whole: bool = False) -> None:
    """Print the map, folded to the height of the screen or whole."""
    found = standings()
    if as_json:
        terminal.say_json(as_data(found))
    else:
        tell(found, whole)


def tell(found: list[Standing], whole: bool = False) -> None:
    """The map on the screen. The bar and the next kata are on it, however low the screen is."""
    upcoming = next_of(found)
    above, below = head(found), terminal.flowed(what_next(upcoming), terminal.columns() - 1)
    blank_and_prompt = 4
    room = terminal.rows() - len(above) - len(below) - blank_and_prompt
    parts = [Part(title, [one for one in found if one.kata.part == part]) for part, title in curriculum.parts().items()]
    if not whole:
        parts = fold(parts, upcoming, room)
    if any(part.hidden for part in parts):
        above[0].append(("   all: dojo list", "dim"))
    widths = Widths([one for part in parts for one in part.shown])
    table = [text for part in parts for text in part.lines(widths)]
    screen: list[Text] = [*above, [], [(heading(widths), "dim")], *table, [], *below]
    for text in screen:
        terminal.say(*text)


def head(found: list[Standing]) -> list[Text]:
    """The name, the bar and how far the short route is."""
    done = sum(one.state in FINISHED for one in found)
    length = BAR if terminal.columns() >= 66 else BAR // 2
    filled = max(length * done // max(len(found), 1), min(done, 1))  # the first green one is seen
    bar = (terminal.glyph("full") * filled, "green"), (terminal.glyph("empty") * (length - filled), "dim")
    lines: list[Text] = [[("LLM Katas", "bold"), "  ", *bar, f"  {done} of {len(found)} green"]]
    if route := route_of(found):
        lines += [[text] for text in terminal.wrapped(route, terminal.columns() - 1)]
    return lines


@dataclass
class Part:
    """A part of the curriculum on the map: its katas, and those of them that are shown."""

    title: str
    katas: list[Standing]

    def __post_init__(self) -> None:
        self.shown = self.katas

    @property
    def hidden(self) -> int:
        return len(self.katas) - len(self.shown)

    def lines(self, widths: "Widths") -> list[Text]:
        if not self.shown:
            return [self.folded()]
        lines: list[Text] = [[(self.title, "bold underline")], *(line(one, widths) for one in self.shown)]
        if self.hidden:
            lines.append([(f"{' ' * widths.room}  {self.hidden} more", "dim")])
        return lines

    def folded(self) -> Text:
        """The part in one line: how many of its katas are green, and how long the others take."""
        left = [one for one in self.katas if one.state not in FINISHED]
        states = {one.state for one in self.katas}
        state = (
            DONE if states <= {DONE} else COMPLETE if not left else STARTED if states - {NOT_STARTED} else NOT_STARTED
        )
        count = f"{len(self.katas) - len(left)} of {len(self.katas)} green"
        time = f", {in_hours(left)} left" if left else ""
        name = f"{terminal.glyph(state)} {self.title}"
        if len(f"{name}  {count}{time}") >= terminal.columns():
            time = time.replace("about ", "")
        return [(name, terminal.STYLES[state]), (f"  {count}{time}", "dim")]


def fold(parts: list[Part], upcoming: Standing | None, room: int) -> list[Part]:
    """Show as many katas as there are lines: those of the next kata's part, then of the parts nearest to it."""
    if sum(1 + len(part.katas) for part in parts) <= room:
        return parts
    places = [place for place, part in enumerate(parts) if upcoming in part.katas]
    here = places[0] if places else len(parts)
    left = room - len(parts)
    for part in parts:
        part.shown = []
    for place in sorted(range(len(parts)), key=lambda place: (abs(place - here), -place)):
        part = parts[place]
        if all(one.state in FINISHED for one in part.katas):
            continue
        if len(part.katas) <= left:
            part.shown = part.katas
        elif place == here and upcoming:
            most = max(left - 1, 1)
            first = min(max(part.katas.index(upcoming) - most // 2, 0), len(part.katas) - most)
            part.shown = part.katas[first : first + most]
        else:
            break  # what is further away than a folded part stays folded
        left -= len(part.shown)
    return parts


def route_of(found: list[Standing]) -> str:
    """How far the short route is, and what is left of it; empty where there is none, or it is done."""
    route = [one for one in found if one.kata.route]
    left = [one for one in route if one.state not in FINISHED]
    if not left:
        return ""
    return (
        f"The short route ({terminal.glyph('route')}), from attention to a text that your own model writes: "
        f"{len(route) - len(left)} of {len(route)} green, {in_hours(left)} left."
    )


def in_hours(left: list[Standing]) -> str:
    hours = max(round(sum(one.kata.minutes for one in left) / 60), 1)
    return f"about {hours} hour{'' if hours == 1 else 's'}"


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
        if space - self.room < self.title:
            space, self.word = space + self.word, 0
        if space - self.minutes - self.room < self.book + self.room + self.title:
            self.minutes = 0
        if space - self.book - self.room < self.title:
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


def line(one: Standing, widths: Widths) -> Text:
    """One kata: sign and word of its state, name, title, clauses, section, minutes."""
    style, gap = terminal.STYLES[one.state], " " * widths.room
    before = f"{terminal.glyph('route') if one.kata.route else '':{widths.room}}"
    parts: Text = [
        before,
        (f"{terminal.glyph(one.state)} {one.state[: widths.word]:{widths.word}}", style),
        gap,
    ]
    parts += [(f"{curriculum.short(one.kata):{widths.name}}", "bold"), gap]
    if widths.title:
        parts += [f"{short_title(one.kata.title, widths.title):{widths.title}}", gap]
    parts.append((f"{clauses_of(one):>{widths.clauses}}", "green" if one.state in FINISHED else ""))
    if widths.book:
        parts += [gap, (f"{book_of(one):{widths.book}}", "dim")]
    if widths.minutes:
        parts += [gap, (f"{minutes_of(one):>{widths.minutes}}", "dim")]
    return parts


def short_title(title: str, width: int) -> str:
    return textwrap.shorten(title, width, placeholder="...", break_on_hyphens=False)


def clauses_of(one: Standing) -> str:
    """How much of the core holds, and how many further clauses hold as well."""
    more = f" +{one.further_held}" if one.further_held else ""
    return f"{one.held} of {one.core}{more}"


def book_of(one: Standing) -> str:
    return one.kata.section


def minutes_of(one: Standing) -> str:
    return str(one.kata.minutes)


def what_next(one: Standing | None) -> Text:
    """The line that says what to type, and what for."""
    if one is None:
        return [("next: ", "bold"), "every kata is green. Train them on a text: ", ("dojo train", "bold cyan")]
    why = "your file is missing; this writes the stub again" if one.state == MISSING else ""
    if one.state not in UNDER_WAY:
        why = f"what to write in katas/{one.kata.address}.py"
    parts: Text = [("next: ", "bold"), (command_for(one), "bold cyan")]
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
