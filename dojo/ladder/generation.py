"""The ladders of generation: a GPT, and a decoder of today, of 6 blocks continue a prompt by more and more tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dojo.ladder.generation_rungs import Generate, cached, last_position, speculative
from dojo.ladder.ladder import YOURS, Bar, Growth, Ladder, NotRight, Variant
from dojo.ladder.like_nanogpt import LikeNanoGPT
from dojo.ladder.measuring import Step

PLAIN, LAST, CACHED, NANO = "no cache (plain)", "last position only", "KV cache", "like nanoGPT"
PROMPT, CONTEXT, VOCABULARY = 32, 256, 8192
COMMON = {"vocab_size": VOCABULARY, "context_length": CONTEXT, "emb_dim": 384}
SIZES = COMMON | {"n_heads": 6, "n_layers": 6}
MODERN_SIZES = COMMON | {"num_heads": 6, "num_kv_heads": 3, "hidden_dim": 1152, "num_layers": 6}  # as many weights


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


@dataclass(frozen=True)
class ModernKatas(Katas):
    """The same with the decoder of today, and how it generates with a cache."""

    cached: Generate

    def made(self, device: str, sizes: dict[str, int]) -> Any:
        return self.model(self.config(**sizes, qk_norm=True)).to(device).eval()


class Generation(Ladder):
    """Greedy generation with random weights, dealt out once to the models of all rungs."""

    name, slug, passes = "generation", "generation", ("generation",)
    unit, rate = "new tokens", ("tokens/s", 1.0)
    base = NANO
    with_memory = False
    kind, usual, blocks = "", SIZES, "n_layers"
    # 1 and 3 on a quiet machine
    bars: Sequence[Bar | Growth] = (Bar(LAST, NANO, 0.75, passes, (64, 64)), Bar(CACHED, NANO, 2.5, passes, (64, 64)))

    def __init__(
        self, reference: Katas, own: Katas | None = None, *, device: str = "cpu", quick: bool = False, **sizes: int
    ) -> None:
        self.reference, self.device, self.model_sizes = reference, device, self.usual | sizes
        width, blocks = self.model_sizes["emb_dim"], self.model_sizes[self.blocks]
        self.shape = f"{self.kind}{blocks} blocks of {width}, prompt of {PROMPT} tokens"
        self.sizes, self.dtype = [8, 16, 32] if quick else [16, 32, 64, 128], "float32"
        yours = [] if own is None else [(YOURS, own, own.cached if isinstance(own, ModernKatas) else own.generate)]
        rungs = [*yours, *self.rungs()]
        self.variants = [Variant(name, partial(self.rung, katas, how), False) for name, katas, how in rungs]

    def rungs(self) -> list[tuple[str, Katas, Generate]]:
        """Each rung of the reference by name: the model that it works with, and how it generates."""
        heads = self.model_sizes["n_heads"]
        ways: dict[str, Generate] = {
            PLAIN: self.reference.generate,
            LAST: last_position,
            NANO: lambda model, *how: LikeNanoGPT(model, heads).generate(*how),
            CACHED: cached,
            "speculative": speculative,
        }
        return [(name, self.reference, way) for name, way in ways.items()]

    def rung(self, katas: Katas, generate: Generate, problem: "Prompt") -> Callable[[Tensor], Tensor]:
        model = katas.made(self.device, self.model_sizes)
        model.load_state_dict(problem.weights, strict=False)
        return lambda ids: generate(model, ids, problem.new, self.model_sizes["context_length"])

    def problem(self, size: int) -> "Prompt":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.reference.made(self.device, self.model_sizes)
        ids = torch.randint(self.model_sizes["vocab_size"], (8, PROMPT), generator=torch.Generator().manual_seed(1))
        return Prompt(model.state_dict(), ids.to(self.device), size)

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


class ModernGeneration(Generation):
    """The same with the decoder of the katas. A learner's own rung is the one with the cache."""

    slug, base = "generation-modern", PLAIN
    kind, usual, blocks = "decoder of today, ", MODERN_SIZES, "num_layers"
    bars = (Bar(CACHED, PLAIN, 2.0, Generation.passes, (64, 64)),)  # 3 on a quiet machine
    reference: ModernKatas

    def rungs(self) -> list[tuple[str, Katas, Generate]]:
        kata = self.reference
        return [(PLAIN, kata, kata.generate), (CACHED, kata, kata.cached)]


@dataclass(frozen=True)
class Prompt:
    """The weights, some prompts to begin with, and how many tokens follow."""

    weights: dict[str, Tensor]
    ids: Tensor  # (prompts, tokens)
    new: int
