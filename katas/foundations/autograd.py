"""Kata: automatic differentiation. The why, a figure and hints: docs/foundations/autograd.md."""

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
        raise NotImplementedError

    def __repr__(self) -> str:
        raise NotImplementedError

    def __add__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __radd__(self, other: float) -> "Value":
        raise NotImplementedError

    def __neg__(self) -> "Value":
        raise NotImplementedError

    def __sub__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __rsub__(self, other: float) -> "Value":
        raise NotImplementedError

    def __mul__(self, other: "Value | float") -> "Value":
        raise NotImplementedError

    def __rmul__(self, other: float) -> "Value":
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
    """Move each parameter a little against its gradient, so that the result whose gradient it is becomes smaller.

    Clauses:
        step    The data of each parameter goes down by learning_rate times its grad, for any iterable of parameters, a
                generator too.
        kept    The grads stay as they are, clearing them is the caller's, and the result is None.
        learns  What is computed anew after a step uses the new data, so that predicting, measuring the error,
                backward(), step and zero_grad(), over and over, bring the error to nearly 0.

    Source: Cauchy 1847; book section A.7 has it as torch.optim.SGD.
    """
    raise NotImplementedError
