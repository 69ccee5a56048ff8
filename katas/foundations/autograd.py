"""Kata: automatic differentiation. The why, a figure and hints: docs/foundations/autograd.md."""

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
        raise NotImplementedError

    def __repr__(self) -> str:
        raise NotImplementedError

    def __add__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __radd__(self, other: float) -> "Value":
        raise NotImplementedError

    def __mul__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __rmul__(self, other: float) -> "Value":
        raise NotImplementedError

    def __neg__(self) -> "Value":
        raise NotImplementedError

    def __sub__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __rsub__(self, other: float) -> "Value":
        raise NotImplementedError

    def __truediv__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __rtruediv__(self, other: float) -> "Value":
        raise NotImplementedError

    def __pow__(self, exponent: float) -> "Value":
        raise NotImplementedError

    def exp(self) -> "Value":
        raise NotImplementedError

    def tanh(self) -> "Value":
        raise NotImplementedError

    def relu(self) -> "Value":
        raise NotImplementedError

    def backward(self) -> None:
        raise NotImplementedError

    def zero_grad(self) -> None:
        raise NotImplementedError


def gradient_descent_step(parameters: Iterable[Value], learning_rate: float) -> None:
    """Move each parameter against its gradient, so that the result whose gradient it is becomes smaller.

    Clauses:
        step  The data of each parameter goes down by learning_rate times its grad.

    Further clauses:
        kept  The grads stay as they are.

    Source: Cauchy 1847; book section A.7 has it as torch.optim.SGD.
    """
    raise NotImplementedError
