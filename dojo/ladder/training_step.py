"""The ladder of a training step: a GPT of 6 blocks, its loss, its gradients and its optimizer."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dojo.ladder.fused_attention import fuse_blocks
from dojo.ladder.ladder import YOURS, Bar, Ladder, NotRight, Variant
from dojo.ladder.like_nanogpt import LikeNanoGPT
from dojo.ladder.measuring import Step, product_speed

PLAIN, FUSED, NANO = "as the katas say", "fused attention", "like nanoGPT"
STEP = "training step"
# Those of `dojo train --preset medium`, whose batches have 16 texts.
SIZES = {"vocab_size": 4096, "context_length": 256, "emb_dim": 384, "n_heads": 6, "n_layers": 6}
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # a part of the largest number there is
MARGIN = 1.5  # by which a step may beat the largest matrix product that was measured


@dataclass(frozen=True)
class Katas:
    """What a learner or the reference has: how to make a model, its loss, and its optimizer."""

    model: Callable[[Any], Any]
    config: Callable[..., Any]
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    optimizer: Callable[..., torch.optim.Optimizer]


@dataclass
class Learner:
    """What one rung trains."""

    model: nn.Module
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    optimizer: torch.optim.Optimizer

    def learn(self, ids: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.model, ids[:, :-1], ids[:, 1:]).backward()
        self.optimizer.step()


@dataclass(frozen=True)
class Problem:
    """The weights that all rungs begin with, some texts, and the loss and two gradients that they give."""

    weights: dict[str, Tensor]
    ids: Tensor  # (batch, tokens + 1)
    right: dict[str, Tensor]


class TrainingStep(Ladder):
    """One step on a batch of texts. In bfloat16 the products are, and parameters and loss stay in float32."""

    name, slug, passes = "training", "training", (STEP,)
    unit, rate = "texts in a batch", ("tokens/s", 1.0)
    base = NANO

    def __init__(
        self,
        reference: Katas,
        own: Katas | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        drop_rate: float = 0.0,
        batches: Sequence[int] = (1, 4),
        **sizes: int,
    ) -> None:
        self.reference, self.device, self.dtype, self.drop_rate = reference, device, dtype, drop_rate
        self.model_sizes, self.sizes = SIZES | sizes, [*batches]
        blocks, width, tokens = (self.model_sizes[name] for name in ("n_layers", "emb_dim", "context_length"))
        self.shape = f"{blocks} blocks of {width}, {tokens} tokens a text, dropout {drop_rate:g}"
        self.variants = [
            *([] if own is None else [Variant(YOURS, lambda problem: self.plain(own, problem), False)]),
            Variant(PLAIN, lambda problem: self.plain(reference, problem), False),
            Variant(FUSED, self.fused, False),
            Variant(NANO, self.like_nano, False),
            Variant("fused, compiled", lambda problem: self.compiled(self.fused(problem)), False, compiled=True),
            Variant("nanoGPT, compiled", lambda problem: self.compiled(self.like_nano(problem)), False, compiled=True),
        ]
        # 0.87 in CPU seconds: the katas' norm and GELU are written out, their optimizer goes from weight to weight.
        self.bars = [Bar(FUSED, NANO, 0.7, self.passes, (4, math.inf))]

    def made(self, katas: Katas, weights: dict[str, Tensor]) -> Any:
        config = katas.config(**self.model_sizes, drop_rate=self.drop_rate, qkv_bias=False)
        model = katas.model(config).to(self.device)
        model.load_state_dict(weights, strict=False)
        return model

    def plain(self, katas: Katas, problem: Problem) -> Learner:
        return self.learner(self.made(katas, problem.weights), katas.loss, katas.optimizer)

    def fused(self, problem: Problem) -> Learner:
        model = self.made(self.reference, problem.weights)
        fuse_blocks(model, self.model_sizes["n_heads"], self.drop_rate)
        return self.learner(model, self.reference.loss, self.reference.optimizer)

    def like_nano(self, problem: Problem) -> Learner:
        """With PyTorch's own loss and optimizer."""
        model = LikeNanoGPT(self.made(self.reference, problem.weights), self.model_sizes["n_heads"], self.drop_rate)
        return self.learner(model, _torch_loss, torch.optim.AdamW)

    def learner(self, model: nn.Module, loss: Any, optimizer: Any) -> Learner:
        seen = _Bfloat16(model) if self.dtype == "bfloat16" else model
        return Learner(seen, loss, optimizer(model.parameters(), 1e-6))

    def compiled(self, learner: Learner) -> Learner:
        learner.model.compile()
        return learner

    def problem(self, size: int) -> Problem:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.reference.model(self.reference.config(**self.model_sizes, drop_rate=0.0, qkv_bias=False)).to(
                self.device
            )
        shape = size, self.model_sizes["context_length"] + 1
        ids = torch.randint(self.model_sizes["vocab_size"], shape, generator=torch.Generator().manual_seed(1))
        weights = copy.deepcopy(model.state_dict())
        right = _found(Learner(model, self.reference.loss, torch.optim.SGD(model.parameters())), ids.to(self.device))
        return Problem(weights, ids.to(self.device), right)

    def check(self, rung: Learner, problem: Problem) -> None:
        """The loss and the gradients of the first table and of the head, without dropout."""
        seen = _found(rung, problem.ids)
        for what, right in problem.right.items():
            apart = float((seen[what] - right).abs().max() / right.abs().max())
            if not apart <= TOLERANCE[self.dtype]:
                raise NotRight(f"{what} is off by {apart:.1g} of its largest, allowed {TOLERANCE[self.dtype]:.0e}")

    def step(self, rung: Learner, problem: Problem, which: str) -> Step:
        ids = problem.ids.clone()
        rung.model.train()
        return Step(lambda: rung.learn(ids), lambda: ids.random_(self.model_sizes["vocab_size"]))

    def work(self, size: int, which: str) -> float:
        """Tokens."""
        return size * self.model_sizes["context_length"]

    def floor(self, size: int, which: str) -> float:
        """By the products that a step needs, each weight twice forward and four times backward; on CUDA only."""
        if not self.device.startswith("cuda"):
            return 0.0
        width, tokens = self.model_sizes["emb_dim"], self.model_sizes["context_length"]
        weights = width * (12 * width * self.model_sizes["n_layers"] + self.model_sizes["vocab_size"])
        attention = self.model_sizes["n_layers"] * width * tokens  # two products, each half of a square
        operations = 6 * size * tokens * (weights + attention)
        return operations / product_speed(self.device, getattr(torch, self.dtype)) / MARGIN

    def least_memory(self, variant: Variant, size: int) -> float:
        return 4.0 * self.work(size, STEP) * (3 * self.model_sizes["vocab_size"] + 20 * self.model_sizes["emb_dim"])


class _Bfloat16(nn.Module):
    """A model that computes in bfloat16 where that is safe, as `dojo train` does on CUDA."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        with torch.autocast(ids.device.type, torch.bfloat16):
            logits: Tensor = self.model(ids)
        return logits.float()


def _torch_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def _found(learner: Learner, ids: Tensor) -> dict[str, Tensor]:
    """The loss of a learner on some texts and the gradients at both ends of its model, without dropout."""
    learner.model.eval()
    loss = learner.loss(learner.model, ids[:, :-1], ids[:, 1:])
    loss.backward()
    model: Any = getattr(learner.model, "model", learner.model)
    ends = {"tok_emb": model.tok_emb.weight, "out_head": model.out_head.weight}
    for name, weight in ends.items():
        if weight.grad is None:
            raise NotRight(f"no gradient reaches {name}")
    found = {f"the gradient of {name}": weight.grad.clone() for name, weight in ends.items()}
    learner.optimizer.zero_grad(set_to_none=True)
    return {"the loss": loss.detach()} | found
