"""The attention of the reference under torch.compile and torch.export gives the same numbers as without.

One child process does it for all modules, without the checks of annotations. Each is exported for its full number of
tokens, and once more for any number below: at the full number CausalAttention takes its mask whole and has nothing to
cut, and one exported program cannot be both.
"""

import json
import os
import subprocess
import sys

import pytest

from dojo import ROOT
from dojo.serving.finder import CHECKS, ROOMS

MODULES = {  # the kata, and how its module is made: 5 features in, 4 out, room for 8 tokens
    "SelfAttention": ("trainable", [5, 4]),
    "CausalAttention": ("causal", [5, 4, 8, 0.0]),
    "MultiHeadAttentionWrapper": ("multihead", [5, 2, 8, 0.0, 2]),
    "MultiHeadAttention": ("multihead", [5, 4, 8, 0.0, 2]),
}

PROGRAM = """
import importlib, json, sys
import torch

def apart(one, other):
    return max((mine - theirs).abs().max().item() for mine, theirs in zip(one, other, strict=True))

def gradients(call, module, x):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(call(leaf).square().sum(), [leaf, *module.parameters()])

told = {}
backends = ["aot_eager"]
try:
    torch.compile(lambda x: x.sin() + x.cos())(torch.ones(3))
    backends.append("inductor")
except Exception as error:
    told["without inductor"] = f"{type(error).__name__}: {error}".partition("\\n")[0]

for name, (kata, arguments) in json.loads(sys.argv[1]).items():
    torch.manual_seed(0)
    module = getattr(importlib.import_module(f"katas.attention.{kata}"), name)(*arguments)
    full, shorter = torch.randn(2, 8, 5), [torch.randn(3, 7, 5), torch.randn(2, 3, 5), torch.randn(4, 2, 5)]
    expected = [module(x) for x in shorter]
    for backend in backends:
        torch._dynamo.reset()
        compiled = torch.compile(module, fullgraph=True, backend=backend)
        with torch.no_grad():
            told[f"{name} by {backend}"] = apart([compiled(full), compiled(shorter[0])], [module(full), expected[0]])
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    told[f"gradients of {name}"] = apart(gradients(compiled, module, full), gradients(module, module, full))
    exported = torch.export.export(module, (full,)).module()
    told[f"{name} exported"] = apart([exported(full)], [module(full)])
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=7)}
    exported = torch.export.export(module, (shorter[0],), dynamic_shapes=(axes,)).module()
    told[f"{name} exported for any length"] = apart([exported(x) for x in shorter], expected)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, float | str]:
    """How far each result lies from what the module itself gives; and why inductor was left out, if it was."""
    environment = {name: value for name, value in os.environ.items() if name != CHECKS}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(MODULES)],
        cwd=ROOT,
        env=environment | {ROOMS: '{"*": "solutions"}'},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_module_gives_the_same_numbers(told, name, backend):
    if backend == "inductor" and "without inductor" in told:
        pytest.skip(f"inductor compiles nothing here: {told['without inductor']}")
    assert told[f"{name} by {backend}"] < 1e-5


@pytest.mark.parametrize("name", MODULES)
def test_a_compiled_module_gives_the_same_gradients(told, name):
    assert told[f"gradients of {name}"] < 1e-4


@pytest.mark.parametrize("name", MODULES)
def test_an_exported_module_gives_the_same_numbers(told, name):
    assert told[f"{name} exported"] < 1e-5
    assert told[f"{name} exported for any length"] < 1e-5
