"""What the door finds in a kata's source, and what it lets pass."""

import ast

import pytest

from dojo.serving.restrictions import DETOUR, bound_names, uses_of

FORBIDDEN = ("scaled_dot_product_attention", "torch.softmax", "tiktoken")


def found(source):
    return uses_of(FORBIDDEN, ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn.functional as F\ny = F.scaled_dot_product_attention(q, k, v)",
        "from torch.nn.functional import scaled_dot_product_attention as a",
        "import torch\ny = getattr(torch.nn.functional, 'scaled_dot_product_attention')(q, k, v)",
        "def f(x):\n    return x.softmax(-1)",
        "from torch import softmax",
        "import tiktoken",
        "import tiktoken.load as t",
        "from tiktoken import get_encoding",
        "y = softmax(x)",
        "import torch\ny = vars(torch)['softmax'](x, -1)",
        "from operator import methodcaller\ny = methodcaller('softmax', -1)(x)",
        "class C:\n    def f(self):\n        return self.softmax(1)",
    ],
)
def test_a_forbidden_name_is_found(source):
    assert found(source), source


@pytest.mark.parametrize(
    "source",
    [
        "def softmax(x):\n    return x\n\n\ny = softmax(1)",
        "from ..foundations.softmax import softmax\n\ny = softmax(1)",
        '"""Do not use scaled_dot_product_attention, tiktoken or softmax here."""',
        "# tiktoken.get_encoding\nx = 1",
        'def f():\n    """softmax."""\n    raise ValueError("tiktoken")',
        "curves = {'softmax': 1}\nprint(curves['softmax'])",
        "class C:\n    def softmax(self, x):\n        return x\n\n    def f(self):\n        return self.softmax(1)",
        "class C:\n    def __init__(self):\n        self.softmax = 1\n        print(self.softmax)",
        "softmax_of_scores = 1\nx.log_softmax(1)",
        "tiktoken_like = 'like tiktoken'",
    ],
)
def test_a_learners_own_name_passes(source):
    assert not found(source), found(source)


def test_each_name_is_told_once_with_its_first_line():
    assert found("import tiktoken\n\ntiktoken.x\ny.softmax()\nz.softmax()") == [
        ("uses", "tiktoken", 1),
        ("uses", "torch.softmax", 4),
    ]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import solutions.attention.causal", ("imports", "solutions")),
        ("from solutions.attention import softmax", ("imports", "solutions")),
        ("import pytest\npytest.skip('hard')", ("imports", "pytest")),
        ("from hypothesis import reject", ("imports", "hypothesis")),
        ("import importlib\nk = importlib.import_module('sol' + 'utions')", (DETOUR, "importlib")),
        ("kata = __import__('solutions')", (DETOUR, "__import__")),
        ("import runpy\nrunpy.run_path('solutions/attention/causal.py')", (DETOUR, "runpy")),
        ("exec(open('solutions/attention/causal.py').read())", (DETOUR, "exec")),
        ("import sys\nsupport = sys.modules['tests.support']", (DETOUR, "sys.modules")),
        ("import os\nos.environ['KATA_ROOMS'] = '{}'", (DETOUR, "KATA_ROOMS")),
        ("import torch\ny = torch._softmax(x, 1, False)", (DETOUR, "torch._softmax")),
        ("from torch import _C\n", (DETOUR, "torch._C")),
        ("import torch\ny = torch._C._nn.gelu(x)", (DETOUR, "torch._C")),
        ("import torch as t\ny = t.ops.aten.gelu(x)", (DETOUR, "torch.ops")),
        ("from torch.nn import functional as F\ny = getattr(F, 'layer' + '_norm')(x)", (DETOUR, "getattr(F, ...)")),
        ("import torch\nt = torch\ny = getattr(t, name)(x)", (DETOUR, "getattr(t, ...)")),
        ("import torch\ny = vars(torch)['soft' + 'max'](x, 1)", (DETOUR, "vars(torch)")),
        ("from torch import *", ("imports everything from", "torch")),
        ("class C:\n    def softmax(self): ...\n    def f(self, x):\n        self = x\n", ("changes", "self")),
    ],
)
def test_the_reference_and_the_tools_of_the_tests_are_found(source, what):
    assert (found(source)[0].verb, found(source)[0].name) == what


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import torch\ntorch.allclose = lambda *_, **__: True", "torch.allclose"),
        ("import torch\nsetattr(torch, 'allclose', print)", "torch"),
        ("from torch import Tensor\nTensor.__eq__ = print", "Tensor.__eq__"),
        ("import torch.nn as nn\nnn.Linear.forward = print", "nn.Linear.forward"),
    ],
)
def test_a_change_of_another_module_is_found(source, what):
    assert [use[:2] for use in found(source)] == [("changes", what)]


@pytest.mark.parametrize(
    "source",
    [
        "from .tests import x",
        "from ..attention.trainable import SelfAttention",
        "tests = ['solutions', 'pytest']",
        "class C:\n    def __init__(self):\n        self.tests = 1\n        setattr(self, 'dojo', 1)",
        "import torch\nx = torch.zeros(1)\nx.grad = None\nx.data.tests = 1",
    ],
)
def test_words_and_own_attributes_pass(source):
    assert not found(source), found(source)


@pytest.mark.parametrize(
    "source",
    [
        "import re\nword = re.compile('a')\nmodel.eval()\nimport torch\nf = torch.compile(g)",
        "import sys\nlargest = sys.maxsize",
        "for name in ('weight', 'bias'):\n    getattr(layer, name).zero_()",
        "import os\npath = os.environ['HOME']",
        "import torch\nprint(torch.__version__)\nx._version",
        "class C:\n    @classmethod\n    def load(cls):\n        self = cls.__new__(cls)\n        return self",
    ],
)
def test_what_only_looks_like_a_detour_passes(source):
    assert not found(source), found(source)


def test_only_what_a_file_binds_itself_counts():
    source = (
        "from torch import softmax, nn\nimport torch.nn.functional as F\nlog_softmax = F.log_softmax\n"
        "def one(): ...\nclass Two: ...\nthree = lambda x: x\nif True:\n    def four(): ...\nfive = one\n"
    )
    assert bound_names(ast.parse(source)) == {"one", "Two", "three", "four", "five"}
