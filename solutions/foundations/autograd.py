"""Kata: automatic differentiation. The why, a figure and hints: docs/foundations/autograd.md."""

import math
from collections import Counter
from collections.abc import Iterable


class Value:
    """A number that knows what it was computed from, so that it can tell how much each of those numbers moves it.

    data is the number. grad is a derivative with respect to it: how fast a result grows when data grows. A new Value
    comes from + - * / ** and negation, and from exp(), tanh() and relu(). A plain number is an int or a float.

    Clauses:
        example      With x = Value(2) and y = Value(3), x * y + x is 8; its backward() makes x.grad 4 and y.grad 2.
        number       data and grad are floats, also where an int was given; grad is 0.0 at first; repr shows both, as in
                     Value(data=2.0, grad=0.0).
        forward      The data of a result is what floats and the functions of math give; relu keeps a number above 0
                     and makes any other 0.
        either-side  A plain number may stand on either side of + - * /, and right of **.
        slopes       An operation hands on the derivative that calculus gives it: x * y has the slope y in x, and x in
                     y; x ** n has n * x ** (n - 1).
        every        backward() gives its derivative to every value on the way, inner ones too, and 1 to the result.
        reuse        A value used several times gets the sum of what comes back; values of equal data stay apart.
        order        A value hands on its share when all that was made from it, for this result, has given it theirs.
        agrees       data and grads are those of PyTorch's autograd in float64.
        again        backward() adds to each grad what it would put into a fresh one: called twice, it gives twice as
                     much, in inner values too, and results that share values add up.
        zero         zero_grad() sets to 0 the grad of this value and of all that it was computed from, and of no other.
        once         Both visit each value once, so that x = x + x, 60 times over, is done in a moment.
        deep         Both manage a chain of 10 000 operations, without a RecursionError.
        pure         No operation, += and its like included, changes data or grad of what it takes, and neither
                     backward() nor zero_grad() changes any data.
        at-zero      At 0, the slope of relu is 0, that of x ** n is inf for n between 0 and 1; x ** 0 has slope 0
                     everywhere.
        extremes     tanh of 1000 and of -1000 is 1 and -1, and flat; what is too large for a float is inf or -inf, from
                     exp and ** too, in data and in slopes, and no OverflowError.
        undefined    Division by 0, and 0 to a negative power, raise a ZeroDivisionError; a negative number to a power
                     that is not whole raises a ValueError that names both.
        refused      What is neither a Value nor a plain number raises a TypeError that names its type: as data, beside
                     + - * /, and as exponent, where a Value is refused too.

    Not allowed: torch, numpy, jax, tensorflow, autograd, sympy, setrecursionlimit.
    Source: book section A.4; Linnainmaa 1976; Rumelhart et al. 1986.
    """

    def __init__(self, data: float) -> None:
        if not isinstance(data, int | float):
            raise TypeError(f"a Value is made of an int or a float, not of {type(data).__name__} {data!r}")
        self.data = float(data)
        self.grad = 0.0
        self._operands: tuple[tuple[Value, float], ...] = ()  # each with the slope of this value in it

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"

    def __add__(self, other: "Value | float") -> "Value":
        other = _as_value(other)
        return _made(self.data + other.data, (self, 1.0), (other, 1.0))

    def __radd__(self, other: float) -> "Value":
        return self + other

    def __neg__(self) -> "Value":
        return _made(-self.data, (self, -1.0))

    def __sub__(self, other: "Value | float") -> "Value":
        other = _as_value(other)
        return _made(self.data - other.data, (self, 1.0), (other, -1.0))

    def __rsub__(self, other: float) -> "Value":
        return _as_value(other) - self

    def __mul__(self, other: "Value | float") -> "Value":
        other = _as_value(other)
        return _made(self.data * other.data, (self, other.data), (other, self.data))

    def __rmul__(self, other: float) -> "Value":
        return self * other

    def __truediv__(self, other: "Value | float") -> "Value":
        other = _as_value(other)
        quotient = self.data / other.data
        # Divided twice: the square of a small number may be too small for a float.
        return _made(quotient, (self, 1 / other.data), (other, -quotient / other.data))

    def __rtruediv__(self, other: float) -> "Value":
        return _as_value(other) / self

    def __pow__(self, exponent: float) -> "Value":
        if not isinstance(exponent, int | float):
            raise TypeError(f"the exponent has to be an int or a float, not {type(exponent).__name__} {exponent!r}")
        exponent = float(exponent)
        if self.data < 0 and not exponent.is_integer():
            raise ValueError(f"{self.data} to the power of {exponent} is not a real number")
        data = _power(self.data, exponent)
        if exponent == 0:
            slope = 0.0
        elif self.data == 0 and exponent < 1:
            slope = math.inf  # the graph of a root leaves 0 straight upwards
        else:
            slope = exponent * _power(self.data, exponent - 1)
        return _made(data, (self, slope))

    def exp(self) -> "Value":
        try:
            data = math.exp(self.data)
        except OverflowError:
            data = math.inf
        return _made(data, (self, data))

    def tanh(self) -> "Value":
        data = math.tanh(self.data)
        return _made(data, (self, 1 - data * data))

    def relu(self) -> "Value":
        off = self.data <= 0
        return _made(0.0 if off else self.data, (self, 0.0 if off else 1.0))

    def backward(self) -> None:
        # Shares travel in a table of this call: what earlier calls have left in grad has no part in them.
        shares = {self: 1.0}
        awaited = Counter(operand for value in self._history() for operand, _ in value._operands)
        ready = [self]
        while ready:
            value = ready.pop()
            share = shares.pop(value)
            value.grad += share
            for operand, slope in value._operands:
                shares[operand] = shares.get(operand, 0.0) + share * slope
                awaited[operand] -= 1
                if awaited[operand] == 0:
                    ready.append(operand)

    def zero_grad(self) -> None:
        for value in self._history():
            value.grad = 0.0

    def _history(self) -> set["Value"]:
        """This value and all that it was computed from, each once; a list of what is left stands in for recursion."""
        found, left = {self}, [self]
        while left:
            for operand, _ in left.pop()._operands:
                if operand not in found:
                    found.add(operand)
                    left.append(operand)
        return found


def gradient_descent_step(parameters: Iterable[Value], learning_rate: float) -> None:
    """Move each parameter a little against its gradient, so that the result whose gradient it is becomes smaller.

    Clauses:
        step    The data of each parameter goes down by learning_rate times its grad, for any iterable of parameters, a
                generator too.
        kept    The grads stay as they are, clearing them is the caller's, and the result is None.
        learns  What is computed anew after a step uses the new data, so that predicting, measuring the error,
                backward(), step and zero_grad(), over and over, bring the error to nearly 0.

    Source: Cauchy 1847; book section A.7 has it as torch.optim.SGD.
    """
    for parameter in parameters:
        parameter.data -= learning_rate * parameter.grad


def _as_value(number: Value | float) -> Value:
    return number if isinstance(number, Value) else Value(number)


def _made(data: float, *operands: tuple[Value, float]) -> Value:
    """The result of an operation, with the values it was made from and its slope in each."""
    result = Value(data)
    result._operands = operands
    return result


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
