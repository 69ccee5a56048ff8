"""Which known mistake a failure names: the one that alone matches, and only where it explains what went wrong."""

import pytest
import torch

from dojo import diagnosis
from dojo.diagnosis import Diagnosis, alike, answers, compared

THEIRS = {
    "": {"numbers": 1, "refusal": "ValueError"},
    "doubled": {"numbers": 2, "refusal": "ValueError"},
    "doubled-too": {"numbers": 2, "refusal": "TypeError"},
    "tripled": {"numbers": 3, "refusal": "ValueError"},
    "never-refused": {"numbers": 1, "refusal": "nothing"},
}


@pytest.mark.parametrize(
    ("numbers", "refusal", "names", "first"),
    [
        (1, "ValueError", (), ""),
        (3, "ValueError", ("tripled",), "tripled"),
        (2, "ValueError", (), ""),  # two mistakes give this
        (2, "TypeError", ("doubled-too",), ""),  # named by its refusal, but the numbers have two explanations
        (9, "ValueError", (), ""),
        (3, "nothing", ("tripled", "never-refused"), "tripled"),
        (9, "nothing", ("never-refused",), ""),  # the refusal is explained, the numbers are not
    ],
)
def test_a_mistake_is_named_if_it_alone_matches(numbers, refusal, names, first):
    found = compared({"numbers": numbers, "refusal": refusal}, THEIRS)
    assert (found.names, found.first) == (names, first)


def test_a_failure_tells_the_mistakes_of_its_clause_else_the_first(monkeypatch):
    told = {name: {"breaks": clause, "says": name} for name, clause in {"a": "scale", "b": "length"}.items()}
    monkeypatch.setattr(diagnosis, "mistakes_of", lambda _: told)
    found = Diagnosis(("a", "b"), first="a")
    for clause, name in {"scale": "a", "length": "b", "other": "a"}.items():
        assert found.about("toys/toy", clause) == [f"your result is the one you get when {name}"]
    assert Diagnosis(("b",)).about("toys/toy", "other") == []


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
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),  # the order of a vocabulary counts
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
