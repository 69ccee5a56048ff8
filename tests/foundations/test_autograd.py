"""Automatic differentiation, clause by clause. The why: docs/foundations/autograd.md."""

import contextlib
import gc
import math
import operator
import re
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
    "-x": (lambda x, y: -x, lambda x, y: (-1, 0)),
    "x.exp()": (lambda x, y: x.exp(), lambda x, y: (math.exp(x), 0)),
    "x.tanh()": (lambda x, y: x.tanh(), lambda x, y: (1 / math.cosh(x) ** 2, 0)),
    "x.relu()": (lambda x, y: x.relu(), lambda x, y: (1 if x > 0 else 0, 0)),
}
FUNCTIONS = {"x.exp()": math.exp, "x.tanh()": math.tanh, "x.relu()": lambda x: max(0.0, x)}
# The same with a plain number n, and the slope in x.
MIXED = {
    "n + x": (lambda x, n: n + x, lambda x, n: 1),
    "x + n": (lambda x, n: x + n, lambda x, n: 1),
    "n - x": (lambda x, n: n - x, lambda x, n: -1),
    "x - n": (lambda x, n: x - n, lambda x, n: 1),
    "n * x": (lambda x, n: n * x, lambda x, n: n),
    "x * n": (lambda x, n: x * n, lambda x, n: n),
    "n / x": (lambda x, n: n / x, lambda x, n: -n / x**2),
    "x / n": (lambda x, n: x / n, lambda x, n: 1 / n),
    "x ** n": (lambda x, n: x**n, lambda x, n: n * x ** (n - 1)),
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
# A base, an exponent, and the power with its slope there.
AT_ZERO = [(0, 1, 0, 1), (0, 1.0, 0, 1), (0, 1.5, 0, 0), (0, 2, 0, 0), (0, 3, 0, 0)]
AT_ZERO += [(0, 0, 1, 0), (0, 0.0, 1, 0), (3, 0, 1, 0), (-3, 0.0, 1, 0), (0, 0.5, 0, math.inf), (0, 0.25, 0, math.inf)]
LIMITS = [
    ("x.tanh()", 1000, 1, 0),
    ("x.tanh()", -1000, -1, 0),
    ("x.exp()", -1000, 0, 0),
    ("x.exp()", 1000, math.inf, math.inf),
    ("x.exp()", 710, math.inf, math.inf),
    ("x.exp()", 700, math.exp(700), math.exp(700)),
]
LARGE = [(10, 400), (-10, 401), (-10, 400), (1e-200, -2), (-1e-200, -3), (1e-200, -1), (1e200, 2), (-1e200, 2)]
BY_ZERO = {
    "Value(1) / Value(0)": lambda make: make(1) / make(0),
    "Value(0) / Value(0)": lambda make: make(0) / make(0),
    "Value(1) / 0": lambda make: make(1) / 0,
    "1 / Value(0)": lambda make: 1 / make(0),
    "Value(0) ** -1": lambda make: make(0) ** -1,
    "Value(0) ** -0.5": lambda make: make(0) ** -0.5,
}
REAL = [(-2, 3.0, -8), (-2, -2.0, 0.25), (-0.5, 2, 0.25)]
NOT_REAL = [(-8.25, 0.5), (-0.75, 1.25), (-2.5, -1.5)]
WRONGS = [("3", "str"), (None, "NoneType"), ([1.0], "list"), (1j, "complex")]
BESIDE = {
    "Value + it": lambda x, wrong: x + wrong,
    "it + Value": lambda x, wrong: wrong + x,
    "Value - it": lambda x, wrong: x - wrong,
    "it - Value": lambda x, wrong: wrong - x,
    "Value / it": lambda x, wrong: x / wrong,
    "it / Value": lambda x, wrong: wrong / x,
    "Value * it": lambda x, wrong: x * wrong,
    "it * Value": lambda x, wrong: wrong * x,
}
KINDS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda parameters: (parameter for parameter in parameters),
    "iterator": iter,
    "dict's values": lambda parameters: dict(enumerate(parameters)).values(),
}
DOUBLINGS = {"x = x + x": lambda x: x + x, "x = x + x * 1": lambda x: x + x * 1}
LINE = [(x, 2 * x - 1) for x in (-1, 0, 1, 2)]
NEURON = [(x, math.tanh(0.8 * x - 0.5)) for x in (-2, -1, 0, 1, 2)]
MODELS = {
    "w * x + b": (lambda w, b, x: w * x + b, LINE, (2, -1)),
    "(w * x + b).tanh()": (lambda w, b, x: (w * x + b).tanh(), NEURON, (0.8, -0.5)),
}
NUMBERS = st.integers(-30, 30).filter(bool).map(lambda tenths: tenths / 10)
PLACES = [(1.7, -0.6), (-0.8, 2.5), (3.0, 0.1), (-2.4, -1.3)]
LENGTH = 10_000


def near(seen, expected, because):
    """Assert that a number is the expected one, but for the last digits of a float."""
    __tracebackhide__ = True
    if not isinstance(seen, int | float):
        pytest.fail(f"a {type(seen).__name__} came, and no number: {because}")
    if not math.isclose(seen, expected, rel_tol=1e-9, abs_tol=1e-9):
        pytest.fail(f"{both(seen, expected, '')}: {because}")


def fits(name, x):
    """A number for which an operation is defined: no fractional power of what is negative."""
    return abs(x) if name == "x ** 1.5" else x


def run(name, x, y):
    return OPERATIONS[name][0](x, y) if name in OPERATIONS else MIXED[name][0](x, 2)


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


def doubled(times, make, told="x = x + x"):
    """x = 1, and what comes of it when it is doubled again and again, so that two ways lead back from each to the one
    before."""
    x = last = make(1)
    for _ in range(times):
        last = DOUBLINGS[told](last)
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


def fitted(make, step, model, steps):
    """The parameters w and b after many steps from 0, and the errors on the way."""
    predict, points, _ = MODELS[model]
    w, b, errors = make(0), make(0), []
    for _ in range(steps):
        error = sum([(predict(w, b, x) - y) ** 2 for x, y in points])
        errors.append(error.data)
        error.backward()
        step([w, b], 0.07)
        error.zero_grad()
    return w.data, b.data, errors


def probe(kata):
    """Small cases on which the known mistakes differ. Numbers become tensors, which are compared with a tolerance."""
    make = kata.Value

    def told(*values):
        """Data and grads, as numbers, with the type of what is no number."""
        seen = [number for value in values for number in (value.data, value.grad)]
        odd = [type(number).__name__ for number in seen if not isinstance(number, int | float)]
        return torch.tensor([n if isinstance(n, int | float) else 0.5 for n in seen], dtype=torch.float64), odd

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def each(cases, call, *named):
        return [tried(lambda case=case: call(*case), *(str(case[place]) for place in named)) for case in cases]

    def back(expression, *numbers):
        """The leaves and the result of an expression, after its backward()."""
        leaves = [make(number) for number in numbers]
        result = expression(*leaves)
        result.backward()
        return told(*leaves, result)

    def types(name):
        x, y = make(-2 if name == "x.relu()" else 2), make(3)
        seen, result = [], run(name, x, y)
        for call in (lambda: None, result.backward, result.zero_grad):
            call()
            seen += [type(n).__name__ for value in (x, y, result) for n in (value.data, value.grad)]
        return seen

    def shown():
        x = make(2)
        before = repr(x)
        (3 * x).backward()
        return [re.sub("0x[0-9A-Fa-f]+", "somewhere", text) for text in (before, repr(x))]

    def after(values, *places):
        """The values after the backward() of those at the places."""
        for place in places:
            values[place].backward()
        return told(*values)

    def outside():
        x = make(3)
        y = 2 * x
        return after([x, x * 7, y * 11, y], -1)

    def sharing(*places):
        x = make(3)
        y = x * x
        return after([x, y, 3 * y], *places)

    def before():
        x = make(2)
        y = 5 * x
        x.grad, y.grad = 100.0, 1000.0
        return after([x, y], 1)

    def zeroed():
        x, w = make(3), make(2)
        y = x * w
        z = y + x
        values = [x, w, y, z, y * 5]
        after(values, 3, 4)
        y.zero_grad()
        first = told(*values)
        z.zero_grad()
        return first, after(values, 3)

    def cleared():
        values = in_a_row(make)
        first = after(values, -1)
        values[-1].zero_grad()
        return first, after(values, -1)

    def visits(call):
        """Whether the grad of a leaf is set again and again, once for each way to it."""
        count = [0]

        class Watched(make):
            def __setattr__(self, name, value):
                count[0] += name == "grad"
                super().__setattr__(name, value)

        x, last = doubled(10, Watched)
        count[0] = 0
        getattr(last, call)()
        return count[0] > 50, told(x, last)

    def deep():
        """A chain deeper than Python may call: with less room for calls, a short one will do."""
        _, last = chain(250, make)
        frame, depth, limit = sys._getframe(), 0, sys.getrecursionlimit()
        while frame := frame.f_back:
            depth += 1
        sys.setrecursionlimit(depth + 150)
        try:
            return tried(last.backward), tried(last.zero_grad)
        finally:
            sys.setrecursionlimit(limit)

    def untouched(name):
        x, y = make(1.5), make(-2)
        x.grad, y.grad = 0.5, 0.25
        result = run(name, x, y)
        seen = [told(x, y, result)]
        result.backward()
        seen.append(told(x, y, result))
        result.zero_grad()
        return [*seen, told(x, y, result)]

    def in_place():
        for change, _ in IN_PLACE.values():
            x = make(2)
            yield tried(lambda change=change, x=x: told(change(x, 4))), told(x)

    def stepped(numbers, grads, learning_rate, kind=list):
        parameters = [make(number) for number in numbers]
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad
        for _ in range(2):
            came = tried(lambda: kata.gradient_descent_step(kind(parameters), learning_rate))
        return came is None, came if isinstance(came, tuple) else "", told(*parameters)

    def anew():
        w = make(3)
        (w * w).backward()
        kata.gradient_descent_step([w], 0.25)
        return back(lambda: w * w), told(w)

    def fit(model):
        w, b, errors = fitted(make, kata.gradient_descent_step, model, steps=3)
        return torch.tensor([w, b, *errors], dtype=torch.float64)

    parts = {"example": lambda: back(lambda x, y: x * y + x, 2, 3)}
    for name in OPERATIONS:
        parts[name] = lambda name=name: back(lambda x, y: run(name, x, y), 1.7, -0.6)
        parts[f"{name} elsewhere"] = lambda name=name: back(lambda x, y: run(name, x, y), fits(name, -0.8), 2.5)
    for name, (mixed, _) in MIXED.items():
        numbers = [(3,), (-2,), (2.5,)]
        parts[name] = lambda f=mixed, numbers=numbers: each(numbers, lambda n: back(lambda x: f(x, n), 1.7))
    for name, (use, _) in USES.items():
        parts[name] = lambda use=use: back(use, 3)
    return parts | {
        "types": lambda: each([(name,) for name in OPERATIONS], types),
        "shown": shown,
        "sum": lambda: back(lambda x, y: sum([x, y, x]), 2, 3),
        "in a row": lambda: after(in_a_row(make), -1),
        "alone": lambda: [back(lambda x: x, 2), back(lambda x: 3 * x, 2)],
        "apart": lambda: back(lambda x, y: x * x * y, 2, 2),
        "diamonds": lambda: [after(diamond(m, n, make), -1) for m in range(4) for n in range(4)],
        "crossed": lambda: after(crossed(make), -1),
        "crossed twice": lambda: after(crossed(make), -1, -1),
        "outside": outside,
        "twice": lambda: after(in_a_row(make), -1, -1),
        "sharing": lambda: [sharing(1, 2), sharing(2, 1)],
        "before": before,
        "zeroed": zeroed,
        "cleared": cleared,
        "visits": lambda: visits("backward"),
        "visits to clear": lambda: visits("zero_grad"),
        "deep": deep,
        "pure": lambda: [untouched(name) for name in OPERATIONS],
        "in place": lambda: list(in_place()),
        "corner": lambda: back(lambda x: 7 * x.relu(), 0),
        "cut": lambda: back(lambda x: 7 * x.relu(), -2),
        "at zero": lambda: each(AT_ZERO, lambda x, n, *_: back(lambda x: x**n, x)),
        "first power": lambda: each([(0, 1), (2, 3)], lambda x, n: back(lambda x: x**n, x)),
        "flat": lambda: each([(1000,), (-1000,)], lambda x: back(lambda x: x.tanh(), x)),
        "exp": lambda: each([(-1000,), (1000,), (700,), (0.5,)], lambda x: back(lambda x: x.exp(), x)),
        "large": lambda: each(LARGE, lambda x, n: back(lambda x: x**n, x)),
        "by zero": lambda: each([(f,) for f in BY_ZERO.values()], lambda f: f(make).data),
        "not real": lambda: each(NOT_REAL, lambda x, n: told(make(x) ** n), 0, 1),
        "real": lambda: each(REAL, lambda x, n, _: told(make(x) ** n)),
        "made of": lambda: each(WRONGS, lambda wrong, _: type(make(wrong).data).__name__, 1),
        "beside": lambda: [each(WRONGS, lambda w, _, f=f: f(make(2), w).data, 1) for f in BESIDE.values()],
        "exponents": lambda: each([*WRONGS, (make(3), "Value")], lambda wrong, _: (make(2) ** wrong).data, 1),
        "of plain": lambda: each([(2, "Value")], lambda base, _: (base ** make(3)).data, 1),
        "step": lambda: stepped([3, -1, 2], [2.0, -4.0, 0.5], 0.1),
        "kinds": lambda: [stepped([3, 1], [2.0, 4.0], 0.5, kind) for kind in KINDS.values()],
        "rates": lambda: [stepped([3], [2.0], rate) for rate in (0.25, 1, 0)],
        "anew": anew,
        "line": lambda: fit("w * x + b"),
        "neuron": lambda: fit("(w * x + b).tanh()"),
    }


@clause("example")
def test_a_small_expression_computed_by_hand():
    x, y = Value(2), Value(3)
    result = x * y + x
    near(result.data, 8, "x = 2 and y = 3: this is x * y + x")
    result.backward()
    near(x.grad, 4, "x.grad: when x grows by 1, x * y grows by y = 3, and the x behind it by 1")
    near(y.grad, 2, "y.grad: when y grows by 1, x * y + x grows by x = 2")


@clause("number")
@pytest.mark.parametrize("given", [3, 3.5, -2, 0])
def test_a_value_holds_two_floats(given):
    value = Value(given)
    for name, expected in (("data", given), ("grad", 0)):
        seen = getattr(value, name)
        near(seen, expected, f"{name} of Value({given})")
        assert type(seen) is float, f"{name} of Value({given}) is {seen!r}, no float but: {type(seen).__name__}"


@clause("number")
@pytest.mark.parametrize("name", OPERATIONS)
def test_results_hold_two_floats(name):
    for numbers in (2, 3), (fits(name, -1), 3):
        x, y = map(Value, numbers)
        result = run(name, x, y)
        near(result.grad, 0, f"the grad of {name}, before any backward()")
        for call in ("", "backward", "zero_grad"):
            getattr(result, call, lambda: None)()
            for what, value in (("x", x), (name, result)):
                for attribute in ("data", "grad"):
                    seen = getattr(value, attribute)
                    told = f"{name} at x, y = {numbers}" + (f", and then {call}()" if call else "")
                    because = f"{told}: {attribute} of {what} is {seen!r}, no float but: {type(seen).__name__}"
                    assert type(seen) is float, because


@clause("number")
def test_a_value_shows_its_numbers():
    x = Value(2)
    assert repr(x) == "Value(data=2.0, grad=0.0)", f"repr(Value(2)) is {x!r}, expected Value(data=2.0, grad=0.0)"
    (x * 3).backward()
    assert repr(x) == "Value(data=2.0, grad=3.0)", f"after the backward() of x * 3, the repr of x = Value(2) is {x!r}"


@clause("forward")
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_is_that_of_floats(name):
    for x, y in PLACES:
        x = fits(name, x)
        expected = FUNCTIONS[name](x) if name in FUNCTIONS else run(name, x, y)
        near(run(name, Value(x), Value(y)).data, expected, f"{name} at x = {x}, y = {y}")


@clause("either-side")
@pytest.mark.parametrize("name", MIXED)
def test_a_plain_number_may_stand_on_either_side(name):
    expression, slope = MIXED[name]
    for x, n in [(3.0, 2), (0.5, -3), (1.25, 2.5), (2.0, -0.5)]:
        value, told = Value(x), name.replace("n", f"({n})")
        result = expression(value, n)
        near(result.data, expression(x, n), f"{told} at x = {x}")
        result.backward()
        near(value.grad, slope(x, n), f"the slope of {told} at x = {x}")


@clause("either-side")
def test_values_can_be_summed():
    values = [Value(2), Value(3), Value(5)]
    total = sum(values)
    near(total.data, 10, "sum([Value(2), Value(3), Value(5)]), which begins as 0 + Value(2)")
    total.backward()
    for value in values:
        near(value.grad, 1, "each of the three that were summed has the slope 1")


@clause("slopes")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_slope_of_an_operation_is_that_of_calculus(name):
    for x, y in PLACES:
        x = fits(name, x)
        left, right = Value(x), Value(y)
        run(name, left, right).backward()
        in_x, in_y = OPERATIONS[name][1](x, y)
        near(left.grad, in_x, f"the slope of {name} in x, at x = {x}, y = {y}")
        near(right.grad, in_y, f"the slope of {name} in y, at x = {x}, y = {y}")


@clause("slopes")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_slope_is_multiplied_with_what_comes_back(name):
    x, y = Value(1.5), Value(-0.5)
    (7 * run(name, x, y)).backward()
    in_x, in_y = OPERATIONS[name][1](1.5, -0.5)
    near(x.grad, 7 * in_x, f"the slope of 7 * ({name}) in x, at x = 1.5, y = -0.5: 7 times that of {name}")
    near(y.grad, 7 * in_y, f"the slope of 7 * ({name}) in y, at x = 1.5, y = -0.5: 7 times that of {name}")


@clause("every")
def test_each_value_on_the_way_gets_its_derivative():
    x, y, z, result = in_a_row(Value)
    result.backward()
    for name, value, expected in (("result", result, 1), ("z", z, 20), ("y", y, 20), ("x", x, 60)):
        near(value.grad, expected, f"{name}.grad after {IN_A_ROW}; result.backward()")


@clause("every")
def test_a_value_that_was_not_computed_is_its_own_result():
    x, other = Value(5), Value(5)
    x.backward()
    near(x.grad, 1, "x = Value(5); x.backward(): x grows by 1 when x grows by 1")
    near(other.grad, 0, "x = other = Value(5), made apart; x.backward() gave other a grad")


@clause("reuse")
@pytest.mark.parametrize("told", USES)
def test_all_uses_of_a_value_add_up(told):
    expression, expected = USES[told]
    x = Value(3)
    expression(x).backward()
    near(x.grad, expected, f"x.grad of {told} at x = 3: what comes back from each use is added")


@clause("reuse")
def test_equal_numbers_are_different_values():
    a, b = Value(2), Value(2)
    (a * a * b).backward()
    near(a.grad, 8, "a = Value(2) and b = Value(2): a.grad of a * a * b is 2 * a * b")
    near(b.grad, 4, "a = Value(2) and b = Value(2): b.grad of a * a * b is a * a")
    weights = [Value(1) for _ in range(5)]
    sum([weight * place for place, weight in enumerate(weights)]).backward()
    for place, weight in enumerate(weights):
        near(weight.grad, place, f"five Values of 1 were multiplied with 0, 1, 2, 3, 4 and summed: the grad of {place}")


@clause("order")
@given(st.integers(0, 5), st.integers(0, 5))
def test_two_ways_of_any_length_add_up(first, second):
    x, result = diamond(first, second, Value)
    result.backward()
    because = f"from a = 2 * x, {first} times * 3 and {second} times * 5, and both added: a has to wait for both"
    near(x.grad, 2 * (3**first + 5**second), because)


@clause("order")
def test_a_value_waits_for_all_that_use_it():
    x, a, b, c, result = crossed(Value)
    result.backward()
    told = "x = Value(2); a = x * x; b = a * a; c = b * a; result = c * x + b + a; result.backward()"
    for name, value, expected in (("c", c, 2), ("b", b, 9), ("a", a, 105), ("x", x, 484)):
        near(value.grad, expected, f"{name}.grad after {told}: x waits for a and c, a for b and c, b for c")


@clause("order")
def test_what_is_not_part_of_the_result_is_not_waited_for():
    x = Value(3)
    y = 2 * x
    elsewhere = [x * 7, y * 11]
    y.backward()
    near(x.grad, 2, "y = 2 * x; x * 7; y * 11; y.backward(): x.grad has nothing to do with the two in the middle")
    for value in elsewhere:
        near(value.grad, 0, "y = 2 * x; x * 7; y * 11; y.backward(): grad of one of the two in the middle")


@clause("agrees")
@given(graphs())
def test_random_expressions_agree_with_torch(graph):
    values = built(graph, Value)
    values[-1].backward()
    for place, (value, (data, grad)) in enumerate(zip(values, of_torch(graph), strict=True)):
        near(value.data, data, f"v{place}.data in {written(graph)}")
        near(value.grad, grad, f"v{place}.grad after v{len(values) - 1}.backward() in {written(graph)}")


def mixture(a, b):
    """A longer expression with all operations, plain numbers on both sides, and values used many times."""
    c = 3 * a - b / 2
    d = (c + 2 + c).tanh() + b**3
    d = d + a.relu() * d + (c / 4).exp()
    e = 10.0 / d + d / 2.0
    f = (b - a).relu() * -e + (1 - c) ** 2
    f = f - d * c * 0.5
    return e - f / (a * a + 1) + f**-1


@clause("agrees")
@pytest.mark.parametrize("given", [(-4.0, 2.0), (1.5, -0.5), (0.25, 3.0)])
def test_a_mixture_of_everything_agrees_with_torch(given):
    a, b = (Value(number) for number in given)
    mine = mixture(a, b)
    mine.backward()
    x, y = (torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in given)
    theirs = mixture(x, y)
    theirs.backward()
    because = f"an expression with all operations, at a, b = {given}, and PyTorch's number for it"
    near(mine.data, theirs.item(), f"data of {because}")
    near(a.grad, x.grad.item(), f"a.grad of {because}")
    near(b.grad, y.grad.item(), f"b.grad of {because}")


@clause("again")
def test_a_second_backward_adds_the_same_again():
    x, y, z, result = in_a_row(Value)
    for times in (1, 2, 3):
        result.backward()
        for name, value, once in (("result", result, 1), ("z", z, 20), ("y", y, 20), ("x", x, 60)):
            near(value.grad, times * once, f"{name}.grad after {IN_A_ROW}, and {times} times result.backward()")


@clause("again")
@given(graphs())
def test_twice_is_twice_as_much_in_any_expression(graph):
    values = built(graph, Value)
    values[-1].backward()
    once = [value.grad for value in values]
    values[-1].backward()
    for place, (value, grad) in enumerate(zip(values, once, strict=True)):
        near(value.grad, 2 * grad, f"v{place}.grad after two v{len(values) - 1}.backward() in {written(graph)}")
    near(values[-1].grad, 2, f"the grad of the result after two backward() in {written(graph)}")


@clause("again")
@pytest.mark.parametrize("calls", ["y.backward(); z.backward()", "z.backward(); y.backward()"])
def test_results_that_share_values_add_up(calls):
    x = Value(3)
    y = x * x
    z = 3 * y
    for value in (y, z) if calls.startswith("y") else (z, y):
        value.backward()
    for name, value, expected in (("x", x, 6 + 18), ("y", y, 1 + 3), ("z", z, 1)):
        near(value.grad, expected, f"{name}.grad after x = Value(3); y = x * x; z = 3 * y; {calls}")


@clause("again")
def test_a_grad_that_is_there_is_added_to():
    x = Value(2)
    y = 5 * x
    x.grad, y.grad = 100.0, 1000.0
    y.backward()
    near(x.grad, 105, "y = 5 * x; x.grad = 100; y.grad = 1000; y.backward(): x.grad; what was there is not handed on")
    near(y.grad, 1001, "y = 5 * x; y.grad = 1000; y.backward(): y.grad")


@clause("zero")
def test_all_that_a_value_was_computed_from_is_cleared():
    x, w, b = Value(3), Value(2), Value(1)
    y = x * w
    z = y + b
    result = z.tanh() + y
    result.backward()
    result.zero_grad()
    told = "y = x * w; z = y + b; result = z.tanh() + y; result.backward(); result.zero_grad()"
    for name, value in (("x", x), ("w", w), ("b", b), ("y", y), ("z", z), ("result", result)):
        near(value.grad, 0, f"{name}.grad after {told}")
    y.backward()
    near(w.grad, 3, f"w.grad after {told}; y.backward(): what was cleared can be used again")


@clause("zero")
def test_no_other_grad_is_cleared():
    x, w = Value(3), Value(2)
    y = x * w
    z = y + x
    beside = x * 5
    z.backward()
    beside.backward()
    y.zero_grad()
    told = "y = x * w; z = y + x; beside = x * 5; z.backward(); beside.backward(); y.zero_grad()"
    for name, value, expected in (("y", y, 0), ("x", x, 0), ("w", w, 0), ("z", z, 1), ("beside", beside, 1)):
        near(value.grad, expected, f"{name}.grad after {told}: y was computed from x and w")


@clause("zero")
def test_a_single_parameter_can_be_cleared():
    w, x = Value(2), Value(3)
    result = w * x
    result.backward()
    w.zero_grad()
    for name, value, expected in (("w", w, 0), ("x", x, 2), ("result", result, 1)):
        near(value.grad, expected, f"{name}.grad after result = w * x; result.backward(); w.zero_grad()")


class TooMany(Exception):
    """More calls than were granted."""


@contextlib.contextmanager
def granted(calls):
    """Let what runs within call so many functions, C's among them, and no more."""
    before, left = sys.getprofile(), calls

    def count(frame, event, argument):
        nonlocal left
        left -= event in ("call", "c_call")
        if left < 0:
            sys.setprofile(before)
            raise TooMany

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


@pytest.mark.slow
@clause("once")
@pytest.mark.parametrize("call", ["backward", "zero_grad"])
@pytest.mark.parametrize("told", DOUBLINGS)
def test_doubling_sixty_times_is_done_in_a_moment(told, call):
    for doublings in (4, 20, 60):
        x, last = doubled(doublings, Value, told)
        x.grad = 8.0 if call == "zero_grad" else 0.0
        try:
            with granted(1_000 * doublings):
                getattr(last, call)()
        except TooMany:
            pytest.fail(
                f"after {doublings} times {told}, {call}() called more than {1_000 * doublings} functions: there are "
                f"2 ** {doublings} ways back to the first x, but few values; visit each value once, and not each way"
            )
        expected = 0 if call == "zero_grad" else 2**doublings
        near(x.grad, expected, f"the grad of the first x after {doublings} times {told}, and then {call}()")


@pytest.mark.slow
@clause("deep")
def test_a_chain_of_ten_thousand_operations_is_not_too_deep():
    x, last = chain(LENGTH, Value)
    for call, expected in (("backward", LENGTH + 1), ("zero_grad", 0)):
        try:
            getattr(last, call)()
        except RecursionError:
            pytest.fail(
                f"{LENGTH} additions, one after the other: {call}() ended in a RecursionError. A function that calls "
                "itself for what a value was computed from gets as deep as the chain is long; a list of what is left "
                "to visit does not"
            )
        near(x.grad, expected, f"x.grad after y = x, {LENGTH} times y = y + x, and then {call}()")
    del last
    gc.collect()


@clause("pure")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_leaves_alone_what_it_takes(name):
    for numbers in (1.5, -2.0), (fits(name, -1.5), 2.0):
        x, y = map(Value, numbers)
        x.grad, y.grad = 0.5, 0.25
        result = run(name, x, y)
        told = f"{name} was computed at x, y = {numbers}, where their grads were 0.5 and 0.25"
        assert result is not x, f"{told}: x itself came back, and no new Value"
        assert (x.data, y.data) == numbers, f"{told}: data of x, y is now {x.data}, {y.data}"
        assert (x.grad, y.grad) == (0.5, 0.25), f"{told}: grad of x, y is now {x.grad}, {y.grad}"
        near(result.grad, 0, f"{told}: the grad of the result, before any backward()")


@clause("pure")
def test_writing_it_short_makes_a_new_value_too():
    for name, (change, expected) in IN_PLACE.items():
        x = Value(2)
        y = change(x, 4)
        assert y is not x, f"y = x = Value(2); y {name}: y is still x itself, and the 2 that others may use is lost"
        near(x.data, 2, f"x.data after y = x = Value(2); y {name}")
        near(y.data, expected, f"y.data after y = x = Value(2); y {name}")


@clause("pure")
@given(graphs())
def test_going_backward_changes_no_data(graph):
    values = built(graph, Value)
    before = [value.data for value in values]
    for call in ("backward", "backward", "zero_grad"):
        getattr(values[-1], call)()
        for place, (value, data) in enumerate(zip(values, before, strict=True)):
            told = f"v{place}.data was {data} and is {value.data} after v{len(values) - 1}.{call}()"
            assert value.data == data, f"{told} in {written(graph)}"
    values[-1].backward()
    near(values[-1].grad, 1, "no data was changed, but the grad of the result is not the one of a backward()")


@clause("at-zero")
def test_relu_is_flat_at_zero():
    x = Value(0)
    result = 3 * x.relu()
    near(result.data, 0, "3 * x.relu() at x = 0")
    result.backward()
    near(x.grad, 0, "the slope of 3 * x.relu() at x = 0: of the slopes 0 on the left and 3 on the right, 0 is taken")


@clause("at-zero")
@pytest.mark.parametrize(("base", "exponent", "data", "slope"), AT_ZERO)
def test_powers_have_slopes_at_zero(base, exponent, data, slope):
    x = Value(base)
    result = x**exponent
    near(result.data, data, f"x ** {exponent} at x = {base}")
    result.backward()
    near(x.grad, slope, f"the slope of x ** {exponent} at x = {base}")


@clause("extremes")
@pytest.mark.parametrize(("name", "x", "data", "slope"), LIMITS)
def test_functions_go_to_their_limits(name, x, data, slope):
    value = Value(x)
    result = run(name, value, value)
    near(result.data, data, f"{name} at x = {x}")
    result.backward()
    near(value.grad, slope, f"the slope of {name} at x = {x}")


@clause("extremes")
@pytest.mark.parametrize(("base", "exponent"), LARGE)
def test_powers_too_large_for_a_float_are_inf(base, exponent):
    x, theirs = Value(base), torch.tensor(base, dtype=torch.float64, requires_grad=True)
    result, power = x**exponent, theirs**exponent
    power.backward()
    near(result.data, power.item(), f"x ** {exponent} at x = {base}")
    result.backward()
    near(x.grad, theirs.grad.item(), f"the slope of x ** {exponent} at x = {base}")


@clause("undefined")
@pytest.mark.parametrize("told", BY_ZERO)
def test_nothing_is_divided_by_zero(told):
    with refuses(ZeroDivisionError):
        BY_ZERO[told](Value)


@clause("undefined")
@pytest.mark.parametrize(("base", "exponent"), NOT_REAL)
def test_a_power_that_is_not_real_is_refused(base, exponent):
    with refuses(ValueError, base, exponent):
        Value(base) ** exponent


@clause("undefined")
def test_a_whole_power_of_a_negative_number_is_not_refused():
    for base, exponent, expected in REAL:
        near((Value(base) ** exponent).data, expected, f"Value({base}) ** {exponent}: {exponent} is a whole number")


@clause("refused")
@pytest.mark.parametrize(("wrong", "named"), WRONGS)
def test_a_value_is_made_of_a_plain_number(wrong, named):
    with refuses(TypeError, named):
        Value(wrong)


@clause("refused")
@pytest.mark.parametrize("told", BESIDE)
def test_only_numbers_stand_beside_a_value(told):
    for wrong, named in WRONGS:
        if "*" in told and named in ("str", "list"):
            continue  # Python's own words about "3" * x speak of a sequence, and do not name its type
        with refuses(TypeError, named):
            BESIDE[told](Value(2), wrong)


@clause("refused")
@pytest.mark.parametrize(("wrong", "named"), WRONGS)
def test_an_exponent_is_a_plain_number(wrong, named):
    with refuses(TypeError, named):
        Value(2) ** wrong


@clause("refused")
def test_a_value_is_no_exponent():
    with refuses(TypeError, "Value"):
        Value(2) ** Value(3)
    with refuses(TypeError, "Value"):
        2 ** Value(3)


@clause("step")
def test_a_step_goes_against_the_gradient():
    up, down, flat = Value(3), Value(-1), Value(7)
    up.grad, down.grad = 2.0, -4.0
    gradient_descent_step([up, down, flat], 0.1)
    near(up.data, 2.8, "data 3, grad 2, learning_rate 0.1")
    near(down.data, -0.6, "data -1, grad -4, learning_rate 0.1")
    near(flat.data, 7, "data 7, grad 0, learning_rate 0.1")


@clause("step")
@given(st.sampled_from([*KINDS]), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5), st.sampled_from([0.01, 0.5, 2]))
def test_any_iterable_of_parameters_will_do(kind, numbers, learning_rate):
    parameters = [Value(data) for data, _ in numbers]
    for parameter, (_, grad) in zip(parameters, numbers, strict=True):
        parameter.grad = grad
    gradient_descent_step(KINDS[kind](parameters), learning_rate)
    for parameter, (data, grad) in zip(parameters, numbers, strict=True):
        because = f"data {data}, grad {grad}, learning_rate {learning_rate}, one of {len(numbers)} from a {kind}"
        near(parameter.data, data - learning_rate * grad, because)


@clause("kept")
def test_a_step_leaves_the_grads_alone():
    w, x = Value(3), Value(2)
    error = (w * x) ** 2
    error.backward()
    for after in (2.76, 2.52):
        came = gradient_descent_step([w], 0.01)
        assert came is None, f"the result of gradient_descent_step is {came!r}, and no None"
        told = "error = (w * x) ** 2 at w = 3, x = 2; error.backward(); gradient_descent_step([w], 0.01)"
        near(w.grad, 24, f"w.grad after {told}")
        near(w.data, after, f"w.data after {told}, which was called once, or twice with the same grad")
        near(x.grad, 36, f"x.grad after {told}: x is no parameter here")
        near(x.data, 2, f"x.data after {told}: x is no parameter here")


@clause("learns")
def test_an_expression_built_anew_sees_the_new_data():
    w = Value(3)
    before = w * w
    before.backward()
    gradient_descent_step([w], 0.25)
    after = w * w
    near(after.data, 2.25, "w = Value(3); (w * w).backward(); a step of 0.25 to w = 1.5; w * w, computed anew")
    near(before.data, 9, "w = Value(3); before = w * w; a step to w = 1.5: data of what was computed before it")
    w.zero_grad()
    after.backward()
    near(w.grad, 3, "the slope of w * w, computed anew at w = 1.5")


@pytest.mark.slow
@clause("learns")
@pytest.mark.parametrize("model", MODELS)
def test_steps_bring_the_error_to_nearly_zero(model):
    w, b, errors = fitted(Value, gradient_descent_step, model, steps=100)
    _, points, expected = MODELS[model]
    told = f"{model} was fitted to {len(points)} points in {len(errors)} steps: the error went from {errors[0]:.3g}"
    assert errors[-1] < 1e-3, f"{told} to {errors[-1]:.3g}, which is not nearly 0"
    assert abs(w - expected[0]) + abs(b - expected[1]) < 0.1, f"{told} to 0, but w, b = {w:.3f}, {b:.3f}"
