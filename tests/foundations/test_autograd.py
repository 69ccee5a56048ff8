"""Automatic differentiation, clause by clause. The why: docs/foundations/autograd.md."""

import math
import operator
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.foundations.autograd import Value, gradient_descent_step
from tests.support import both, clause, refuses

# An expression, the same for Values and for PyTorch's tensors, and its slopes in x and in y.
OPERATIONS = {
    "x + y": (lambda x, y: x + y, lambda x, y: (1, 1)),
    "x - y": (lambda x, y: x - y, lambda x, y: (1, -1)),
    "x * y": (lambda x, y: x * y, lambda x, y: (y, x)),
    "x / y": (lambda x, y: x / y, lambda x, y: (1 / y, -x / y**2)),
    "x ** 3": (lambda x, y: x**3, lambda x, y: (3 * x**2, 0)),
    "x ** -2": (lambda x, y: x**-2, lambda x, y: (-2 / x**3, 0)),
    "x ** 2.0": (lambda x, y: x**2.0, lambda x, y: (2 * x, 0)),
    "x ** 1.5": (lambda x, y: x**1.5, lambda x, y: (1.5 * x**0.5, 0)),
    "x ** 0.5": (lambda x, y: x**0.5, lambda x, y: (0.5 * x**-0.5, 0)),
    "-x": (lambda x, y: -x, lambda x, y: (-1, 0)),
    "x.exp()": (lambda x, y: x.exp(), lambda x, y: (math.exp(x), 0)),
    "x.tanh()": (lambda x, y: x.tanh(), lambda x, y: (1 / math.cosh(x) ** 2, 0)),
    "x.relu()": (lambda x, y: x.relu(), lambda x, y: (1 if x > 0 else 0, 0)),
}
FUNCTIONS = {"x.exp()": math.exp, "x.tanh()": math.tanh, "x.relu()": lambda x: max(0.0, x)}
# The same with a plain number n.
MIXED = {
    "n + x": lambda x, n: n + x,
    "x + n": lambda x, n: x + n,
    "n - x": lambda x, n: n - x,
    "x - n": lambda x, n: x - n,
    "n * x": lambda x, n: n * x,
    "x * n": lambda x, n: x * n,
    "n / x": lambda x, n: n / x,
    "x / n": lambda x, n: x / n,
    "x ** n": lambda x, n: x**n,
}
IN_PLACE = {
    "+= 4": (operator.iadd, 6),
    "-= 4": (operator.isub, -2),
    "*= 4": (operator.imul, 8),
    "/= 4": (operator.itruediv, 0.5),
    "**= 4": (operator.ipow, 16),
}
USES = {
    "x + x": (lambda x: x + x, 2),
    "x * x": (lambda x: x * x, 6),
    "x * x * x": (lambda x: x * x * x, 27),
    "x - x": (lambda x: x - x, 0),
    "x / x": (lambda x: x / x, 0),
    "2 * x + 5 * x": (lambda x: 2 * x + 5 * x, 7),
    "x * (x + 1)": (lambda x: x * (x + 1), 7),
    "x.relu() + x * -x": (lambda x: x.relu() + x * -x, -5),
}
WRONGS = [("3", "str"), (None, "NoneType"), (1j, "complex")]
BESIDE = {
    "Value + it": lambda x, wrong: x + wrong,
    "it + Value": lambda x, wrong: wrong + x,
    "it - Value": lambda x, wrong: wrong - x,
    "Value * it": lambda x, wrong: x * wrong,
    "it / Value": lambda x, wrong: wrong / x,
}
LINE = [(x, 2 * x - 1) for x in (-1, 0, 1, 2)]
NUMBERS = st.integers(-30, 30).filter(bool).map(lambda tenths: tenths / 10)
PLACES = [(1.7, -0.6), (-0.8, 2.5), (3.0, 0.1)]


def near(seen, expected, because):
    """Assert that a number is the expected one, but for the last digits of a float."""
    __tracebackhide__ = True
    if not isinstance(seen, int | float):
        pytest.fail(f"expected a number, and it is a {type(seen).__name__}: {because}")
    if not math.isclose(seen, expected, rel_tol=1e-9, abs_tol=1e-9):
        pytest.fail(f"{both(seen, expected)}: {because}")


def fits(name, x):
    """A number for which an operation is defined: no fractional power of what is negative."""
    return abs(x) if name in ("x ** 1.5", "x ** 0.5") else x


def run(name, x, y):
    return OPERATIONS[name][0](x, y) if name in OPERATIONS else MIXED[name](x, 2)


@st.composite
def graphs(draw):
    """A random expression: its leaves, and its steps, each an operation with the places of the two that it takes.

    PyTorch computes along, so that no step divides by nearly 0, grows without end or stands at the corner of relu.
    """
    leaves, steps = draw(st.lists(NUMBERS, min_size=1, max_size=3)), []
    values = [torch.tensor(leaf, dtype=torch.float64) for leaf in leaves]
    for _ in range(draw(st.integers(1, 10))):
        name = draw(st.sampled_from([*OPERATIONS, *MIXED]))
        here, there = draw(st.integers(0, len(values) - 1)), draw(st.integers(0, len(values) - 1))
        made = run(name, values[here], values[there])
        if not (abs(made) < 50 and abs(values[here]) > 0.1 and abs(values[there]) > 0.1):
            name, here, there = "x + n", 0, 0
            made = values[0] + 2
        values.append(made)
        steps.append((name, here, there))
    return leaves, steps


def built(graph, make):
    """All values of a random expression, the leaves first and the result last."""
    leaves, steps = graph
    values = [make(leaf) for leaf in leaves]
    for name, here, there in steps:
        values.append(run(name, values[here], values[there]))
    return values


def written(graph):
    """A random expression as a learner would write it down."""
    leaves, steps = graph
    lines = [f"v{place} = Value({leaf})" for place, leaf in enumerate(leaves)]
    for place, (name, here, there) in enumerate(steps, start=len(leaves)):
        parts = {"x": f"v{here}", "y": f"v{there}", "n": "2", "-x": f"-v{here}"}
        head, dot, tail = name.partition(".") if name.endswith(")") else (name, "", "")
        lines.append(f"v{place} = " + " ".join(parts.get(word, word) for word in head.split()) + dot + tail)
    return "; ".join(lines)


def of_torch(graph):
    """Data and gradients of all values of a random expression, by PyTorch."""
    values = built(graph, lambda leaf: torch.tensor(leaf, dtype=torch.float64, requires_grad=True))
    for value in values:
        value.retain_grad()
    values[-1].backward()
    return [(value.item(), 0.0 if value.grad is None else value.grad.item()) for value in values]


def diamond(first, second, make):
    """x = 1, and a result that it reaches from 2 * x on two ways, one of `first` steps and one of `second` steps."""
    x = make(1)
    left = right = 2 * x
    for _ in range(first):
        left = left * 3
    for _ in range(second):
        right = right * 5
    return x, left + right


def doubled(times, make):
    """x = 1, and what comes of adding it to itself again and again: two paths lead from each value to the next."""
    x = last = make(1)
    for _ in range(times):
        last = last + last
    return x, last


def chain(length, make):
    """x = 1, and what comes of adding it many times, one addition after the other, on either side."""
    x = last = make(1)
    for step in range(length):
        last = last + x if step % 2 else x + last
    return x, last


def in_a_row(make):
    """Four values, each computed from the one before, and the derivatives of the last: 60, 20, 20, 1."""
    x = make(2)
    y = 3 * x
    z = y + 4
    return x, y, z, z**2


IN_A_ROW = "x = Value(2); y = 3 * x; z = y + 4; result = z ** 2"


def crossed(make):
    """Values that are used by what comes next and by what comes later; the derivatives are 484, 105, 9, 2, 1."""
    x = make(2)
    a = x * x
    b = a * a
    c = b * a
    return x, a, b, c, c * x + b + a


def fitted(make, step, steps):
    """The parameters w and b of a line, after many steps from 0."""
    w, b = make(0), make(0)
    for _ in range(steps):
        w.grad = b.grad = 0.0
        sum([(w * x + b - y) ** 2 for x, y in LINE]).backward()
        step([w, b], 0.07)
    return w.data, b.data


def visited(make, call):
    """How often a grad is set when a value is reached from the last of 10 doublings: 11 values, 2 047 paths."""
    count = [0]

    class Watched(make):
        def __setattr__(self, name, value):
            count[0] += name == "grad"
            super().__setattr__(name, value)

    _, last = doubled(10, Watched)
    count[0] = 0
    getattr(last, call)()
    return count[0]


def probe(kata):
    """Small cases on which the known mistakes differ. Numbers become tensors, which are compared with a tolerance."""
    make = kata.Value

    def told(*values):
        """Data and grads as numbers; anything else becomes the name of its type."""
        seen = [number for value in values for number in (value.data, value.grad)]
        if any(not isinstance(number, int | float) for number in seen):
            return [type(number).__name__ for number in seen]
        return torch.tensor(seen, dtype=torch.float64)

    def refused(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def back(expression, *numbers):
        """The leaves and the result of an expression, after its backward()."""
        leaves = [make(number) for number in numbers]
        result = expression(*leaves)
        result.backward()
        return told(*leaves, result)

    def after(values, *places):
        """The values after the backward() of those at the places."""
        for place in places:
            values[place].backward()
        return told(*values)

    def outside():
        x = make(3)
        y = 2 * x
        return after([x, x * 7, y * 11, y], -1)

    def two_results():
        x = make(3)
        return after([x, 2 * x, 5 * x], 1, 2)

    def zeroed():
        x, w = make(3), make(2)
        y = x * w
        values = [x, w, y, y + x, y * 5]
        after(values, 3, 4)
        values[3].zero_grad()
        return told(*values)

    def cleared():
        values = in_a_row(make)
        after(values, -1)
        values[-1].zero_grad()
        return after(values, -1)

    def deep(call):
        """A chain deeper than Python may call: with less room for calls, a short one will do."""
        _, last = chain(250, make)
        frame, depth, limit = sys._getframe(), 0, sys.getrecursionlimit()
        while frame := frame.f_back:
            depth += 1
        sys.setrecursionlimit(depth + 150)
        try:
            return refused(getattr(last, call))
        finally:
            sys.setrecursionlimit(limit)

    def in_place(change):
        x = make(2)
        change(x, 4)
        return told(x)

    def types():
        x = make(2)
        return type(x.data).__name__, type(x.grad).__name__

    def cleared_type():
        x = make(2)
        x.zero_grad()
        return type(x.grad).__name__

    def stepped():
        parameters = [make(3), make(-1), make(2)]
        for parameter, grad in zip(parameters, [2.0, -4.0, 0.5], strict=True):
            parameter.grad = grad
        kata.gradient_descent_step(parameters, 0.1)
        return [parameter.data for parameter in parameters], [parameter.grad for parameter in parameters]

    parts = {"example": lambda: back(lambda x, y: x * y + x, 2, 3)}
    for name in OPERATIONS:
        parts[name] = lambda name=name: back(lambda x, y: run(name, x, y), 1.7, -0.6)
        parts[f"7 * ({name})"] = lambda name=name: back(lambda x, y: 7 * run(name, x, y), fits(name, -0.8), 2.5)
    for name, mixed in MIXED.items():
        parts[name] = lambda f=mixed: back(lambda x: f(x, 3), 1.7)
    for name, (use, _) in USES.items():
        parts[name] = lambda use=use: back(use, 3)
    for name, (change, _) in IN_PLACE.items():
        parts[name] = lambda change=change: in_place(change)
    return parts | {
        "in a row": lambda: after(in_a_row(make), -1),
        "alone": lambda: back(lambda x: x, 2),
        "equal data": lambda: back(lambda x, y: x * x * y, 2, 2),
        "diamond": lambda: after(diamond(1, 3, make), -1),
        "other diamond": lambda: after(diamond(3, 1, make), -1),
        "crossed": lambda: after(crossed(make), -1),
        "outside": outside,
        "two results": two_results,
        "twice": lambda: after(in_a_row(make), -1, -1),
        "crossed twice": lambda: after(crossed(make), -1, -1),
        "zeroed": zeroed,
        "cleared": cleared,
        "visits": lambda: visited(make, "backward") > 50,
        "visits of zero_grad": lambda: visited(make, "zero_grad") > 50,
        "deep": lambda: deep("backward"),
        "deep zero_grad": lambda: deep("zero_grad"),
        "types": types,
        "type after zero_grad": cleared_type,
        "relu at 0": lambda: back(lambda x: 7 * x.relu(), 0),
        "x ** 0 at 0": lambda: refused(lambda: back(lambda x: x**0, 0)),
        "x ** 0.5 at 0": lambda: refused(lambda: back(lambda x: x**0.5, 0)),
        "tanh of 1000": lambda: refused(lambda: back(lambda x: x.tanh(), 1000)),
        "tanh of -1000": lambda: refused(lambda: back(lambda x: x.tanh(), -1000)),
        "exp of 1000": lambda: refused(lambda: back(lambda x: x.exp(), 1000)),
        "10 ** 400": lambda: refused(lambda: (make(10) ** 400).data),
        "-10 ** 401": lambda: refused(lambda: (make(-10) ** 401).data),
        "-8 ** 0.5": lambda: refused(lambda: str((make(-8) ** 0.5).data)),
        "made of text": lambda: refused(lambda: type(make("3").data).__name__),
        "a Value as exponent": lambda: refused(lambda: (make(2) ** make(3)).data),
        "step": lambda: torch.tensor(stepped()[0]),
        "grads after a step": lambda: torch.tensor(stepped()[1]),
    }


@clause("example")
def test_a_small_expression_computed_by_hand():
    x, y = Value(2), Value(3)
    result = x * y + x
    near(result.data, 8, "the data of x * y + x, with x = 2 and y = 3")
    result.backward()
    near(x.grad, 4, "x.grad: when x grows by 1, x * y grows by y = 3, and the second x by 1")
    near(y.grad, 2, "y.grad: when y grows by 1, x * y + x grows by x = 2")


@clause("forward")
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_is_that_of_floats(name):
    for x, y in PLACES:
        x = fits(name, x)
        expected = FUNCTIONS[name](x) if name in FUNCTIONS else run(name, x, y)
        near(run(name, Value(x), Value(y)).data, expected, f"the data of {name} at x = {x}, y = {y}")


@clause("plain-numbers")
@pytest.mark.parametrize("name", MIXED)
def test_a_plain_number_may_stand_on_either_side(name):
    for x, n in [(3.0, 2), (0.5, -3), (1.25, 2.5)]:
        seen = MIXED[name](Value(x), n)
        near(seen.data, MIXED[name](x, n), f"the data of {name.replace('n', f'({n})')} at x = {x}")


@clause("plain-numbers")
def test_values_can_be_summed():
    total = sum([Value(2), Value(3), Value(5)])
    near(total.data, 10, "the data of sum([Value(2), Value(3), Value(5)]), which begins with 0 + Value(2)")


@clause("slopes")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_derivative_of_an_operation(name):
    for x, y in PLACES:
        x = fits(name, x)
        left, right = Value(x), Value(y)
        run(name, left, right).backward()
        in_x, in_y = OPERATIONS[name][1](x, y)
        near(left.grad, in_x, f"the derivative of {name} in x, at x = {x}, y = {y}")
        near(right.grad, in_y, f"the derivative of {name} in y, at x = {x}, y = {y}")


@clause("slopes")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_derivative_is_multiplied_by_what_comes_back(name):
    x, y = Value(1.5), Value(-0.5)
    (7 * run(name, x, y)).backward()
    in_x, in_y = OPERATIONS[name][1](1.5, -0.5)
    near(x.grad, 7 * in_x, f"the derivative of 7 * ({name}) in x, at x = 1.5, y = -0.5, is 7 times that of {name}")
    near(y.grad, 7 * in_y, f"the derivative of 7 * ({name}) in y, at x = 1.5, y = -0.5, is 7 times that of {name}")


@clause("inner")
def test_each_value_on_the_way_gets_its_derivative():
    x, y, z, result = in_a_row(Value)
    result.backward()
    for name, value, expected in (("result", result, 1), ("z", z, 20), ("y", y, 20), ("x", x, 60)):
        near(value.grad, expected, f"{name}.grad after {IN_A_ROW}; result.backward()")


@clause("reuse")
@pytest.mark.parametrize("shown", USES)
def test_all_uses_of_a_value_add_up(shown):
    expression, expected = USES[shown]
    x = Value(3)
    expression(x).backward()
    near(x.grad, expected, f"x.grad of {shown} at x = 3: what comes back from each use is added")


@clause("reuse")
def test_equal_numbers_are_different_values():
    a, b = Value(2), Value(2)
    (a * a * b).backward()
    near(a.grad, 8, "a = Value(2) and b = Value(2): a.grad of a * a * b is 2 * a * b")
    near(b.grad, 4, "a = Value(2) and b = Value(2): b.grad of a * a * b is a * a")


@clause("order")
@given(st.integers(0, 5), st.integers(0, 5))
def test_two_paths_of_any_length_add_up(first, second):
    x, result = diamond(first, second, Value)
    result.backward()
    because = f"x.grad; from a = 2 * x, {first} times * 3 and {second} times * 5, and the sum of both"
    near(x.grad, 2 * (3**first + 5**second), because)


@clause("order")
def test_a_value_waits_for_all_that_use_it():
    x, a, b, c, result = crossed(Value)
    result.backward()
    shown = "x = Value(2); a = x * x; b = a * a; c = b * a; result = c * x + b + a; result.backward()"
    for name, value, expected in (("c", c, 2), ("b", b, 9), ("a", a, 105), ("x", x, 484)):
        near(value.grad, expected, f"{name}.grad after {shown}: x waits for a and c, a for b and c, b for c")


@clause("order")
def test_what_is_not_part_of_the_result_is_not_waited_for():
    x = Value(3)
    y = 2 * x
    elsewhere = [x * 7, y * 11]
    y.backward()
    near(x.grad, 2, "x.grad after y = 2 * x; x * 7; y * 11; y.backward(): the other two results take no part")
    for value in elsewhere:
        near(value.grad, 0, "the grad of x * 7 and y * 11 after y.backward()")


@clause("agrees")
@given(graphs())
def test_random_expressions_agree_with_torch(graph):
    values = built(graph, Value)
    values[-1].backward()
    for place, (value, (data, grad)) in enumerate(zip(values, of_torch(graph), strict=True)):
        near(value.data, data, f"v{place}.data in {written(graph)}")
        near(value.grad, grad, f"v{place}.grad after v{len(values) - 1}.backward() in {written(graph)}")


@clause("accumulate")
def test_two_results_add_up_in_a_parameter():
    x = Value(3)
    first, second = 2 * x, x * x
    first.backward()
    second.backward()
    near(x.grad, 2 + 6, "x.grad after x = Value(3); (2 * x).backward(); (x * x).backward()")


@clause("step")
@pytest.mark.parametrize("learning_rate", [0.1, 1, 0])
def test_each_parameter_moves_against_its_gradient(learning_rate):
    parameters, grads = [Value(3), Value(-1), Value(2)], [2.0, -4.0, 0.5]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    gradient_descent_step(parameters, learning_rate)
    for parameter, data, grad in zip(parameters, (3, -1, 2), grads, strict=True):
        because = f"the data of a parameter of {data} with the grad {grad}, after a step of {learning_rate}"
        near(parameter.data, data - learning_rate * grad, because)


@clause("step")
def test_many_steps_find_a_line():
    w, b = fitted(Value, gradient_descent_step, 30)
    for name, seen, expected in (("w", w, 2), ("b", b, -1)):
        assert abs(seen - expected) < 0.01, (
            f"{name} is {seen:.4g} after 30 steps, expected {expected}: w * x + b learns the points of 2 * x - 1"
        )


@clause("floats")
@pytest.mark.parametrize("given", [3, 3.5, -2, 0])
def test_a_value_holds_two_floats(given):
    value = Value(given)
    for name, expected in (("data", given), ("grad", 0)):
        seen = getattr(value, name)
        near(seen, expected, f"{name} of Value({given})")
        assert type(seen) is float, f"{name} of Value({given}) is {seen!r}, a {type(seen).__name__}, expected a float"


@clause("floats")
@pytest.mark.parametrize("name", OPERATIONS)
def test_results_hold_two_floats(name):
    x, result = Value(2), run(name, Value(-2 if name == "x.relu()" else 2), Value(3))
    (result * x).backward()
    for attribute in ("data", "grad"):
        seen = getattr(result, attribute)
        because = f"{attribute} of {name} is {seen!r} after a backward(), a {type(seen).__name__}, expected a float"
        assert type(seen) is float, because


@clause("twice")
def test_a_second_backward_adds_the_same_again():
    x, y, z, result = in_a_row(Value)
    for times in (1, 2, 3):
        result.backward()
        for name, value, once in (("result", result, 1), ("z", z, 20), ("y", y, 20), ("x", x, 60)):
            near(value.grad, times * once, f"{name}.grad after {IN_A_ROW}, and {times} times result.backward()")


@clause("twice")
@given(graphs())
def test_twice_is_twice_as_much_in_any_expression(graph):
    values = built(graph, Value)
    values[-1].backward()
    once = [value.grad for value in values]
    values[-1].backward()
    for place, (value, grad) in enumerate(zip(values, once, strict=True)):
        near(value.grad, 2 * grad, f"v{place}.grad after two v{len(values) - 1}.backward() in {written(graph)}")


@clause("zero-grad")
def test_all_that_a_value_was_computed_from_is_cleared():
    x, w, b = Value(3), Value(2), Value(1)
    y = x * w
    z = y + b
    result = z.tanh() + y
    result.backward()
    result.zero_grad()
    shown = "y = x * w; z = y + b; result = z.tanh() + y; result.backward(); result.zero_grad()"
    for name, value in (("x", x), ("w", w), ("b", b), ("y", y), ("z", z), ("result", result)):
        near(value.grad, 0, f"{name}.grad after {shown}")
    y.backward()
    near(w.grad, 3, f"w.grad after {shown}; y.backward()")


@clause("zero-grad")
def test_no_other_grad_is_cleared():
    x = Value(3)
    y, beside = 2 * x, 5 * x
    y.backward()
    beside.backward()
    y.zero_grad()
    near(beside.grad, 1, "y = 2 * x; beside = 5 * x; both backward(); y.zero_grad(): this is beside.grad")


@clause("visits")
@pytest.mark.parametrize("call", ["backward", "zero_grad"])
def test_each_value_is_visited_once(call):
    times = visited(Value, call)
    assert times <= 50, (
        f"x = x + x, 10 times, makes 11 values, but {call}() set a grad {times} times: once for each path"
    )


@pytest.mark.slow
@clause("deep")
@pytest.mark.parametrize("call", ["backward", "zero_grad"])
def test_a_long_chain_needs_no_recursion(call):
    x, last = chain(10_000, Value)
    try:
        getattr(last, call)()
    except RecursionError:
        pytest.fail(f"{call}() ended in a RecursionError, for a sum of 10 000 terms that were added one by one")
    near(x.grad, 10_001 if call == "backward" else 0, f"x.grad after {call}() of a sum of 10 001 times x")


@clause("pure")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_leaves_its_operands_alone(name):
    x, y = Value(-1.5 if name == "x.relu()" else 1.5), Value(-2)
    x.grad, y.grad = 0.5, 0.25
    before = (x.data, x.grad, y.data, y.grad)
    run(name, x, y)
    seen = (x.data, x.grad, y.data, y.grad)
    assert seen == before, f"after {name}, data and grad of x and y are {seen}; they were {before}"


@clause("pure")
@pytest.mark.parametrize("name", IN_PLACE)
def test_an_assignment_makes_a_new_value(name):
    change, expected = IN_PLACE[name]
    x = old = Value(2)
    x = change(x, 4)
    near(x.data, expected, f"the data of x after x = Value(2); x {name}")
    near(old.data, 2, f"the data of old after x = old = Value(2); x {name}")


@clause("relu-at-zero")
def test_relu_is_flat_at_zero():
    x = Value(0)
    (7 * x.relu()).backward()
    near(x.grad, 0, "the derivative of 7 * x.relu() at x = 0")


@clause("power-at-zero")
@pytest.mark.parametrize(
    ("x", "n", "data", "slope"),
    [(0, 0, 1, 0), (0, 0.0, 1, 0), (3, 0, 1, 0), (0, 0.5, 0, math.inf), (0, 1, 0, 1), (0, 1.5, 0, 0), (0, 2, 0, 0)],
)
def test_powers_at_zero(x, n, data, slope):
    value = Value(x)
    try:
        result = value**n
    except ZeroDivisionError:
        pytest.fail(f"x ** {n} at x = {x} ended in a ZeroDivisionError, in x ** (n - 1) of its derivative")
    result.backward()
    near(result.data, data, f"the data of x ** {n} at x = {x}")
    near(value.grad, slope, f"the derivative of x ** {n} at x = {x}")


@clause("large")
@pytest.mark.parametrize(
    ("name", "x", "data", "slope"),
    [
        ("x.tanh()", 1000, 1, 0),
        ("x.tanh()", -1000, -1, 0),
        ("x.exp()", -1000, 0, 0),
        ("x.exp()", 1000, math.inf, math.inf),
    ],
)
def test_functions_of_large_numbers(name, x, data, slope):
    value = Value(x)
    try:
        result = run(name, value, None)
    except OverflowError:
        pytest.fail(f"{name} at x = {x} ended in an OverflowError")
    result.backward()
    near(result.data, data, f"the data of {name} at x = {x}")
    near(value.grad, slope, f"the derivative of {name} at x = {x}")


@clause("large")
@pytest.mark.parametrize(
    ("x", "n", "data"),
    [
        (10, 401, math.inf),
        (-10, 401, -math.inf),
        (-10, 400, math.inf),
        (1e-200, -3, math.inf),
        (-1e-200, -3, -math.inf),
    ],
)
def test_powers_too_large_for_a_float(x, n, data):
    try:
        near((Value(x) ** n).data, data, f"the data of Value({x}) ** {n}")
    except OverflowError:
        pytest.fail(f"Value({x}) ** {n} ended in an OverflowError")


@clause("not-real")
@pytest.mark.parametrize(("x", "n"), [(-8.25, 0.5), (-0.75, 1.25)])
def test_a_root_of_a_negative_number_is_refused(x, n):
    with refuses(ValueError, x, n):
        Value(x) ** n


@clause("not-real")
@pytest.mark.parametrize(("x", "n", "data"), [(-2, 3.0, -8), (-2, -2.0, 0.25)])
def test_a_whole_power_of_a_negative_number_is_real(x, n, data):
    near((Value(x) ** n).data, data, f"the data of Value({x}) ** {n}")


@clause("refused")
@pytest.mark.parametrize(("wrong", "named"), WRONGS)
def test_a_value_is_made_of_a_number(wrong, named):
    with refuses(TypeError, named):
        Value(wrong)


@clause("refused")
@pytest.mark.parametrize("where", BESIDE)
@pytest.mark.parametrize(("wrong", "named"), WRONGS)
def test_only_numbers_may_stand_beside_a_value(where, wrong, named):
    with refuses(TypeError, named):
        BESIDE[where](Value(2), wrong)


@clause("refused")
@pytest.mark.parametrize(("wrong", "named"), [*WRONGS, (Value, "Value")])
def test_an_exponent_is_a_number(wrong, named):
    with refuses(TypeError, named):
        Value(2) ** (wrong(3) if wrong is Value else wrong)


@clause("kept")
def test_a_step_leaves_the_grads_alone():
    w = Value(3)
    w.grad = 2.0
    gradient_descent_step([w], 0.1)
    near(w.grad, 2, "w.grad was 2 before the step")
