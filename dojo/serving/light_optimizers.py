"""torch's optimizers without torch's compiler, which the first of them would import: as long as torch itself.

They ask for it in two places. Four methods are kept out of what is compiled: each looks for a `__dynamo_disable` and
imports the compiler to make one. And `step` marks a place at which compiled code is interrupted. Where nothing is
compiled, neither does anything. A torch that works in another way is left as it is.
"""

import functools
from typing import Any


def lighten() -> None:
    """Let torch's optimizers work without the compiler from now on, in this process."""
    import torch

    for method in vars(torch.optim.Optimizer).values():
        if original := getattr(method, "__wrapped__", None):
            original.__dynamo_disable = original
    kinds: list[Any] = [value for value in vars(torch.optim).values() if isinstance(value, type)]
    for kind in kinds:
        step = vars(kind).get("step")
        if getattr(getattr(step, "__code__", None), "co_name", "") == "_use_grad":
            kind.step = _step(step.__wrapped__)


def _step(step: Any) -> Any:
    @functools.wraps(step)
    def without_the_compiler(self: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    return without_the_compiler
