"""Which file answers an import of a kata, in every way that tests and child processes can be started."""

import json
import os
import sys

import pytest
import torch

from dojo.serving.hollow import hollowed, zeroed
from tests.meta.scratch import DOUBLING, Scratch

MISTAKE = """[[mistake]]
name = "tripled"
breaks = "twice"
says = "the number is taken three times"
edits = [{ swap = "return number + number", by = "return number * 3" }]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Scratch:
    """The toys, untouched, with one known mistake; no test of this file writes to it."""
    scratch = Scratch(tmp_path_factory.mktemp("shop") / "clone")
    scratch.only_toys()
    scratch.write("tests/toys/doubling.mistakes.toml", MISTAKE)
    return scratch


def outcome(run) -> str:
    """The counts of pytest's last line, without the time."""
    return run.stdout.strip().splitlines()[-1].partition(" in ")[0]


def test_katas_are_served_from_the_learners_room(shop):
    assert outcome(shop.run("pytest", "tests/toys")) == "4 failed"


def test_solutions_serves_the_reference(shop):
    assert outcome(shop.run("pytest", "tests/toys", "--solutions")) == "4 passed"


def test_borrow_serves_one_kata_from_the_reference(shop):
    assert outcome(shop.run("pytest", "tests/toys", "--borrow", "doubling")) == "1 failed, 3 passed"


def test_a_mistake_is_edited_into_the_reference(shop):
    run = shop.run("pytest", "tests/toys", "--mistake", "toys/doubling:tripled")
    assert outcome(run) == "4 failed"
    assert "Your result is the one you get when the number is taken three times." in run.stdout


def test_a_hollow_kata_gives_nothing(shop):
    run = shop.run("pytest", "tests/toys", "--hollow")
    assert outcome(run) == "3 failed, 1 passed"
    assert "double(3) gave 0" in run.stdout


def test_what_returns_nothing_does_nothing_in_a_hollow_kata():
    done = []

    def effect(number: int) -> None:
        done.append(number)

    def result(number: int) -> int:
        done.append(number)
        return number

    assert (hollowed(effect)(3), hollowed(result)(4), done) == (None, 0, [4])


def test_what_a_hollow_kata_trains_stays_as_it_was():
    def shrink(model: torch.nn.Module, optimizer: torch.optim.Optimizer, parameters: list) -> float:
        optimizer.step()
        parameters[0].data.zero_()
        return 1.5

    model = torch.nn.Linear(2, 1)
    model.weight.grad = torch.ones(1, 2)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert hollowed(shrink)(model, optimizer, parameters=list(model.parameters())) == 0
    assert torch.equal(model.weight, before)


def test_an_object_of_a_hollow_kata_holds_nothing():
    class Number:
        def __init__(self, data, parts=()):
            self.data, self.parts, self.other = data, parts, None

    Number.__module__ = "katas.toys.numbers"
    part = Number(1.5)
    made = Number(2.5, (part,))
    made.other = part
    hollow = zeroed(made)
    assert type(hollow) is Number
    assert (hollow.data, hollow.parts, hollow.other) == (0.0, (), part), "numbers and containers go, other objects stay"
    assert (made.data, made.parts, part.data) == (2.5, (part,), 1.5), "what came may be somebody's: it is copied"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--borrow", "toys/doublign"), "Did you mean doubling"),
        (("--mistake", "doubling:halved"), "toys/doubling has no mistake 'halved'; it has tripled"),
    ],
)
def test_a_typo_is_a_usage_error_that_names_what_there_is(shop, option, said):
    run = shop.run("pytest", *option)
    assert run.returncode == 4
    assert said in run.stderr


@pytest.mark.parametrize("options", [("-p", "xdist", "-n", "2"), ("-p", "randomly"), ("-p", "no:cacheprovider", "-v")])
def test_the_room_does_not_hang_on_how_tests_are_run(shop, options):
    assert outcome(shop.run("pytest", "tests/toys", "--solutions", *options)).strip("= ").startswith("4 passed")


def test_tests_run_from_a_subfolder(shop):
    shop.write("from_subfolder.py", "import os, pytest\nos.chdir('tests/toys')\npytest.main(['--solutions'])\n")
    assert outcome(shop.run("from_subfolder")) == "4 passed"


def test_a_foreign_package_called_tests_is_not_in_the_way(shop, tmp_path):
    foreign = tmp_path / "site"
    (foreign / "tests" / "toys").mkdir(parents=True)
    for folder in (foreign / "tests", foreign / "tests" / "toys"):
        (folder / "__init__.py").write_text("raise_if_served = True\n", encoding="utf-8")
    (foreign / "plugin_with_tests.py").write_text("import tests.toys\n", encoding="utf-8")
    path = os.pathsep.join([str(foreign), str(shop.root)])
    run = shop.run("pytest", "tests/toys", "--solutions", "-p", "plugin_with_tests", PYTHONPATH=path)
    assert outcome(run) == "4 passed", run.stdout + run.stderr


SPAWNED = '''"""A spawned data-loader worker sees the room of its parent."""

import torch.multiprocessing

from katas.toys.doubling import double


class Doubles(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return double(index)


def test_a_spawned_worker_is_served_alike():
    loader = torch.utils.data.DataLoader(Doubles(), num_workers=1, multiprocessing_context="spawn")
    assert [int(batch) for batch in loader] == [0, 2, 4, 6]
'''


def test_a_spawned_data_loader_worker_sees_the_same_room(shop):
    shop.write("tests/spawned/__init__.py", "")
    shop.write("tests/spawned/test_spawned.py", SPAWNED)
    assert outcome(shop.run("pytest", "tests/spawned/test_spawned.py", "--solutions")) == "1 passed"
    assert outcome(shop.run("pytest", "tests/spawned/test_spawned.py")) == "1 failed"


def test_what_is_not_allowed_fails_every_test_of_its_kata_and_no_other(toys):
    toys.write("solutions/toys/doubling.py", DOUBLING.replace("Clauses:", "Not allowed: sum.\n\n    Clauses:"))
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number\n", "sum([number, number])\n"))
    toys.write(
        "katas/toys/quadrupling.py", toys.read("solutions/toys/quadrupling.py").replace("double(double(number))", "12")
    )
    run = toys.run("pytest", "tests/toys")
    assert outcome(run) == "3 failed, 1 passed"
    assert "katas/toys/doubling.py:11 uses sum" in run.stdout


def test_a_file_that_python_cannot_read_costs_no_other_kata_its_verdict(toys):
    toys.write("katas/toys/quadrupling.py", "def quadruple(number) return 4\n")
    toys.write("katas/toys/doubling.py", DOUBLING)
    assert outcome(toys.run("pytest", "tests/toys")) == "1 failed, 3 passed"


def test_two_saves_within_one_second_are_two_files(toys):
    toys.write(
        "swap.py",
        "import importlib, os, pathlib, katas.toys.doubling as kata\n"
        "path = pathlib.Path(kata.__file__)\n"
        "for factor in (2, 3):\n"
        "    path.write_text(f'def double(number):\\n    return number * {factor}\\n', encoding='utf-8')\n"
        "    os.utime(path, (1, 1))\n"
        "    print(importlib.reload(kata).double(1))\n",
    )
    assert toys.run("swap").stdout.split() == ["2", "3"]


def test_outside_of_tests_python_tells_its_own_errors(toys):
    toys.write("katas/toys/doubling.py", "def double(number) return 2\n")
    run = toys.run("katas.toys.doubling")
    assert "SyntaxError" in run.stderr
    assert "doubling.py" in run.stderr


def test_a_child_process_reads_the_room_from_the_environment(shop):
    shop.write("ask.py", "from katas.toys.doubling import double\nprint(double(4))\n")
    said = json.dumps({"toys/doubling": "solutions:tripled"})
    assert shop.run("ask", KATA_ROOMS=said).stdout.strip() == "12"


def test_pytest_leaves_the_environment_as_it_was(shop):
    shop.write(
        "twice.py",
        "import os, pytest\n"
        "pytest.main(['tests/toys', '--solutions', '--co', '-q'])\n"
        "print(sorted(name for name in os.environ if name.startswith('KATA_')))\n",
    )
    assert shop.run("twice").stdout.strip().splitlines()[-1] == "[]"


def test_the_finder_is_put_in_place_once():
    from dojo.serving.finder import Finder, serve

    serve()
    serve()
    assert sum(isinstance(finder, Finder) for finder in sys.meta_path) == 1
