"""On the hollow katas, the reference with every public result zeroed, no kata is green and half of the tests fail.

Half, not all: a refusal, and what a constructor does, are not results.
"""

from dojo.check.arguments import chosen, parser
from dojo.check.trials import Trial, run


def main(argv: list[str]) -> int:
    katas = chosen(parser("hollow", __doc__).parse_args(argv))
    results = run([Trial(kata.address, {"*": "solutions", kata.address: "hollow"}) for kata in katas])
    problems = 0
    for kata, result in zip(katas, results, strict=True):
        failed, total = len(result.failed), len(result.outcomes)
        enough = not result.ended and 2 * failed >= total
        problems += not enough
        print(f"{kata.address}: {failed} of {total} tests fail on the hollow kata{'' if enough else ', too few'}")
        if not enough:
            passed = [f"    passes: {test}" for test, how in result.outcomes.items() if how == "passed"]
            print(*passed, *([result.ended] if result.ended else []), sep="\n")
    return 1 if problems else 0
