"""Kata: automatic differentiation. The why, a figure and hints: docs/foundations/autograd.md."""

import math
from collections.abc import Iterable


class Value:
    """A number that remembers what it was computed from, so that backward() can find derivatives.

    data is the number. grad is the derivative of a result with respect to it. New Values come from + - * / ** and
    negation, and from exp(), tanh() and relu(). A plain number is an int or a float.

    Clauses:
        example        With x = Value(2) and y = Value(3), x * y + x is 8; its backward() makes x.grad 4 and y.grad 2.
        forward        The data of a result is what floats and the functions of math give. relu is max(0, x).
        plain-numbers  A plain number may stand on either side of + - * /, and on the right of **.
        slopes         Each operation multiplies what comes back by its derivative: for x * y, y in x and x in y.
        inner          backward() gives its derivative to every value on the way, inner ones too, and 1 to the result.
        reuse          A value that is used several times gets the sum of what comes back.
        order          A value passes on its gradient after all values of this result that use it have given theirs.
        agrees         The data and grads of any expression are those of PyTorch's autograd in float64.
        accumulate     backward() adds to the grad that a parameter has from another result.

    Further clauses:
        floats         data and grad are floats, also where an int was given. grad is 0.0 at first.
        twice          A second backward() of a result adds the same amounts again, to inner values too.
        zero-grad      zero_grad() sets to 0 the grad of this value and of all that it was computed from, and no other.
        visits         backward() and zero_grad() visit each value once, however many paths lead to it.
        deep           Both work for a chain of 10 000 operations, without a RecursionError.
        pure           No operation changes the data or grad of its operands, += and the like included.
        relu-at-zero   The derivative of relu at 0 is 0.
        power-at-zero  The derivative of x ** 0 at 0 is 0. That of x ** n at 0, with n between 0 and 1, is inf.
        large          Numbers too large for a float become inf or -inf, without an OverflowError. tanh(1000) is 1.
        not-real       A negative number to a power that is not whole raises a ValueError that names both.
        refused        Anything but a Value or a plain number raises a TypeError that names its type. So does a Value
                       as exponent.

    Not allowed: torch, numpy, jax, tensorflow, autograd, sympy, setrecursionlimit.
    Source: book section A.4; Linnainmaa 1976; Rumelhart et al. 1986.
    """

    def __init__(self, data: float) -> None:
        if not isinstance(data, int | float):
            raise TypeError(f"a Value is made of an int or a float, not of {type(data).__name__} {data!r}")
        self.data = float(data)
        self.grad = 0.0
        self._operands: tuple[tuple[Value, float], ...] = ()  # each with the derivative of this value in it

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"

    def __add__(self, other: "Value | float") -> "Value":
        other = _as_value(other)
        return _made(self.data + other.data, (self, 1.0), (other, 1.0))

    def __radd__(self, other: float) -> "Value":
        return self + other

    def __mul__(self, other: "Value | float") -> "Value":
        other = _as_value(other)
        return _made(self.data * other.data, (self, other.data), (other, self.data))

    def __rmul__(self, other: float) -> "Value":
        return self * other

    def __neg__(self) -> "Value":
        return self * -1

    def __sub__(self, other: "Value | float") -> "Value":
        return self + -other

    def __rsub__(self, other: float) -> "Value":
        return _as_value(other) - self

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * other**-1

    def __rtruediv__(self, other: float) -> "Value":
        return _as_value(other) / self

    def __pow__(self, exponent: float) -> "Value":
        if not isinstance(exponent, int | float):
            raise TypeError(f"the exponent has to be an int or a float, not {type(exponent).__name__} {exponent!r}")
        if self.data < 0 and not float(exponent).is_integer():
            raise ValueError(f"{self.data} to the power of {exponent} is not a real number")
        if exponent == 0:
            slope = 0.0
        elif self.data == 0 and 0 < exponent < 1:
            slope = math.inf
        else:
            slope = exponent * _power(self.data, exponent - 1)
        return _made(_power(self.data, exponent), (self, slope))

    def exp(self) -> "Value":
        try:
            data = math.exp(self.data)
        except OverflowError:
            data = math.inf
        return _made(data, (self, data))

    def tanh(self) -> "Value":
        data = math.tanh(self.data)
        return _made(data, (self, 1 - data**2))

    def relu(self) -> "Value":
        return _made(max(0.0, self.data), (self, 1.0 if self.data > 0 else 0.0))

    def backward(self) -> None:
        # The shares of this call are kept apart from grad, which may hold those of earlier calls.
        shares = {self: 1.0}
        for value in self._history():
            value.grad += shares[value]
            for operand, slope in value._operands:
                shares[operand] = shares.get(operand, 0.0) + shares[value] * slope

    def zero_grad(self) -> None:
        for value in self._history():
            value.grad = 0.0

    def _history(self) -> list["Value"]:
        """This value and all that it was computed from: each once, and after every value that uses it."""
        order, seen = [], set()
        left = [(self, False)]  # a list in place of recursion, which Python limits
        while left:
            value, operands_done = left.pop()
            if operands_done:
                order.append(value)
            elif value not in seen:
                seen.add(value)
                left.append((value, True))
                left += [(operand, False) for operand, _ in value._operands]
        return order[::-1]


def gradient_descent_step(parameters: Iterable[Value], learning_rate: float) -> None:
    """Move each parameter against its gradient, so that the result whose gradient it is becomes smaller.

    Clauses:
        step  The data of each parameter goes down by learning_rate times its grad.

    Further clauses:
        kept  The grads stay as they are.

    Source: Cauchy 1847; book section A.7 has it as torch.optim.SGD.
    """
    for parameter in parameters:
        parameter.data -= learning_rate * parameter.grad


def _as_value(number: Value | float) -> Value:
    return number if isinstance(number, Value) else Value(number)


def _made(data: float, *operands: tuple[Value, float]) -> Value:
    """The result of an operation, with its operands and its derivative in each."""
    result = Value(data)
    result._operands = operands
    return result


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
