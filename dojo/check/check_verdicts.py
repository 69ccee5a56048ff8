"""Every reference is green under `dojo test --solutions --further`, within the limits of a learner's code."""

import os
from concurrent.futures import ThreadPoolExecutor

from dojo.catalog.curriculum import Kata
from dojo.check.arguments import chosen, parser
from dojo.learner.standing import GREEN, PASSED
from dojo.verdict.command import FURTHER, Request
from dojo.verdict.run import Verdict, run


def main(argv: list[str]) -> int:
    katas = chosen(parser("verdicts", __doc__).parse_args(argv))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 1 if sum([not is_green(verdict) for verdict in pool.map(test, katas)]) else 0


def test(kata: Kata) -> Verdict:
    return run(Request(kata, solutions=True, tiers=FURTHER))


def is_green(verdict: Verdict) -> bool:
    """Whether the reference is green; prints a line, and what is wrong."""
    held = sum(mark == PASSED for mark in verdict.clauses.values())
    print(
        f"{verdict.kata.address}: {verdict.outcome}, {held} of {len(verdict.clauses)} clauses, {verdict.seconds:.1f} s"
    )
    if verdict.outcome == GREEN:
        return True
    print(*(f"    {line}" for line in verdict.why), *(f"    fails: {test.id}" for test in verdict.failures), sep="\n")
    return False
