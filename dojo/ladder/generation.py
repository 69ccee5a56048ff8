"""The ladder of generation: a GPT of 6 blocks continues a prompt by more and more tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dojo.ladder.generation_rungs import Generate, cached, last_position, speculative
from dojo.ladder.ladder import YOURS, Bar, Ladder, NotRight, Variant
from dojo.ladder.like_nanogpt import LikeNanoGPT
from dojo.ladder.measuring import Step

PLAIN, LAST, CACHED, NANO = "no cache (plain)", "last position only", "KV cache", "like nanoGPT"
PROMPT, CONTEXT, VOCABULARY = 32, 256, 8192
SIZES = {"vocab_size": VOCABULARY, "context_length": CONTEXT, "emb_dim": 384, "n_heads": 6, "n_layers": 6}


@dataclass(frozen=True)
class Katas:
    """What a learner or the reference has: how to make a model, and how to generate with it."""

    model: Callable[[Any], Any]
    config: Callable[..., Any]
    generate: Generate

    def made(self, device: str, sizes: dict[str, int]) -> Any:
        model = self.model(self.config(**sizes, drop_rate=0.0, qkv_bias=False)).to(device).eval()
        model.heads = sizes["n_heads"]
        return model


class Generation(Ladder):
    """Greedy generation with random weights, dealt out once to the models of all rungs."""

    name, slug, passes = "generation", "generation", ("generation",)
    unit, rate = "new tokens", ("tokens/s", 1.0)
    base = NANO
    with_memory = False

    def __init__(
        self, reference: Katas, own: Katas | None = None, *, device: str = "cpu", quick: bool = False, **sizes: int
    ) -> None:
        self.reference, self.device, self.model_sizes = reference, device, SIZES | sizes
        width, blocks = self.model_sizes["emb_dim"], self.model_sizes["n_layers"]
        self.shape = f"{blocks} blocks of {width}, prompt of {PROMPT} tokens"
        self.sizes, self.dtype = [8, 16, 32] if quick else [16, 32, 64, 128], "float32"
        self.variants = [
            *([] if own is None else [Variant(YOURS, lambda problem: self.rung(own, own.generate, problem), False)]),
            Variant(PLAIN, lambda problem: self.rung(reference, reference.generate, problem), False),
            Variant(LAST, lambda problem: self.rung(reference, last_position, problem), False),
            Variant(NANO, self.like_nano, False),
            Variant(CACHED, lambda problem: self.rung(reference, cached, problem), False),
            Variant("speculative", lambda problem: self.rung(reference, speculative, problem), False),
        ]
        # 1 and 3 on a quiet machine
        self.bars = [Bar(LAST, NANO, 0.75, self.passes, (64, 64)), Bar(CACHED, NANO, 2.5, self.passes, (64, 64))]

    def rung(self, katas: Katas, generate: Generate, problem: "Prompt") -> Callable[[Tensor], Tensor]:
        model = katas.made(self.device, self.model_sizes)
        model.load_state_dict(problem.weights, strict=False)
        return lambda ids: generate(model, ids, problem.new, self.model_sizes["context_length"])

    def like_nano(self, problem: "Prompt") -> Callable[[Tensor], Tensor]:
        heads = self.model_sizes["n_heads"]
        return self.rung(self.reference, lambda model, *how: LikeNanoGPT(model, heads).generate(*how), problem)

    def problem(self, size: int) -> "Prompt":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.reference.made(self.device, self.model_sizes)
        ids = torch.randint(self.model_sizes["vocab_size"], (8, PROMPT), generator=torch.Generator().manual_seed(1))
        prompt = Prompt(model.state_dict(), ids.to(self.device), size)
        return prompt

    @torch.no_grad()
    def check(self, rung: Callable[[Tensor], Tensor], problem: "Prompt") -> None:
        """Against the plain way, which the model's own tests hold to be right."""
        plain = self.rung(self.reference, self.reference.generate, problem)
        found, right = rung(problem.ids[:1]), plain(problem.ids[:1])
        if found.shape != right.shape or not torch.equal(found, right):
            same = int((found[0, : right.shape[1]] == right[0, : found.shape[1]]).int().cumprod(0).sum()) - PROMPT
            raise NotRight(f"after {max(same, 0)} of {problem.new} tokens it goes on differently")

    def step(self, rung: Callable[[Tensor], Tensor], problem: "Prompt", which: str) -> Step:
        rows = iter(range(10**9))

        def fresh() -> None:
            ids[0] = problem.ids[next(rows) % len(problem.ids)]

        ids = problem.ids[:1].clone()
        return Step(torch.no_grad()(lambda: rung(ids)), fresh)

    def work(self, size: int, which: str) -> float:
        return size


@dataclass(frozen=True)
class Prompt:
    """The weights, some prompts to begin with, and how many tokens follow."""

    weights: dict[str, Tensor]
    ids: Tensor  # (prompts, tokens)
    new: int
