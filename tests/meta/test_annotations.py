"""What the checks at a kata's door say of a value that does not fit its annotation."""

import pytest
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from dojo.serving.annotations import Mismatch, checked, forget_classes, unchecked


@checked
def project(x: Float[Tensor, "batch tokens d_in"], width: int = 1) -> Float[Tensor, "batch tokens"]:
    return {1: x.sum(-1), 2: x, 3: None, 4: x.sum(-1).long()}[width]


@pytest.mark.parametrize(
    ("arguments", "what", "seen", "expected"),
    [
        (
            (torch.zeros(2, 3), 1),
            "the argument x of project",
            "(2, 3) of torch.float32",
            "(batch, tokens, d_in) of floats",
        ),
        (
            (torch.zeros(2, 3, 4), 2),
            "the result of project",
            "(2, 3, 4) of torch.float32",
            "(batch 2, tokens 3) of floats",
        ),
        ((torch.zeros(2, 3, 4), 4), "the result of project", "(2, 3) of torch.int64", "(batch 2, tokens 3) of floats"),
        ((torch.zeros(2, 3, 4), 3), "the result of project", "None", "(batch 2, tokens 3) of floats"),
        ((torch.zeros(2, 3, 4), "1"), "the argument width of project", "str '1'", "int"),
    ],
)
def test_a_mismatch_names_the_value_its_axes_and_both_sides(arguments, what, seen, expected):
    with pytest.raises(Mismatch) as raised:
        project(*arguments)
    assert (raised.value.what, raised.value.seen, raised.value.expected) == (what, seen, expected)


def test_an_axis_has_one_size_in_a_call():
    @checked
    def add(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return x

    with pytest.raises(Mismatch, match=r"argument y of .*add is \(3,\) of torch.float32, expected \(n 2\) of floats"):
        add(torch.zeros(2), torch.zeros(3))
    add(torch.zeros(3), torch.zeros(3))


def test_a_kind_of_the_learners_own_is_told_by_its_name():
    @checked
    def halve(x: Float32[Tensor, " n"]) -> Float32[Tensor, " n"]:
        return x

    with pytest.raises(Mismatch, match=r"expected \(n\) of Float32"):
        halve(torch.zeros(2, 3))


def test_any_number_of_axes_is_told_by_their_sizes():
    @checked
    def lost(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return x.sum(-1)

    @checked
    def split(x: Float[Tensor, "*axes width"]) -> Float[Tensor, "*axes heads width"]:
        return x

    with pytest.raises(Mismatch, match=r"is \(2,\) of torch.float32, expected \(2, 3\) of floats"):
        lost(torch.zeros(2, 3))
    with pytest.raises(Mismatch, match=r"is \(2, 3\) of .*, expected \(\*axes \(2,\), heads, width 3\) of floats"):
        split(torch.zeros(2, 3))


def test_what_fits_passes_through():
    assert project(torch.ones(2, 3, 4)).tolist() == [[4.0] * 3] * 2


def test_an_int_is_a_float_where_python_says_so():
    @checked
    def f(p: float) -> float:
        return p

    assert f(0) == 0


def test_a_wrong_call_fails_as_python_fails_it():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        project()


def test_an_annotation_that_cannot_be_read_checks_nothing():
    @checked
    def f(x: "Undefined") -> "AlsoUndefined":  # noqa: F821
        return x

    assert f(1) == 1


def test_a_test_can_switch_the_checks_off():
    with unchecked():
        assert project(torch.zeros(2, 3, 4), 3) is None
    with pytest.raises(Mismatch):
        project(torch.zeros(2, 3, 4), 3)


def test_integers_are_no_floats():
    @checked
    def f(x: Int[Tensor, " n"]) -> int:
        return 0

    with pytest.raises(Mismatch, match=r"\(2,\) of torch.float32, expected \(n\) of integers"):
        f(torch.zeros(2))


def test_a_class_that_is_defined_anew_is_the_one_that_is_asked_for():
    """As when a kata is loaded a second time: its classes have the same names, and are others."""
    for _ in range(2):
        forget_classes()

        class Number:
            pass

        @checked
        def f(first: Number | float, rest: list[Number]) -> None:
            print(first, rest)

        f(Number(), [Number()])
        f(1, [])
        with pytest.raises(Mismatch, match="the argument first of"):
            f("1", [])


def test_a_function_that_was_not_called_is_told_as_such():
    @checked
    def f(x: Tensor) -> int:
        return x.dim

    with pytest.raises(Mismatch, match="is the function dim, which was not called, expected int"):
        f(torch.zeros(2))


def test_an_empty_body_is_not_written_but_a_dataclass_may_check_nothing():
    @checked
    def __init__(self): ...

    @checked
    def __post_init__(self):
        pass

    with pytest.raises(NotImplementedError, match="__init__ has an empty body"):
        __init__(None)
    __post_init__(None)
