"""The ladder of attention: each way to write it is proved right first, and timed then.

Run with `python -m pytest --solutions tests/attention/bench_attention.py`, and `--quick` for short texts only. A
variant that is not right on a device, in a dtype, is not timed there; dojo/ladder has the variants and the gate. What
is asserted are ratios within this run, and how memory grows; seconds are only told. It needs torch, numpy, pytest and
pytest-benchmark.
"""

import pytest
import torch

from dojo.ladder.attention import SHAPES
from dojo.ladder.attention_gate import check, truth
from dojo.ladder.attention_rungs import Fused, FusedMask, Size, deal
from dojo.ladder.ladder import NotRight
from dojo.ladder.measuring import has_bfloat16
from tests.support import climbed_and_checked

NO_CUDA = "there is no CUDA here"


def places():
    """Where and in which dtype: float32 everywhere, bfloat16 where the device computes in it."""
    for device in ("cpu", "cuda"):
        for dtype in (torch.float32, torch.bfloat16):
            absent = device == "cuda" and not torch.cuda.is_available()
            unable = not absent and dtype == torch.bfloat16 and not has_bfloat16(device)
            reason = NO_CUDA if absent else f"this {device} does not compute in bfloat16"
            skipped = pytest.mark.skipif(absent or unable, reason=reason)
            yield pytest.param(device, dtype, id=f"{device}-{str(dtype)[6:]}", marks=skipped)


class Inverted(FusedMask):
    """A mask the wrong way round: every token sees its future and not its past. It is as fast as the right one."""

    def __init__(self, weights, size):
        super().__init__(weights, size)
        self.past = ~self.past | torch.eye(size.tokens, dtype=torch.bool, device=self.past.device)


@pytest.mark.parametrize(("device", "dtype"), [*places()])
def test_a_mask_the_wrong_way_round_does_not_pass_the_gate(device, dtype):
    size = Size(4, 16, 32)
    weights = deal(size, device, dtype)
    right = truth(weights, size, batch=2)
    check(Fused(weights, size), right)
    with pytest.raises(NotRight, match="the output is off"):
        check(Inverted(weights, size), right)


@pytest.mark.parametrize(("device", "dtype"), [*places()])
@pytest.mark.parametrize("number", range(len(SHAPES)), ids=lambda number: "{}x{}".format(*SHAPES[number]))
def test_the_ladder(device, dtype, number, benchmark, capsys, request):
    if request.config.getoption("--quick") and number:
        pytest.skip("one shape is enough for a quick run")
    climbed_and_checked("attention", number, benchmark, capsys, request, device=device, dtype=str(dtype)[6:])
