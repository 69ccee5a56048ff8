"""The way of micrograd, which many learners bring; the book has no engine of its own.

A topological order by recursion, a closure for each operation, and ints that stay ints.
"""

import math


class Value:
    def __init__(self, data, children=()):
        self.data = data
        self.grad = 0
        self.step_back = lambda: None
        self.children = set(children)

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other))

        def step_back():
            self.grad += out.grad
            other.grad += out.grad

        out.step_back = step_back
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other))

        def step_back():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.step_back = step_back
        return out

    def __pow__(self, exponent):
        assert isinstance(exponent, int | float)
        return self.made(self.data**exponent, lambda: exponent * self.data ** (exponent - 1))

    def exp(self):
        data = math.exp(self.data)
        return self.made(data, lambda: data)

    def tanh(self):
        data = (math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)
        return self.made(data, lambda: 1 - data**2)

    def relu(self):
        return self.made(0 if self.data < 0 else self.data, lambda: self.data > 0)

    def made(self, data, slope):
        out = Value(data, (self,))

        def step_back():
            self.grad += slope() * out.grad

        out.step_back = step_back
        return out

    def backward(self):
        order, visited = [], set()

        def visit(value):
            if value not in visited:
                visited.add(value)
                for child in value.children:
                    visit(child)
                order.append(value)

        visit(self)
        self.grad = 1
        for value in reversed(order):
            value.step_back()

    def __neg__(self):
        return self * -1

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return other * self**-1


def gradient_descent_step(parameters, learning_rate):
    for parameter in parameters:
        parameter.data += -learning_rate * parameter.grad
