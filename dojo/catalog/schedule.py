"""Weeks of a study group: the katas in their order, cut where the longest week is shortest."""

from collections.abc import Sequence

from dojo.catalog.curriculum import Kata, katas

WEEKS, WEEKS_OF_ROUTE, WEEKS_AFTER = 8, 4, 3


def beside_the_book() -> list[list[Kata]]:
    """Eight weeks with every kata that the book has a section for."""
    return weeks([kata for kata in katas() if kata.book], WEEKS)


def short_route() -> list[list[Kata]]:
    """Four weeks with the katas of the short route."""
    return weeks([kata for kata in katas() if kata.route], WEEKS_OF_ROUTE)


def after_the_book() -> list[list[Kata]]:
    """Three weeks with the katas that the book has no section for."""
    return weeks([kata for kata in katas() if not kata.book], WEEKS_AFTER)


def weeks(chosen: Sequence[Kata], most: int) -> list[list[Kata]]:
    """At most so many weeks, none longer in minutes than it has to be."""
    longest = max(kata.minutes for kata in chosen)
    while len(cut := _filled(chosen, longest)) > most:
        longest += 5
    return cut


def _filled(chosen: Sequence[Kata], longest: int) -> list[list[Kata]]:
    found: list[list[Kata]] = [[]]
    for kata in chosen:
        if found[-1] and minutes(found[-1]) + kata.minutes > longest:
            found.append([])
        found[-1].append(kata)
    return found


def minutes(week: Sequence[Kata]) -> int:
    return sum(kata.minutes for kata in week)
