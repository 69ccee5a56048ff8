"""`dojo bench`: the ladder from the command line."""

import json

import pytest

WRONG = """from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        self.W_query, self.W_key, self.W_value = (nn.Linear(d_in, d_out, bias=qkv_bias) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)

    def forward(self, x):
        return self.out_proj(self.W_value(x))
"""


@pytest.fixture
def short(scratch):
    """A copy whose ladder has short texts only, so that a test can climb it."""
    ladder = scratch.read("dojo/ladder/attention.py").replace("longest = 1024 if quick", "longest = 64 if quick")
    scratch.write("dojo/ladder/attention.py", ladder.replace("128 * 2**power", "8 * 2**power"))
    bench = scratch.read("dojo/commands/bench.py")
    scratch.write("dojo/commands/bench.py", bench.replace("{True: 0.6", "{True: 0.01"))
    assert "{True: 0.01" in scratch.read("dojo/commands/bench.py")
    return scratch


@pytest.mark.long
def test_an_untouched_stub_is_not_on_the_ladder_and_the_others_are(short):
    done = short.run("dojo", "bench", "attention", "--quick", OMP_NUM_THREADS="1")
    assert "yours is not on the ladder: katas/attention/multihead.py is not written yet" in done.stdout, done.stderr
    assert done.stdout.index("yours is not") < done.stdout.index("weight-split  "), "it is told at the beginning"
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert short.path(".dojo/bench/attention-cpu-float32-quick.json").is_file()
    assert short.read(".dojo/bench/attention-cpu-float32-quick-12x64.svg").startswith("<?xml")


def test_a_wrong_attention_is_shown_as_wrong_and_not_timed(short):
    short.write("katas/attention/multihead.py", WRONG)
    done = short.run("dojo", "bench", "attention", "--quick", "--json", OMP_NUM_THREADS="1")
    assert done.returncode == 1
    cells = json.loads(done.stdout)["climbs"][0]["cells"]
    yours = [cell for cell in cells if cell["variant"] == "yours"]
    assert {cell["state"] for cell in yours} == {"failed", "skipped"}
    assert yours[0]["why"].startswith("the output is off")


def test_a_device_that_is_not_there_is_an_error_of_usage(scratch):
    done = scratch.run("dojo", "bench", "attention", "--device", "tpu")
    assert done.returncode == 2
    assert "there is no tpu here, only cpu" in done.stderr
