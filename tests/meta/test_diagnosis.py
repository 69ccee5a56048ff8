"""Which known mistake a failure names: the one that alone matches, and only where it explains what went wrong."""

from collections import Counter

import pytest
import torch

from dojo.verdict import diagnosis
from dojo.verdict.diagnosis import alike, answers, grouped, named, sentences

THEIRS = {
    "": {"numbers": 1, "refusal": "ValueError"},
    "doubled": {"numbers": 2, "refusal": "ValueError"},
    "doubled-too": {"numbers": 2, "refusal": "TypeError"},
    "tripled": {"numbers": 3, "refusal": "ValueError"},
    "never-refused": {"numbers": 1, "refusal": "nothing"},
}


@pytest.mark.parametrize(
    ("numbers", "refusal", "names"),
    [
        (1, "ValueError", []),
        (3, "ValueError", ["tripled"]),
        (2, "ValueError", []),  # two mistakes give these numbers
        (2, "TypeError", ["doubled-too"]),  # the refusal tells them apart
        (9, "ValueError", []),
        (9, "nothing", ["never-refused"]),
        (3, "nothing", ["tripled", "never-refused"]),
    ],
)
def test_a_mistake_is_named_if_it_alone_matches(numbers, refusal, names):
    assert named({"numbers": numbers, "refusal": refusal}, grouped(THEIRS)) == names


def test_a_failure_tells_only_the_mistakes_that_fail_its_clause(monkeypatch):
    breaks = {"scaled": "agrees", "unmasked": "past", "unchecked": "length"}
    told = {name: {"breaks": clause, "says": name} for name, clause in breaks.items()}
    reach = {"scaled": ["agrees"], "unmasked": ["past", "agrees"]}
    monkeypatch.setattr(diagnosis, "mistakes_of", lambda _: told)
    monkeypatch.setattr(diagnosis, "reach_of", lambda _: reach)
    for clause, names in {
        "agrees": ["scaled", "unmasked"],
        "past": ["unmasked"],
        "length": ["unchecked"],  # what nobody has written down reaches the clause it breaks
        "mask": [],
    }.items():
        expected = [f"your result is the one you get when {name}" for name in names]
        assert sentences("toys/toy", clause, ["unmasked", "scaled", "unchecked"]) == expected


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        (torch.ones(2), torch.ones(2) + 1e-7, True),
        (torch.ones(2), torch.ones(2) + 1e-2, False),
        (torch.ones(2), torch.ones(2).double(), False),
        (torch.ones(2), torch.ones(1, 2), False),
        (torch.tensor([torch.nan]), torch.tensor([torch.nan]), True),
        ([1, torch.ones(1)], [1, torch.ones(1)], True),
        ([1], (1,), False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (Counter("aab"), {"a": 2, "b": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (1, True, False),
        (float("nan"), float("nan"), True),
        (torch.ones(2).numpy(), torch.ones(2).numpy(), False),  # what cannot be compared is not alike
    ],
)
def test_results_are_alike_in_type_and_value(mine, theirs, same):
    assert alike(mine, theirs) is same


def test_a_part_that_raises_is_its_error_and_costs_no_other_part():
    def leave():
        raise SystemExit

    found = answers(None, lambda _: {"one": lambda: 1 / 0, "two": leave, "three": lambda: 3})
    assert found == {"one": "ZeroDivisionError: division by zero", "two": "SystemExit: ", "three": 3}


def test_a_diagnosis_prints_nothing_and_leaves_the_random_numbers_alone(capsys):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    found = answers(
        None, lambda _: {"noise": lambda: torch.rand(2), "again": lambda: torch.rand(2), "print": lambda: print(1)}
    )
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(found["noise"], found["again"]), "every part starts from the same random numbers"
    assert capsys.readouterr().out == ""


def test_what_took_long_to_work_out_is_recalled_until_something_changes(scratch):
    scratch.only_toys()
    scratch.write(
        "dojo/verdict/_probe_cache.py",
        scratch.read("dojo/verdict/_probe_cache.py").replace("WORTH_IT = 0.5", "WORTH_IT = 0.0"),
    )
    source = (
        "from dojo.verdict._probe_cache import recalled\n"
        "print(recalled('toys/quadrupling', lambda: print('working') or {'part': [(3, ['a'])]}))\n"
    )
    scratch.write("ask.py", source)
    kept = "{'part': [(3, ['a'])]}\n"
    assert [scratch.run("ask").stdout for _ in range(2)] == ["working\n" + kept, kept]
    for name in ("tests/toys/test_quadrupling.py", "katas/toys/doubling.py"):
        scratch.write(name, scratch.read(name) + "\n")
        assert scratch.run("ask").stdout == "working\n" + kept, f"{name} has changed"
    assert scratch.run("ask", KATA_ROOMS='{"toys/doubling": "solutions"}').stdout == "working\n" + kept
    scratch.path(".dojo/toys/quadrupling/known.pickle").write_bytes(b"no pickle")
    assert scratch.run("ask").stdout == "working\n" + kept


def test_a_tensor_of_a_class_of_its_own_that_cannot_be_compared_is_not_alike():
    class Stubborn(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise RuntimeError("not with me")

    odd = torch.ones(2).as_subclass(Stubborn)
    assert not alike(odd, torch.ones(2))
    assert not alike([odd], [torch.ones(2)])
