"""The frame that all ladders share: every rung at every size is checked, then timed in turn, and its memory measured.

A ladder says what its sizes are, what is computed at a size, which rungs there are and what is right. What would not
fit into half of the free memory, or would take too long, is left out, and the number that decided it is shown.
"""

import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from dojo.ladder.measuring import Step, free_memory, in_turn, median, peak_of, ratio
from dojo.system.terminal import number

SLOWEST = 20.0  # seconds that one pass of a rung may be expected to take
PASSES_NEEDED = 8  # of a rung at one size: checking, warming up, timing, measuring memory
TIMED, FAILED, SKIPPED = "timed", "failed", "skipped"
YOURS = "yours"


class NotRight(Exception):
    """A rung gives a wrong result. The message says what differs, and by how much."""


@dataclass(frozen=True)
class Variant:
    """A rung by name; `build` makes it for one problem. `quadratic` memory and time grow with the square of the size,
    `longest` spares a slow one."""

    name: str
    build: Callable[[Any], Any]
    quadratic: bool = True
    longest: int | None = None
    compiled: bool = False  # needs a compiler for the device, so it is tried on CUDA only


@dataclass(frozen=True)
class Bar:
    """One rung has at least this many times the speed of another, from one size to another."""

    one: str
    other: str
    least: float
    passes: Sequence[str]
    sizes: tuple[float, float] = (0, math.inf)


@dataclass(frozen=True)
class Growth:
    """The memory of a rung in one pass grows with at most, or at least, this power of the size."""

    name: str
    which: str
    power: float
    at_least: bool
    start: int = 0


class Ladder:
    """What one ladder is about. The problem of a size is whatever its rungs, check and steps agree on."""

    name: ClassVar[str]
    unit: ClassVar[str]  # of a size
    passes: ClassVar[tuple[str, ...]]
    rate: ClassVar[tuple[str, float]]  # what is done in a second, by name, and how much of the work is one of them
    shape: str = ""  # what kind of problem, for the title
    slug: str = ""  # the same in a file's name
    device = "cpu"
    dtype = ""
    base: str  # the rung that the speed of all is told in
    sizes: list[int]
    variants: list[Variant]
    bars: Sequence[Bar | Growth] = ()
    with_memory = True

    def problem(self, size: int) -> Any:
        """What is computed at this size, and what is right."""
        raise NotImplementedError

    def check(self, rung: Any, problem: Any) -> None:
        """Let a rung pass. Raises NotRight, and whatever a learner's own code raises."""
        raise NotImplementedError

    def step(self, rung: Any, problem: Any, which: str) -> Step:
        """What is timed."""
        raise NotImplementedError

    def work(self, size: int, which: str) -> float:
        """How much is done in a step."""
        raise NotImplementedError

    def floor(self, size: int, which: str) -> float:
        """The seconds that no true step can beat on this machine."""
        return 0.0

    def least_memory(self, variant: Variant, size: int) -> float:
        """The bytes that a rung has to hold."""
        return 0.0


@dataclass
class Cell:
    """One rung at one size in one pass: timed, or failed at the gate, or skipped, with the reason."""

    variant: str
    size: int
    which: str
    state: str
    why: str = ""
    seconds: float = 0.0
    memory: int = 0  # bytes at the worst moment
    rate: float = 0.0
    of_base: float = 0.0  # how many times the speed of the base: the median of the ratios of all rounds


@dataclass
class Climb:
    """The results of a ladder."""

    name: str
    shape: str
    slug: str
    unit: str
    passes: list[str]
    rate: str
    base: str
    device: str
    dtype: str
    sizes: list[int]
    cells: list[Cell] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    def cell(self, variant: str, size: int, which: str) -> Cell | None:
        found = (cell for cell in self.cells if (cell.variant, cell.size, cell.which) == (variant, size, which))
        return next(found, None)

    def of(self, variant: str, which: str) -> list[Cell]:
        """The timed cells of a rung, by size."""
        return [cell for cell in self.cells if (cell.variant, cell.which, cell.state) == (variant, which, TIMED)]

    def variants(self) -> list[str]:
        return list(dict.fromkeys(cell.variant for cell in self.cells))

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def climb(
    ladder: Ladder,
    budget: float = 3.0,
    seconds: float = math.inf,
    tell: Callable[[str], None] = lambda what: None,
) -> Climb:
    """Measure the rungs. They share `budget` seconds at one size for one pass; all ends after about `seconds`."""
    climbed = Climb(
        ladder.name, ladder.shape, ladder.slug, ladder.unit, [*ladder.passes], ladder.rate[0], ladder.base,
        ladder.device, ladder.dtype, ladder.sizes, machine=machine(ladder.device),
    )  # fmt: skip
    until = time.monotonic() + seconds
    for size in ladder.sizes:
        _one_size(ladder, climbed, size, budget, until, tell)
    return climbed


def _one_size(
    ladder: Ladder, climbed: Climb, size: int, budget: float, until: float, tell: Callable[[str], None]
) -> None:
    """Check, time and measure every rung at one size, and add the cells."""
    problem = ladder.problem(size)
    rungs = {}
    for variant in ladder.variants:
        tell(f"{number(size)} {ladder.unit}: checking {variant.name}")
        state, why = SKIPPED, left_out(ladder, climbed, variant, size, until)
        if not why:
            state, (rung, why) = FAILED, gated(ladder, variant, problem)
        if why:
            climbed.cells += [Cell(variant.name, size, which, state, why) for which in ladder.passes]
        else:
            rungs[variant.name] = rung
    for which in ladder.passes:
        tell(f"{number(size)} {ladder.unit}: timing {which}")
        steps = {name: ladder.step(rung, problem, which) for name, rung in rungs.items()}
        rounds = in_turn(steps, ladder.device, budget, until)
        for name, times in rounds.items():
            cell = Cell(name, size, which, TIMED, seconds=median(times))
            if cell.seconds < (floor := ladder.floor(size, which)):
                cell.state, cell.why = FAILED, f"{cell.seconds:.1e} s is less than this machine can take: {floor:.1e} s"
            elif ladder.with_memory:
                tell(f"{number(size)} {ladder.unit}: memory of {name}")
                cell.memory = peak_of(steps[name], ladder.device)
            cell.rate = ladder.work(size, which) / cell.seconds / ladder.rate[1]
            if ladder.base in rounds:
                cell.of_base = ratio(rounds, name, ladder.base)
            climbed.cells.append(cell)


def gated(ladder: Ladder, variant: Variant, problem: Any) -> tuple[Any, str]:
    """A rung, and why it does not pass the gate; empty where it does. A learner's own may fail in any way."""
    import torch

    try:
        rung = variant.build(problem)
        ladder.check(rung, problem)
    except NotRight as error:
        return None, str(error)
    except torch.OutOfMemoryError:
        return None, "out of memory"
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"
    return rung, ""


def left_out(ladder: Ladder, climbed: Climb, variant: Variant, size: int, until: float = math.inf) -> str:
    """Why a cell is not tried at all; empty where it is."""
    if variant.longest is not None and size > variant.longest:
        return f"measured up to {number(variant.longest)} {ladder.unit}"
    if variant.compiled and not ladder.device.startswith("cuda"):
        return "on CUDA only"
    failed = [cell for cell in climbed.cells if cell.variant == variant.name and cell.state == FAILED]
    if failed:
        return f"failed at {failed[0].size} {ladder.unit}"
    before = climbed.of(variant.name, ladder.passes[-1])
    longer = size / before[-1].size if before else 1.0
    if ladder.with_memory:
        free, need = free_memory(ladder.device), ladder.least_memory(variant, size)
        if before:
            need = before[-1].memory * longer ** (2 if variant.quadratic else 1)
        if need > free / 2:
            return f"needs {gib(need)} of {gib(free)} GiB free"
    left = until - time.monotonic()
    seconds = before[-1].seconds * longer ** (2 if variant.quadratic else 1) if before else 0.0
    if seconds > SLOWEST:
        return f"would take {seconds:.0f} s"
    if left < PASSES_NEEDED * seconds * len(ladder.passes) or left <= 0:
        return "no time was left for it"
    return ""


def growth(cells: Sequence[Cell], value: Callable[[Cell], float]) -> float | None:
    """The exponent with which a value grows with the size, by the last three sizes; None where there are fewer."""
    points = [(math.log(cell.size), math.log(value(cell))) for cell in cells if value(cell) > 0][-3:]
    if len(points) < 3:
        return None
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    rise = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return rise / sum((x - middle_x) ** 2 for x, _ in points)


def machine(device: str) -> dict[str, str]:
    """What the figures were measured on."""
    import torch

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
