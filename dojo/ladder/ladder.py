"""Climb the ladder: every variant at every length, gated, timed in turn, its memory measured.

A length at a time, all variants that pass the gate are timed in turns. What would not fit into half of the free memory,
or would take too long, is left out with the number that says why.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from dojo.ladder.gate import NotRight, Truth, check, truth
from dojo.ladder.measuring import BOTH, FORWARD, PASSES, free_memory, in_turn, peak_of, product_speed, step
from dojo.ladder.variants import FUSED, Size, Variant, Weights, deal

SLOWEST = 20.0  # seconds that one pass of a variant may be expected to take
SHAPES = ((12, 64), (8, 128))
TIMED, FAILED, SKIPPED = "timed", "failed", "skipped"


@dataclass
class Cell:
    """One variant at one length in one pass: timed, or failed at the gate, or skipped, with the reason."""

    variant: str
    tokens: int
    which: str
    state: str
    why: str = ""
    seconds: float = 0.0
    memory: int = 0  # bytes at the worst moment
    tokens_a_second: float = 0.0
    flops: float = 0.0  # a second, causal work counted as half
    of_product: float = 0.0  # the share of the machine's own matrix product
    of_fused: float = 0.0  # how many times the speed of PyTorch's fused attention


@dataclass
class Climb:
    """A ladder for one shape in one dtype on one device."""

    device: str
    dtype: str
    heads: int
    head_dim: int
    batch: int
    lengths: list[int]
    product_flops: float
    cells: list[Cell] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    def cell(self, variant: str, tokens: int, which: str) -> Cell | None:
        found = (cell for cell in self.cells if (cell.variant, cell.tokens, cell.which) == (variant, tokens, which))
        return next(found, None)

    def of(self, variant: str, which: str) -> list[Cell]:
        """The timed cells of a variant, by length."""
        return [cell for cell in self.cells if (cell.variant, cell.which, cell.state) == (variant, which, TIMED)]

    def variants(self) -> list[str]:
        return list(dict.fromkeys(cell.variant for cell in self.cells))

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def lengths_for(device: str, quick: bool) -> list[int]:
    longest = 1024 if quick else 16384 if device.startswith("cuda") else 4096
    return [length for length in (128 * 2**power for power in range(8)) if length <= longest]


def climb(
    variants: Sequence[Variant],
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    heads: int = 12,
    head_dim: int = 64,
    batch: int = 1,
    lengths: Sequence[int] = (128, 256, 512, 1024),
    budget: float = 3.0,
    tell: Callable[[str], None] = lambda what: None,
) -> Climb:
    """Measure the variants. `budget` is the seconds that all of them share at one length for one pass."""
    climbed = Climb(
        device, str(dtype).removeprefix("torch."), heads, head_dim, batch, list(lengths), product_speed(device, dtype)
    )
    climbed.machine = machine(device)
    for tokens in lengths:
        one_length(climbed, variants, Size(heads, head_dim, tokens), dtype, budget, tell)
    return climbed


def one_length(
    climbed: Climb,
    variants: Sequence[Variant],
    size: Size,
    dtype: torch.dtype,
    budget: float,
    tell: Callable[[str], None],
) -> None:
    """Gate, time and measure every variant at one length, and add the cells."""
    weights = deal(size, climbed.device, dtype)
    right = truth(weights, size, climbed.batch)
    passed = {}
    for variant in variants:
        tell(f"{size.tokens} tokens: checking {variant.name}")
        if why := left_out(climbed, variant, size):
            climbed.cells += [Cell(variant.name, size.tokens, which, SKIPPED, why) for which in PASSES]
        elif why := not_right(variant, weights, size, right):
            climbed.cells += [Cell(variant.name, size.tokens, which, FAILED, why) for which in PASSES]
        else:
            passed[variant.name] = variant
    rungs = {name: variant.build(weights, size) for name, variant in passed.items()}
    for which in PASSES:
        tell(f"{size.tokens} tokens: timing {which}")
        steps = {name: step(rung, right.x, right.grad, which) for name, rung in rungs.items()}
        for name in steps:  # once before the clock runs: caches, compilers
            steps[name]()
        times = in_turn(steps, climbed.device, budget)
        for name, seconds in times.items():
            tell(f"{size.tokens} tokens: memory of {name}")
            climbed.cells.append(measured(climbed, name, size, which, seconds, peak_of(steps[name], climbed.device)))
        fused = times.get(FUSED)
        for cell in climbed.cells:
            if fused and cell.state == TIMED and (cell.tokens, cell.which) == (size.tokens, which):
                cell.of_fused = fused / cell.seconds


def not_right(variant: Variant, weights: Weights, size: Size, right: Truth) -> str:
    """Why a variant does not pass the gate; empty where it does. A learner's own may fail in any way."""
    try:
        check(variant.build(weights, size), right)
    except NotRight as error:
        return str(error)
    except torch.OutOfMemoryError:
        return "out of memory"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"
    return ""


def left_out(climbed: Climb, variant: Variant, size: Size) -> str:
    """Why a cell is not tried at all; empty where it is."""
    if variant.longest is not None and size.tokens > variant.longest:
        return f"measured up to {variant.longest} tokens"
    if variant.compiled and not climbed.device.startswith("cuda"):
        return "on CUDA only"
    failed = [cell for cell in climbed.cells if cell.variant == variant.name and cell.state == FAILED]
    if failed:
        return f"failed at {failed[0].tokens} tokens"
    free, need = free_memory(climbed.device), expected_memory(climbed, variant, size)
    if need > free / 2:
        return f"needs {gib(need)} of {gib(free)} GiB free"
    before = climbed.of(variant.name, BOTH)
    if before:
        seconds = before[-1].seconds * (size.tokens / before[-1].tokens) ** 2
        if seconds > SLOWEST:
            return f"would take {seconds:.0f} s"
    return ""


def expected_memory(climbed: Climb, variant: Variant, size: Size) -> float:
    """The bytes that a pass with gradients will hold, by what a shorter one held, or by what it has to hold."""
    before = climbed.of(variant.name, BOTH)
    if before:
        return before[-1].memory * (size.tokens / before[-1].tokens) ** (2 if variant.quadratic else 1)
    width = {"float64": 8, "float32": 4}.get(climbed.dtype, 2)
    each = climbed.batch * size.tokens * width
    return each * (size.heads * size.tokens * 6 * variant.quadratic + size.emb_dim * 20)


def measured(climbed: Climb, name: str, size: Size, which: str, seconds: float, memory: int) -> Cell:
    flops = work(size, climbed.batch, which) / seconds
    return Cell(
        name,
        size.tokens,
        which,
        TIMED,
        seconds=seconds,
        memory=memory,
        tokens_a_second=climbed.batch * size.tokens / seconds,
        flops=flops,
        of_product=flops / climbed.product_flops,
    )


def work(size: Size, batch: int, which: str) -> float:
    """The floating-point operations that are needed: four projections, and half of the two products of attention.

    The backward pass needs twice as many as the forward one.
    """
    projections = 4 * 2 * batch * size.tokens * size.emb_dim**2
    attention = 2 * 2 * batch * size.heads * size.tokens**2 * size.head_dim / 2
    return (projections + attention) * (1 if which == FORWARD else 3)


def growth(cells: Sequence[Cell], value: Callable[[Cell], float]) -> float | None:
    """The exponent with which a value grows with the length, by the last three lengths; None where there are fewer."""
    import math

    points = [(math.log(cell.tokens), math.log(value(cell))) for cell in cells if value(cell) > 0][-3:]
    if len(points) < 3:
        return None
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    rise = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return rise / sum((x - middle_x) ** 2 for x, _ in points)


def machine(device: str) -> dict[str, str]:
    """What the figures were measured on."""
    found = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "day": time.strftime("%Y-%m-%d"),
    }
    if device.startswith("cuda"):
        return found | {"device": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return found | {"device": processor(), "threads": str(torch.get_num_threads())}


def processor() -> str:
    if sys.platform == "linux":
        for line in cpu_lines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_lines() -> Iterator[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            yield from file
    except OSError:
        return


def gib(count: float) -> str:
    return f"{count / 2**30:.1f}"
