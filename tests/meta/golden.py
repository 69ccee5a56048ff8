"""Wrong versions of a toy kata, one for each thing that goes wrong for a learner, and what each of them is told.

The toy is `toys/gate_<case>`: a module that scales each feature. Every case replaces some text of its reference, and
holds the first failing test's told lines word for word. `{kata}` stands for the kata's address, `{name}` for its name.
"""

from dataclasses import dataclass, field

REFERENCE = '''"""Kata: a gate."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Gate(nn.Module):
    """Scale each feature by a weight that is learned.

    Clauses:
        ones    A new gate changes nothing.
        scales  The output is x * weight, feature by feature.

    Further clauses:
        width   Another width than the gate's raises a ValueError that names both.

    Not allowed: Linear, torch.einsum.
    """

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        if x.shape[1] != len(self.weight):
            raise ValueError(f"a gate of width {len(self.weight)} cannot take {x.shape[1]} features")
        return x * self.weight
'''

TEST = '''"""A gate, clause by clause."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.toys.{name} import Gate
from tests.support import clause, close, dealt, numbers, refuses


def refusal(gate):
    try:
        return tuple(gate(numbers(2, 4)).shape)
    except Exception as error:
        return type(error).__name__


def probe(kata):
    return {{
        "numbers": lambda: dealt(kata.Gate(3))(numbers(2, 3)),
        "refusal": lambda: refusal(kata.Gate(3)),
    }}


@clause("ones")
def test_a_new_gate_changes_nothing():
    close(Gate(3)(numbers(2, 3)), numbers(2, 3), "the weights of a new gate should be ones")


@clause("scales")
@given(st.data())
def test_every_feature_is_scaled(data):
    batch = data.draw(st.integers(1, 3), label="batch")
    gate, x = dealt(Gate(3)), numbers(batch, 3)
    close(gate(x), x * gate.weight, "the weights were dealt, and the output is not x * weight")


@clause("width")
def test_another_width_is_refused():
    with refuses(ValueError, 3, 4):
        Gate(3)(numbers(2, 4))
'''

MISTAKES = """[[mistake]]
name = "added"
breaks = "scales"
says = "the weights are added and not multiplied"
edits = [{ swap = "return x * self.weight", by = "return x + self.weight" }]

[[mistake]]
name = "subtracted"
breaks = "scales"
says = "the weights are subtracted and not multiplied"
edits = [{ swap = "return x * self.weight", by = "return x - self.weight" }]

[[mistake]]
name = "any-width"
breaks = "width"
says = "the width is never checked"
edits = [{ swap = "if x.shape[1] != len(self.weight):", by = "if False:" }]
"""

REACH = """{"reach": {
  "added": ["test_a_new_gate_changes_nothing", "test_every_feature_is_scaled"],
  "subtracted": ["test_a_new_gate_changes_nothing", "test_every_feature_is_scaled"],
  "any-width": ["test_another_width_is_refused"]
}}"""

BUILT_ON_IT = '''"""Kata: two gates."""

from torch import Tensor, nn

from .{needs} import Gate


class Gates(nn.Module):
    """Two gates, one after the other.

    Clauses:
        twice  Both gates are passed.
    """

    def __init__(self, width: int):
        super().__init__()
        self.gates = nn.Sequential(Gate(width), Gate(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gates(x)
'''

TEST_BUILT_ON_IT = '''"""Two gates, clause by clause."""

from katas.toys.{name} import Gates
from tests.support import clause, close, numbers


@clause("twice")
def test_two_new_gates_change_nothing():
    close(Gates(3)(numbers(2, 3)), numbers(2, 3), "two new gates should change nothing")
'''


@dataclass(frozen=True)
class Case:
    """A wrong kata and what its learner is told. `source` stands instead of the reference; `edits` change it."""

    told: str
    edits: dict[str, str] = field(default_factory=dict)
    source: str | bytes | None = None
    clause: str = ""  # the failing test to look at; the first when empty
    printed: str = ""


MULTIPLY = "        return x * self.weight\n"

CASES = {
    "untouched": Case(
        source="stub",
        told="""
            not written yet: katas/{kata}.py:21 Gate.__init__
            next: dojo spec {name}
            """,
    ),
    "numbers": Case(
        edits={"x * self.weight": "x + self.weight"},
        told="""
            ones: A new gate changes nothing.
              the value at [0, 0] is 1.68884, expected 0.688844: the weights of a new gate should be ones
              Your result is the one you get when the weights are added and not multiplied.
            next: dojo hint {name}
            """,
    ),
    "drawn": Case(
        edits={"x * self.weight": "x * self.weight**2"},
        clause="scales",
        told="""
            scales: The output is x * weight, feature by feature.
              the value at [0, 0] is 0.370207, expected 0.50499: the weights were dealt, and the output is not x
                * weight
              with batch = 1
            next: dojo hint {name}
            """,
    ),
    "refusal": Case(
        edits={"if x.shape[1] != len(self.weight):": "if len(self.weight) == 0:"},
        clause="width",
        told="""
            width: Another width than the gate's raises a ValueError that names both.
              expected a ValueError that names 3 and 4; a RuntimeError came instead: The size of tensor a (4)
                must match the size of tensor b (3) at non-singleton dimension 1
              Your result is the one you get when the width is never checked.
            next: dojo hint {name}
            """,
    ),
    "shape": Case(
        edits={"return x * self.weight": "return (x * self.weight).sum(1)"},
        told="""
            ones: A new gate changes nothing.
              the result of Gate.forward is (2,) of torch.float32, expected (batch 2, width 3) of floats
            next: dojo hint {name}
            """,
    ),
    "dtype": Case(
        edits={"return x * self.weight": "return (x * self.weight).long()"},
        told="""
            ones: A new gate changes nothing.
              the result of Gate.forward is (2, 3) of torch.int64, expected (batch 2, width 3) of floats
            next: dojo hint {name}
            """,
    ),
    "misindented": Case(
        edits={
            "    def forward": "        def forward",
            MULTIPLY: f"    {MULTIPLY}",
            "        if x": "            if x",
        }
        | {"            raise": "                raise"},
        told="""
            katas/{kata}.py:25 `def forward` is inside Gate.__init__; it belongs in the class
              Gate: check its indent
            next: dojo spec {name}
            """,
    ),
    "dedented": Case(
        edits={"    def forward": "def forward", MULTIPLY: "    return x * self.weight\n", "        if x": "    if x"}
        | {"            raise": "        raise"},
        told="""
            katas/{kata}.py:25 `def forward` is outside of any class; it belongs in the class Gate:
              check its indent
            next: dojo spec {name}
            """,
    ),
    "no_return": Case(
        edits={"return x * self.weight": "x * self.weight"},
        told="""
            ones: A new gate changes nothing.
              the result of Gate.forward is None: does every path through Gate.forward end in a `return`?
            next: dojo hint {name}
            """,
    ),
    "no_super": Case(
        edits={"        super().__init__()\n": ""},
        told="""
            ones: A new gate changes nothing.
              your line: katas/{kata}.py:22  self.weight = nn.Parameter(torch.ones(width))
              AttributeError: cannot assign parameters before Module.__init__() call
              `super().__init__()` has to be the first line of __init__: only then can a module hold its parts.
            next: dojo hint {name}
            """,
    ),
    "renamed": Case(
        edits={"class Gate(": "class Gates("},
        told="""
            katas/{kata}.py defines no Gate
              it has Gates in line 8: was Gate renamed? The tests need its name as specified
            next: dojo spec {name}
            """,
    ),
    "empty": Case(
        source="",
        told="""
            katas/{kata}.py defines no Gate
            next: dojo spec {name}
            """,
    ),
    "syntax": Case(
        edits={"x.shape[1] !=": "x.shape[1] =! "},
        told="""
            katas/{kata}.py:26 is not valid Python: invalid syntax
                if x.shape[1] =!  len(self.weight):
                              ^
            next: dojo test {name}
            """,
    ),
    "bytes": Case(
        source=b"# \xff\n",
        told="""
            katas/{kata}.py:1 is not text: the byte 0xff is not UTF-8
              Save it as UTF-8, or delete that byte.
            next: dojo test {name}
            """,
    ),
    "later": Case(
        source=REFERENCE.encode() + b"# \xe9 and more\n",
        told=f"""
            katas/{{kata}}.py:{REFERENCE.count(chr(10)) + 1} is not text: the byte 0xe9 is not UTF-8
              Save it as UTF-8, or delete that byte.
            next: dojo test {{name}}
            """,
    ),
    "missing": Case(
        source="missing",
        told="""
            katas/{kata}.py is missing
            next: dojo reset {name}
            """,
    ),
    "at_import": Case(
        edits={"import torch\n": "import torch\n\nzero = 1 / 0\n"},
        told="""
            katas/{kata}.py raises an error while it is loaded
              your line: katas/{kata}.py:5  zero = 1 / 0
              ZeroDivisionError: division by zero
            next: dojo test {name}
            """,
    ),
    "inside_torch": Case(
        edits={"return x * self.weight": "return x @ self.weight.reshape(1, -1)"},
        told="""
            ones: A new gate changes nothing.
              your line: katas/{kata}.py:28  return x @ self.weight.reshape(1, -1)
              RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 1x3)
            next: dojo hint {name}
            """,
    ),
    "endless": Case(
        edits={"return x * self.weight": "return self.forward(x)"},
        told="""
            ones: A new gate changes nothing.
              your line: katas/{kata}.py:28  return self.forward(x)
              RecursionError: the function calls itself without end
            next: dojo hint {name}
            """,
    ),
    "prints": Case(
        edits={"x * self.weight": "[print(i) for i in range(30)] and x + self.weight"},
        told="""
            ones: A new gate changes nothing.
              the value at [0, 0] is 1.68884, expected 0.688844: the weights of a new gate should be ones
              Your result is the one you get when the weights are added and not multiplied.
            next: dojo hint {name}
            """,
        printed="(10 lines before)\n" + "\n".join(map(str, range(10, 30))),
    ),
    "not_allowed": Case(
        edits={"return x * self.weight": "return torch.einsum('bw,w->bw', x, self.weight)"},
        told="""
            katas/{kata}.py:28 uses torch.einsum
              The specification of {name} asks you to write this yourself.
            next: dojo test {name}
            """,
    ),
    "borrowed_answer": Case(
        edits={"import torch\n": "import torch\nfrom solutions.toys import gate_borrowed_answer\n"},
        told="""
            katas/{kata}.py:4 imports solutions
              A kata imports neither the reference nor the tests and their tools.
            next: dojo test {name}
            """,
    ),
    "exits": Case(
        edits={"return x * self.weight": "raise SystemExit"},
        told="""
            ones: A new gate changes nothing.
              your line: katas/{kata}.py:28  raise SystemExit
              SystemExit
            next: dojo hint {name}
            """,
    ),
    "skips": Case(
        edits={"return x * self.weight": "raise __import__('unit' + 'test').SkipTest('hard')"},
        told="""
            katas/{kata}.py:28 takes a detour with __import__
              A kata calls what it needs by its name.
            next: dojo test {name}
            """,
    ),
    "nul": Case(
        edits={"import torch\n": "import torch\n# \0\n"},
        told="""
            katas/{kata}.py:4 is not text: it holds a NUL byte
              Delete that byte.
            next: dojo test {name}
            """,
    ),
    "passes": Case(
        source=REFERENCE.partition("        if x.shape[1]")[0] + "        pass\n",
        told="""
            not written yet: katas/{kata}.py:25 Gate.forward has an empty body
            next: dojo spec {name}
            """,
    ),
    "unbuilt": Case(
        edits={
            "        super().__init__()\n": "        pass\n",
            "        self.weight = nn.Parameter(torch.ones(width))\n": "",
        },
        told="""
            not written yet: katas/{kata}.py:21 Gate.__init__ has an empty body
            next: dojo spec {name}
            """,
    ),
    "star": Case(
        source="from torch.nn import *\n",
        told="""
            katas/{kata}.py:1 imports everything from torch.nn
              A kata names what it imports.
            next: dojo test {name}
            """,
    ),
    "alias": Case(
        source="from torch.nn import Identity as Gate\n",
        told="""
            katas/{kata}.py defines no Gate
              Gate is there only as another name of something else: write it with def or class
            next: dojo spec {name}
            """,
    ),
    "patches": Case(
        edits={"import torch\n": "import torch\n\ntorch.allclose = lambda *_, **__: True\n"},
        told="""
            katas/{kata}.py:5 changes torch.allclose
              A kata changes nothing in other modules: the tests use them too.
            next: dojo test {name}
            """,
    ),
    "random": Case(
        edits={"x * self.weight": "x * self.weight + (next(calls) % 3 == 1)"}
        | {"import torch\n": "from itertools import count\n\nimport torch\n\ncalls = count()\n"},
        clause="scales",
        told="""
            scales: The output is x * weight, feature by feature.
              The same call gave two different results: is something random, or kept between calls?
            next: dojo hint {name}
            """,
    ),
}
