"""Time and memory of one step, on a CPU or a GPU."""

import contextlib
import functools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

BUSY = 0.85  # of the processor: with less of it, times are not this program's own
ROUNDS = 50  # at most
CACHE = 256 * 2**20  # bytes, more than any GPU's cache holds
Rounds = dict[str, list[float]]


@dataclass(frozen=True)
class Step:
    """What is timed, and what has to be done before each time without being timed: fresh inputs."""

    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


def seconds_of(step: Step, device: str) -> float:
    """How long a step takes once: on CUDA by its own events, with an empty cache."""
    step.prepare()
    if device.startswith("cuda"):
        torch.empty(CACHE, dtype=torch.int8, device=device).zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        step.run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000
    begun = time.perf_counter()
    step.run()
    if device == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - begun


def in_turn(steps: Mapping[str, Step], device: str, budget: float, until: float = math.inf) -> Rounds:
    """The seconds of each in every round. They take turns, so what slows the machine for a while slows all of them.

    Each is done once before: caches, compilers, and the clocks of a GPU, which rise with work.
    """
    for step in steps.values():
        seconds_of(step, device)
    if device.startswith("cuda"):
        product_speed(device, torch.float32)
    found: Rounds = {name: [] for name in steps}
    end = time.perf_counter() + budget
    while True:
        for name, step in steps.items():
            found[name].append(seconds_of(step, device))
        rounds = len(next(iter(found.values()), []))
        late = time.perf_counter() > end or time.monotonic() > until
        if not steps or rounds >= ROUNDS or (late and (rounds >= 3 or time.monotonic() > until)):
            return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratios(rounds: Rounds, one: str, other: str) -> list[float]:
    """How many times the speed of the other the one had, in each round."""
    return [theirs / mine for mine, theirs in zip(rounds[one], rounds[other], strict=True)]


def ratio(rounds: Rounds, one: str, other: str) -> float:
    """The median of these. Both of a round ran one soon after the other, so a busy machine slows both alike."""
    return median(ratios(rounds, one, other))


def share_of_processor() -> float:
    """How much of the processor this program gets: of the time that its threads want to compute, the part they do."""
    a = torch.randn(512, 512)
    threads = torch.get_num_threads()
    begun, computed = time.perf_counter(), time.process_time()
    while (wall := time.perf_counter() - begun) < 0.3:
        a @ a
    return (time.process_time() - computed) / wall / threads


def peak_of(step: Step, device: str) -> int:
    """The bytes that a function holds at its worst moment, beyond what is there before, in a run that is not timed."""
    step.prepare()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step.run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if device == "mps":
        return 0
    activities = [torch.profiler.ProfilerActivity.CPU]
    with silent(), torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
        step.run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing on the error stream for a while: some builds of torch show every profile there."""
    own, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(own, 2)
        os.close(own)
        os.close(nowhere)


def free_memory(device: str) -> int:
    """The bytes that are free; where nobody says, 4 GiB."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info()[0]
    with contextlib.suppress(ImportError):
        import psutil

        return int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2**30


def has_bfloat16(device: str) -> bool:
    """Whether a device computes in bfloat16 itself, and does not only store it."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    if device == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        there = torch.cpu.get_capabilities()
        return any(there.get(name) for name in ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16"))
    return False


@functools.cache
def product_speed(device: str, dtype: torch.dtype) -> float:
    """The floating-point operations a second that this machine reaches in a large matrix product, at its best.

    On CUDA float32 may be computed in shorter numbers by some kernels, so these are allowed here.
    """
    width = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(width, width, device=device).to(dtype) for _ in range(2))
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.no_grad():
            times = [seconds_of(Step(lambda: a @ b), device) for _ in range(12)]
    finally:
        torch.set_float32_matmul_precision(precision)
    return 2 * width**3 / min(times)


@functools.cache
def copy_speed(device: str) -> float:
    """The bytes a second that this machine reads and writes, at its best: on a CPU from its cache."""
    size = 2**30 if device.startswith("cuda") else 2**18
    a = torch.zeros(size, dtype=torch.int8, device=device)
    b = torch.empty_like(a)
    return 2 * size / min(seconds_of(Step(lambda: b.copy_(a)), device) for _ in range(12))
