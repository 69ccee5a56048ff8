"""What the tests of the katas share has tests of its own: a helper that cannot fail makes every suite toothless."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest
import torch

from dojo import ROOT
from dojo.catalog.curriculum import katas
from dojo.serving.finder import served
from tests import laws
from tests.support import SCRIPTS, Moved, close, dealt, names, numbers, refuses, same


def test_numbers_are_the_same_everywhere():
    expected = [0.6888437, 0.5159088, -0.1588569, -0.4821664, 0.0225494, -0.1901317]
    torch.testing.assert_close(numbers(2, 3), torch.tensor(expected).reshape(2, 3))
    assert not torch.equal(numbers(2, 3), numbers(2, 3, seed=1))
    assert numbers(2, dtype=torch.float64).dtype == torch.float64


def test_weights_are_dealt_by_name_and_not_by_order():
    one = dealt(torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)}))
    other = dealt(torch.nn.ModuleDict({"b": torch.nn.Linear(2, 2), "a": torch.nn.Linear(2, 2)}))
    torch.testing.assert_close(one["a"].weight, other["a"].weight)
    assert not torch.equal(one["a"].weight, one["b"].weight)


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (torch.zeros(2), r"the shape is \(2,\), expected \(3,\): because"),
        (torch.zeros(3, dtype=torch.float64), "but the dtype is torch.float64, expected torch.float32: because"),
        (torch.ones(3, dtype=torch.float64), r"the value at \[0\] is 1, expected 0: because"),
        (torch.tensor([0.0, 0.5, 0.0]), r"the value at \[1\] is 0.5, expected 0: because"),
        (torch.tensor([0.0, 0.0, torch.nan]), r"the value at \[2\] is nan, expected 0: because"),
        (torch.tensor([0.0, -torch.inf, torch.nan]), r"the value at \[2\] is nan, expected 0: because"),
        (None, "the result is None, expected a tensor: because"),
    ],
)
def test_close_names_the_first_thing_that_differs(actual, said):
    with pytest.raises(pytest.fail.Exception, match=said):
        close(actual, torch.zeros(3), "because")


def test_close_looks_past_infinities_and_nans_that_agree():
    expected = torch.tensor([-torch.inf, torch.nan, 2.0])
    with pytest.raises(pytest.fail.Exception, match=r"the value at \[2\] is 1, expected 2: because"):
        close(torch.tensor([-torch.inf, torch.nan, 1.0]), expected, "because", equal_nan=True)
    close(expected.clone(), expected, "because", equal_nan=True)


def test_close_shows_as_many_digits_as_it_takes():
    with pytest.raises(pytest.fail.Exception, match=r"the value at \[0\] is 0.249999996, expected 0.25: because"):
        close(torch.tensor([0.2499999963], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64), "because")


def test_close_lets_the_last_digits_pass():
    close(torch.tensor([1.0 + 1e-6]), torch.tensor([1.0]), "because")


@pytest.mark.parametrize(
    ("actual", "expected", "said"),
    [
        ([1, 2], [1, 3], r"2 at \[1\], expected 3: because"),
        ([1], [1, 2], "1 items, expected 2: because"),
        ((1, 2), [1, 2], r"\(1, 2\), expected \[1, 2\]: because"),
        ({"a": 1}, {"a": 1, "b": 2}, "'b' is missing: because"),
        ({"a": 1, "b": 2}, {"a": 1}, "'b' should not be there: because"),
        ({"a": [1]}, {"a": [2]}, r"1 at \['a'\]\[0\], expected 2: because"),
        (True, 1, "True, expected 1: because"),
        (None, [], r"None, expected \[\]: because"),
    ],
)
def test_same_names_the_first_thing_that_differs(actual, expected, said):
    with pytest.raises(pytest.fail.Exception, match=said):
        same(actual, expected, "because")


WORK = """
import sys, torch
from tests.support import close
weight = torch.nn.Parameter(torch.tensor([1.0]))
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
    optimizer = kind([weight], lr=0.1)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.zero_grad()
    weight.square().sum().backward()
    optimizer.step()
try:
    close(weight, torch.tensor([3.0]), "because")
except BaseException as error:
    print(error)
print({"torch._dynamo", "sympy"} & set(sys.modules))
"""


def test_neither_an_optimizer_nor_a_wrong_value_imports_the_compiler():
    ended = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True)
    # SGD takes 0.1 * 2 from 1, Adam 0.1, AdamW a thousandth of what is left and 0.1.
    assert ended.stdout == "the value at [0] is 0.5993, expected 3: because\nset()\n", ended.stderr


def test_same_takes_equal_values():
    same({"a": [1, (2, b"3")]}, {"a": [1, (2, b"3")]}, "because")


def test_a_refusal_names_its_values():
    with refuses(ValueError, 7, 6):
        raise ValueError("7 tokens do not fit 6")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (None, "expected a ValueError that names 7 and 6; nothing was refused"),
        (ValueError("7 tokens"), "the message does not name 6"),
        (TypeError("7 and 6"), "a TypeError came instead"),
        (UnicodeError("7 and 6"), "a UnicodeError came instead"),
        (RuntimeError("7 and 6"), "a RuntimeError came instead"),
    ],
)
def test_anything_else_is_no_refusal(raised, said):
    def call():
        if raised:
            raise raised

    with pytest.raises(pytest.fail.Exception, match=said), refuses(ValueError, 7, 6):
        call()


@pytest.mark.parametrize(
    ("message", "value", "named"),
    [
        ("1 is too little", 1, True),
        ("10 is too much", 1, False),
        ("21 is too much", 1, False),
        ("1.5 is no int", 1, False),
        ("0.1 is too little", 1, False),
        ("the length is 1.", 1, True),
        ("rank=-1", -1, True),
        ("rank=-12", -1, False),
        ("blocks.1.weight", "blocks.1", True),
        ("blocks.11.weight", "blocks.1", False),
        ("the shape is (3, 5)", (3, 5), True),
        ("the shape is torch.Size([3, 5])", (3, 5), True),
        ("the shape is 3 x 5", (3, 5), True),
        ("the shape is (3, 55)", (3, 5), False),
        ("the shape is (5,)", (5,), True),
        ("rank has to be positive", "rank", True),
    ],
)
def test_a_number_is_named_whole_and_a_shape_in_any_brackets(message, value, named):
    assert names(message, value) is named


def test_a_stub_is_no_refusal():
    with pytest.raises(NotImplementedError), refuses(NotImplementedError):
        raise NotImplementedError


def test_texts_cover_scripts_and_edges():
    assert "" in SCRIPTS.values()
    assert len({ord(letter) // 128 for text in SCRIPTS.values() for letter in text}) > 20


@pytest.mark.parametrize(
    "meet",
    [
        lambda here, there: there.masked_fill_(here > 0, 0),
        lambda here, there: there @ here,
        lambda here, there: torch.add(there, other=here),
        lambda here, there: torch.cat([there, here]),
        lambda here, there: there + torch.ones(2, 2),
        lambda here, there: there.cpu() + there,
    ],
)
def test_tensors_on_two_devices_may_not_meet(meet):
    there = torch.ones(2, 2)
    with Moved(None, there), pytest.raises(RuntimeError, match="was given tensors on two devices"):
        meet(torch.ones(2, 2), there)


@pytest.mark.parametrize(
    "meet",
    [
        lambda here, there: there[here.long()],
        lambda here, there: there * here[0, 0],
        lambda here, there: here.to(there) + there,
        lambda here, there: there.copy_(here),
        lambda here, there: there + torch.ones(2, 2, device=there.device),
        lambda here, there: torch.ones_like(there).tril() + there.T,
    ],
)
def test_what_a_gpu_takes_from_elsewhere_may_be_elsewhere(meet):
    there = torch.ones(2, 2)
    with Moved(None, there) as device:
        assert device.has(meet(torch.ones(2, 2), there))


def test_a_module_takes_its_parameters_and_buffers_along_and_nothing_else():
    module = torch.nn.Linear(2, 2)
    module.register_buffer("mask", torch.ones(2))
    module.left_behind = torch.ones(2)
    with Moved(module) as device:
        assert device.has(module.weight * module.mask)
        assert not device.has(module.left_behind + 1)


def calls_in(module):
    """The calls of a test module's own functions and of those that it imports from tests, each with its line."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Call(func=ast.Name(id=name)):
                called = getattr(module, name, None)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="laws"), attr=name)):
                called = getattr(laws, name)
            case _:
                continue
        unpacked = any(isinstance(one, ast.Starred) for one in node.args) or any(not one.arg for one in node.keywords)
        if inspect.isfunction(called) and called.__module__.startswith("tests.") and not unpacked:
            yield node, called


@pytest.mark.parametrize("kata", katas(), ids=lambda kata: kata.address)
def test_what_a_test_calls_takes_what_it_is_given(kata):
    """The words of a failure are put together only when somebody is wrong: an error there reaches a learner first."""
    with served({"*": "solutions"}):
        module = importlib.import_module(f"tests.{kata.part.replace('/', '.')}.test_{kata.name}")
    calls = list(calls_in(module))
    assert calls
    for node, called in calls:
        try:
            inspect.signature(called).bind(*node.args, **{one.arg: one.value for one in node.keywords})
        except TypeError as error:
            pytest.fail(f"line {node.lineno}: {ast.unparse(node)}: {error}")
