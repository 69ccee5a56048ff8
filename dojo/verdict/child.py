"""A pytest plugin for the process that `dojo test` starts: it can be asked where it is, and it cannot outlive its time.

KATA_STACK names the file for the stack, KATA_DEADLINE the time (seconds since the epoch) at which the run is over.
"""

import contextlib
import faulthandler
import os
import signal
import time

LARGEST_FILE = 1 << 29  # 512 MB: what a test prints lies in a file that the parent cannot see on every system
GRACE = 5


def prepare(stack: str, deadline: float) -> None:
    """Set up the dump of the stack, and the limits that hold even when the parent has been killed."""
    # The handler writes into the file until the process ends.
    file = open(stack, "w", encoding="utf-8")  # noqa: SIM115
    left = max(deadline - time.time(), 1)
    if hasattr(signal, "SIGUSR1"):
        # A signal and no timer: a timer is a thread, and a process with threads forks with a warning.
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
        import resource

        for limit, value in (
            (resource.RLIMIT_CPU, int(left + GRACE) * (os.cpu_count() or 1)),
            (resource.RLIMIT_FSIZE, LARGEST_FILE),
        ):
            hard = resource.getrlimit(limit)[1]
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    else:
        faulthandler.dump_traceback_later(left, file=file)


if "KATA_STACK" in os.environ:
    # Taken out of the environment: what the tests start in turn shall not write into the same file.
    prepare(os.environ.pop("KATA_STACK"), float(os.environ.pop("KATA_DEADLINE")))
