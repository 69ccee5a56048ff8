"""Time and memory of one pass, on a CPU or a GPU."""

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

FORWARD, BOTH = "forward", "forward and backward"
PASSES = FORWARD, BOTH


def step(rung: nn.Module, x: Tensor, grad: Tensor, which: str) -> Callable[[], None]:
    """One pass as a function: forward alone without gradients, or forward with backward."""
    if which == FORWARD:

        def forward() -> None:
            with torch.no_grad():
                rung(x)

        return forward
    leaf = x.clone().requires_grad_()

    def both() -> None:
        rung.zero_grad(set_to_none=True)
        leaf.grad = None
        rung(leaf).backward(grad)

    return both


def seconds_of(function: Callable[[], object], device: str) -> float:
    """How long a function takes once: by CUDA's own events where it runs there."""
    if device.startswith("cuda"):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000
    begun = time.perf_counter()
    function()
    if device == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - begun


def in_turn(functions: dict[str, Callable[[], None]], device: str, budget: float) -> dict[str, float]:
    """The median seconds of each. They take turns, so that what slows the machine for a while slows all of them."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    until = time.perf_counter() + budget
    rounds = 0
    while rounds < 2 or (rounds < 50 and time.perf_counter() < until):
        for name, function in functions.items():
            found[name].append(seconds_of(function, device))
        rounds += 1
    return {name: statistics.median(times) for name, times in found.items()}


def peak_of(function: Callable[[], None], device: str) -> int:
    """The bytes that a function holds at its worst moment, beyond what is there before, in a run that is not timed."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if device == "mps":
        return 0
    activities = [torch.profiler.ProfilerActivity.CPU]
    with silent(), torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
        function()
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


def product_speed(device: str, dtype: torch.dtype) -> float:
    """The floating-point operations a second that this machine reaches in one large matrix product, at its best."""
    width = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(width, width, device=device).to(dtype) for _ in range(2))
    with torch.no_grad():
        times = [seconds_of(lambda: a @ b, device) for _ in range(12)]
    return 2 * width**3 / min(times[2:])
