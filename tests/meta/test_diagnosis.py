"""Which known mistake a failure names: one that explains all that differs, and only where it fails the very test."""

import importlib
from collections import Counter

import pytest
import torch

from dojo.serving.finder import served
from dojo.verdict import diagnosis
from dojo.verdict.diagnosis import Named, answers, grouped, identified, named, sentences
from dojo.verdict.results import CannotKeep, Raised, alike, kept, recovered

THEIRS = {
    "": {"numbers": 1, "large": 10, "refusal": "ValueError"},
    "doubled": {"numbers": 2, "large": 20, "refusal": "ValueError"},
    "doubled-when-small": {"numbers": 2, "large": 10, "refusal": "ValueError"},
    "squared": {"numbers": 1, "large": 100, "refusal": "ValueError"},
    "never-refused": {"numbers": 1, "large": 10, "refusal": "nothing"},
}


@pytest.mark.parametrize(
    ("numbers", "large", "refusal", "expected"),
    [
        (1, 10, "ValueError", Named()),
        (2, 20, "ValueError", Named("doubled")),
        (2, 10, "ValueError", Named("doubled-when-small")),  # both explain the difference: the closer one is named
        (1, 100, "ValueError", Named("squared")),
        (9, 10, "ValueError", Named()),
        (2, 20, "nothing", Named("", ("doubled", "never-refused"), mixed=True)),
        (9, 100, "ValueError", Named("", ("squared",))),  # the numbers are explained by nothing
        (Raised("ValueError"), 20, "ValueError", Named("doubled")),  # an error proves nothing
        (float("nan"), 20, "ValueError", Named("doubled")),
        (Raised("ValueError"), Raised("ValueError"), "ValueError", Named()),
    ],
)
def test_a_mistake_is_named_if_it_explains_all_that_differs(numbers, large, refusal, expected):
    assert named({"numbers": numbers, "large": large, "refusal": refusal}, grouped(THEIRS)) == expected


@pytest.mark.parametrize(
    ("first", "second", "third", "expected"),
    [
        (2, 20, 200, Named("", ("one", "two"), mixed=True)),
        (2, 20, 100, Named("", ("one", "two"))),  # two would have changed the third as well
        (2, 20, 999, Named("", ("one", "two"))),  # and something else has
        (2, 10, 999, Named("", ("one",))),
        (2, 10, 200, Named("", ("one",))),  # two and three explain the third equally
    ],
)
def test_two_mistakes_are_mixed_only_where_nothing_else_is_seen(first, second, third, expected):
    theirs = {
        "": {"first": 1, "second": 10, "third": 100},
        "one": {"first": 2, "second": 10, "third": 100},
        "two": {"first": 1, "second": 20, "third": 200},
        "three": {"first": 3, "second": 10, "third": 200},
    }
    assert named({"first": first, "second": second, "third": third}, grouped(theirs)) == expected


def test_what_is_further_is_no_second_mistake(monkeypatch):
    breaks = {"doubled": "twice", "doubled-when-small": "twice", "squared": "twice", "never-refused": "refusal"}
    monkeypatch.setattr(diagnosis, "mistakes_of", lambda _: {name: {"breaks": slug} for name, slug in breaks.items()})
    monkeypatch.setattr(diagnosis, "core_clauses", lambda _: {"twice": "The result is doubled."})
    groups = grouped(THEIRS)
    seen = {"numbers": 2, "large": 20, "refusal": "a learner's own"}
    assert identified("toys/toy", seen, groups) == Named("doubled")
    assert identified("toys/toy", {**THEIRS[""], "refusal": "nothing"}, groups) == Named("never-refused")


def test_a_failed_test_names_only_mistakes_that_fail_this_very_test(monkeypatch):
    told = {name: {"says": f"it is {name}"} for name in ("scaled", "unmasked")}
    reach = {"scaled": ["test_formula", "test_dtype[float64]"], "unmasked": ["test_past"]}
    monkeypatch.setattr(diagnosis, "mistakes_of", lambda _: told)
    monkeypatch.setattr(diagnosis, "reach_of", lambda _: reach)

    def said(test, *found, **more):
        return sentences("toys/toy", test, Named(*found, **more))

    whole = "Your result is the one you get when it is scaled."
    assert said("test_formula", "scaled") == said("test_formula[3]", "scaled") == [whole]
    assert said("test_dtype[float64]", "scaled") == [whole]
    assert said("test_dtype[float16]", "scaled") == said("test_past", "scaled") == []
    both = ("scaled", "unmasked")
    assert said("test_past", "", both) == ["This part looks like what you get when it is unmasked."]
    mixed = "Two mistakes seem to be mixed: it is {}; and it is {}."
    assert said("test_past", "", both, mixed=True) == [mixed.format("unmasked", "scaled")]
    assert said("test_formula", "", both, mixed=True) == [mixed.format("scaled", "unmasked")]
    assert said("test_shape", "", both, mixed=True) == [], "neither of them fails it"


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, float("nan"), "text", b"\xff", [1, [2.0]], (1, "a"), {"a": (1,), 2: [None]}, {1, 2},
        Raised("ValueError"), torch.Size([2, 3]), torch.ones(2, 3), torch.ones(0, 3), torch.tensor(1.5),
        torch.ones(3, dtype=torch.bfloat16), torch.tensor([True, False]), torch.arange(6).reshape(2, 3).mT,
    ],
)  # fmt: skip
def test_a_result_is_kept_as_json_and_recovered(value):
    assert alike(recovered(kept(value)), value)


def test_what_json_does_not_carry_is_not_kept():
    with pytest.raises(CannotKeep):
        kept([object()])


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        (torch.ones(2), torch.ones(2) + 1e-7, True),
        (torch.ones(2), torch.ones(2) + 1e-2, False),
        (torch.ones(2).half(), torch.ones(2).half() + 2e-3, True),  # rounded twice, in another order
        (torch.ones(2).half(), torch.ones(2).half() + 1e-2, False),
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
        (0.1 + 0.2, 0.3, True),
        ([0.95, 1.0], [0.9500000476837158, 1.0], True),  # the one of float32
        (0.95, 0.951, False),
        (0.0, 1e-6, False),
        (float("inf"), -float("inf"), False),
        (torch.ones(2).numpy(), torch.ones(2).numpy(), False),  # what cannot be compared is not alike
    ],
)
def test_results_are_alike_in_type_and_value(mine, theirs, same):
    assert alike(mine, theirs) is same


def test_a_part_that_raises_is_its_error_and_costs_no_other_part():
    def leave():
        raise SystemExit

    found = answers(None, lambda _: {"one": lambda: 1 / 0, "two": leave, "three": lambda: 3})
    assert found == {"one": Raised("ZeroDivisionError"), "two": Raised("SystemExit"), "three": 3}


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


def test_a_diagnosis_sees_nothing_of_what_the_tests_have_left_in_a_module():
    with served({"*": "solutions", "gpt/config": "solutions:preset-changed"}):
        importlib.import_module("katas.gpt.config").GPTConfig.preset("gpt2-small", n_heads=2)
        probe = importlib.import_module("tests.gpt.test_config").probe
        assert diagnosis.diagnosis("gpt/config", probe) == Named("preset-changed")


def test_what_was_worked_out_is_recalled_until_something_changes(scratch):
    scratch.only_toys()
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
    scratch.write("dojo/system/terminal.py", scratch.read("dojo/system/terminal.py") + "\n")
    assert scratch.run("ask").stdout == kept, "what is shown on the screen decides no result"
    assert scratch.run("ask", KATA_ROOMS='{"toys/doubling": "solutions"}').stdout == "working\n" + kept
    scratch.path(".dojo/toys/quadrupling/probe.json").write_bytes(b"damaged")
    assert scratch.run("ask").stdout == "working\n" + kept


def test_a_tensor_of_a_class_of_its_own_that_cannot_be_compared_is_not_alike():
    class Stubborn(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise RuntimeError("not with me")

    odd = torch.ones(2).as_subclass(Stubborn)
    assert not alike(odd, torch.ones(2))
    assert not alike([odd], [torch.ones(2)])
