"""The ladder of attention: forward alone, and forward with backward, at several lengths of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dojo.ladder import attention_gate
from dojo.ladder.attention_gate import Truth
from dojo.ladder.attention_rungs import FUSED, SPLIT, Rung, Size, Weights, deal, variants
from dojo.ladder.ladder import Bar, Growth, Ladder, Variant
from dojo.ladder.measuring import Step, copy_speed, product_speed

SHAPES = ((12, 64), (8, 128))
FORWARD, BOTH = "forward", "forward and backward"
LONG = 1024  # tokens from which on fused kernels have to pay
MARGIN = 1.5  # by which a kernel may beat the largest matrix product or copy that was measured


@dataclass(frozen=True)
class Problem:
    """The weights that all rungs share, and what they give for one input."""

    weights: Weights
    size: Size
    truth: Truth


class Attention(Ladder):
    """Causal multi-head attention with an output projection."""

    name, unit, rate = "attention", "tokens", ("TFLOP/s", 1e12)
    passes = FORWARD, BOTH
    base = FUSED

    def __init__(
        self,
        reference: Any,
        own: Any = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        heads: int = 12,
        head_dim: int = 64,
        batch: int = 1,
        lengths: Sequence[int] = (128, 256, 512, 1024),
    ) -> None:
        self.variants = variants(reference, own)
        self.device, self.torch_dtype, self.dtype = device, dtype, str(dtype).removeprefix("torch.")
        self.heads, self.head_dim, self.batch, self.sizes = heads, head_dim, batch, [*lengths]
        self.shape, self.slug = f"{heads} heads of {head_dim}, batch {batch}", f"{heads}x{head_dim}"
        self.bars = _on_every_device() + (_on_a_cpu() if (device, self.dtype) == ("cpu", "float32") else [])

    def size(self, tokens: int) -> Size:
        return Size(self.heads, self.head_dim, tokens)

    def problem(self, size: int) -> Problem:
        weights = deal(self.size(size), self.device, self.torch_dtype)
        return Problem(weights, self.size(size), attention_gate.truth(weights, self.size(size), self.batch))

    def check(self, rung: Rung, problem: Problem) -> None:
        attention_gate.check(rung, problem.truth)

    def step(self, rung: Rung, problem: Problem, which: str) -> Step:
        """One pass: forward alone without gradients, or forward with backward, each time with other numbers."""
        x, grad = problem.truth.x.clone(), problem.truth.grad
        if which == FORWARD:
            return Step(torch.no_grad()(lambda: rung(x)), x.normal_)
        x.requires_grad_()

        def fresh() -> None:
            rung.zero_grad(set_to_none=True)
            x.grad = None
            with torch.no_grad():
                x.normal_()

        return Step(lambda: rung(x).backward(grad), fresh)

    def work(self, size: int, which: str) -> float:
        """The floating-point operations that are needed: four projections, and half of the two products of attention.

        The backward pass needs twice as many as the forward one.
        """
        width = self.size(size).emb_dim
        projections = 4 * 2 * self.batch * size * width**2
        attention = 2 * 2 * self.batch * self.heads * size**2 * self.head_dim / 2
        return (projections + attention) * (1 if which == FORWARD else 3)

    def floor(self, size: int, which: str) -> float:
        """By the operations that are needed, and by input, weights and output, which pass the memory once at least.

        On CUDA only: other programs on a CPU make its matrix product look slow.
        """
        if not self.device.startswith("cuda"):
            return 0.0
        width = self.size(size).emb_dim
        moved = (2 * self.batch * size * width + 4 * width**2) * self.torch_dtype.itemsize
        by_product = self.work(size, which) / product_speed(self.device, self.torch_dtype)
        return max(by_product, moved / copy_speed(self.device)) / MARGIN

    def least_memory(self, variant: Variant, size: int) -> float:
        each = self.batch * size * self.torch_dtype.itemsize
        return each * (self.heads * size * 6 * variant.quadratic + self.size(size).emb_dim * 20)


def lengths_for(device: str, quick: bool) -> list[int]:
    longest = 1024 if quick else 16384 if device.startswith("cuda") else 4096
    return [length for length in (128 * 2**power for power in range(8)) if length <= longest]


def _on_every_device() -> list[Bar | Growth]:
    return [
        Bar(FUSED, SPLIT, 1.0, Attention.passes, (LONG, float("inf"))),
        Growth("tiled", BOTH, 1.5, at_least=False, start=512),
        Growth("fused projection", BOTH, 1.5, at_least=True, start=512),
    ]


def _on_a_cpu() -> list[Bar | Growth]:
    # The bars of a quiet machine are 0.6 and 1.0; a quarter is room for noise. In texts longer than LONG one head's
    # square is nearer to a CPU than the squares of all heads.
    return [
        Bar("tiled", FUSED, 0.45, Attention.passes, (LONG, float("inf"))),
        Bar(SPLIT, "a head each (wrapper)", 0.75, [BOTH], (LONG, LONG)),
        Bar(SPLIT, "nn.MHA, with weights", 0.75, Attention.passes, (LONG, LONG)),
    ]
