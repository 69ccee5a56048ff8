"""The rungs of the ladder: multi-head causal attention with an output projection, written in many ways.

Every rung takes (batch, tokens, emb_dim) and gives the same back. All are built from the same weights, and hand out
their gradients under the same names, so that one can be compared with another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dojo.ladder.ladder import YOURS, Variant
from dojo.ladder.tiled import tiled_attention

INPUTS = "query", "key", "value"
KATA_NAMES = {"query": "W_query", "key": "W_key", "value": "W_value"}
Weights = Mapping[str, Tensor]  # query, key, value, out: (emb_dim, emb_dim) each; bias: (emb_dim,), of out


@dataclass(frozen=True)
class Size:
    """How large an attention is: heads of head_dim features, and the longest text it is built for."""

    heads: int
    head_dim: int
    tokens: int

    @property
    def emb_dim(self) -> int:
        return self.heads * self.head_dim


class Rung(nn.Module):
    """One way to write attention, all of it from input to output projection."""

    def __init__(self, size: Size):
        super().__init__()
        self.size = size

    def gradients(self) -> dict[str, Tensor | None]:
        """The gradients of the weights, by the names that all rungs share."""
        raise NotImplementedError


class Projected(Rung):
    """A rung with four projections of its own. A subclass says what happens between them."""

    def __init__(self, weights: Weights, size: Size):
        super().__init__(size)
        self.query, self.key, self.value = (_linear(weights[name]) for name in ("query", "key", "value"))
        self.out = _linear(weights["out"], weights["bias"])

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (self.split(project(x)) for project in (self.query, self.key, self.value))
        return self.out(self.merge(self.attend(queries, keys, values)))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What is called attention: (batch, heads, tokens, head_dim) each, and the same back."""
        raise NotImplementedError

    def split(self, x: Tensor) -> Tensor:
        return _split(x, self.size)

    def merge(self, x: Tensor) -> Tensor:
        return _merge(x)

    def gradients(self) -> dict[str, Tensor | None]:
        return {
            "query": self.query.weight.grad,
            "key": self.key.weight.grad,
            "value": self.value.weight.grad,
            **_gradients_of_out(self.out),
        }


class Loop(Projected):
    """A loop over the positions: each attends to the positions up to it, one after the other."""

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        found = []
        for now in range(queries.shape[-2]):
            query, past = queries[..., now : now + 1, :], slice(now + 1)
            scores = query @ keys[..., past, :].mT / self.size.head_dim**0.5  # (batch, heads, 1, now + 1)
            found.append(scores.softmax(dim=-1) @ values[..., past, :])
        return torch.cat(found, dim=-2)


class FusedProjection(Rung):
    """One product gives queries, keys and values; scores and weights are explicit."""

    def __init__(self, weights: Weights, size: Size):
        super().__init__(size)
        self.query_key_value = _linear(torch.cat([weights[name] for name in INPUTS]))
        self.out = _linear(weights["out"], weights["bias"])
        self.register_buffer("future", _future(weights, size))

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (_split(part, self.size) for part in self.query_key_value(x).chunk(3, dim=-1))
        scores = queries @ keys.mT / self.size.head_dim**0.5  # (batch, heads, tokens, tokens)
        scores = scores.masked_fill(self.get_buffer("future"), -torch.inf)
        return self.out(_merge(scores.softmax(dim=-1) @ values))

    def gradients(self) -> dict[str, Tensor | None]:
        return _gradients_in_thirds(self.query_key_value.weight) | _gradients_of_out(self.out)


class Einsum(Projected):
    """The products by named axes, without a transpose."""

    def __init__(self, weights: Weights, size: Size):
        super().__init__(weights, size)
        self.register_buffer("future", _future(weights, size))

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.size.heads, -1))  # (batch, tokens, heads, head_dim)

    def merge(self, x: Tensor) -> Tensor:
        return x.flatten(-2)  # (batch, tokens, emb_dim)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / self.size.head_dim**0.5
        scores = scores.masked_fill(self.get_buffer("future"), -torch.inf)
        return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(dim=-1), values)


class Tiled(Projected):
    """Tile by tile with the softmax carried along, in plain PyTorch."""

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return tiled_attention(queries, keys, values)


class Fused(Projected):
    """PyTorch's fused kernel, with is_causal=True."""

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)


class FusedMask(Projected):
    """PyTorch's fused kernel, with the mask as an argument: True where a token may be seen."""

    def __init__(self, weights: Weights, size: Size):
        super().__init__(weights, size)
        self.register_buffer("past", ~_future(weights, size))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        past = self.get_buffer("past")
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=past)


class Flex(Projected):
    """FlexAttention, compiled: the mask is a function of two positions, and what it hides is not computed."""

    def __init__(self, weights: Weights, size: Size):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        super().__init__(weights, size)
        device = weights["query"].device.type
        self.mask = create_block_mask(_sees, None, None, size.tokens, size.tokens, device=device)
        self.flex = torch.compile(flex_attention)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.flex(queries, keys, values, block_mask=self.mask)


class TorchModule(Rung):
    """nn.MultiheadAttention. Its boolean mask is the other way round: True where a token is hidden."""

    def __init__(self, weights: Weights, size: Size, need_weights: bool):
        super().__init__(size)
        self.need_weights = need_weights
        like = {"device": weights["query"].device, "dtype": weights["query"].dtype}
        self.inner = nn.MultiheadAttention(size.emb_dim, size.heads, batch_first=True, **like)
        with torch.no_grad():
            self.inner.in_proj_weight.copy_(torch.cat([weights[name] for name in INPUTS]))
            self.inner.out_proj.weight.copy_(weights["out"])
            self.inner.out_proj.bias.copy_(weights["bias"])
        self.register_buffer("future", _future(weights, size))

    def forward(self, x: Tensor) -> Tensor:
        # Without weights it takes the fused kernel, if it is also told that the mask is the causal one.
        how = {"need_weights": self.need_weights, "is_causal": not self.need_weights}
        return self.inner(x, x, x, attn_mask=self.get_buffer("future"), **how)[0]

    def gradients(self) -> dict[str, Tensor | None]:
        return _gradients_in_thirds(self.inner.in_proj_weight) | _gradients_of_out(self.inner.out_proj)


class WeightSplit(Rung):
    """A kata's MultiHeadAttention: the reference's or a learner's own."""

    def __init__(self, weights: Weights, size: Size, kata: Any):
        super().__init__(size)
        made: Any = kata(size.emb_dim, size.emb_dim, size.tokens, 0.0, size.heads)
        with torch.no_grad():
            for name, mine in KATA_NAMES.items():
                getattr(made, mine).weight.copy_(weights[name])
            made.out_proj.weight.copy_(weights["out"])
            made.out_proj.bias.copy_(weights["bias"])
        self.inner = made.to(weights["query"].device, weights["query"].dtype)
        self.made = [made]  # in a list it is not a module of its own, so that a compiled one keeps its names

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def compiled(self) -> "WeightSplit":
        self.inner = torch.compile(self.inner)
        return self

    def gradients(self) -> dict[str, Tensor | None]:
        made = self.made[0]
        found = {name: getattr(made, mine).weight.grad for name, mine in KATA_NAMES.items()}
        return found | _gradients_of_out(made.out_proj)


class Wrapper(Rung):
    """A kata's MultiHeadAttentionWrapper, a small attention for each head, with an output projection after them."""

    def __init__(self, weights: Weights, size: Size, kata: Any):
        super().__init__(size)
        self.out = _linear(weights["out"], weights["bias"])
        made: Any = kata(size.emb_dim, size.head_dim, size.tokens, 0.0, size.heads)
        with torch.no_grad():
            for name, mine in KATA_NAMES.items():
                for head, part in zip(made.heads, weights[name].chunk(size.heads), strict=True):
                    getattr(head, mine).weight.copy_(part)
        self.inner = made.to(weights["query"].device, weights["query"].dtype)
        self.heads = list(made.heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x))

    def gradients(self) -> dict[str, Tensor | None]:
        found: dict[str, Tensor | None] = {}
        for name, mine in KATA_NAMES.items():
            parts = [getattr(head, mine).weight.grad for head in self.heads]
            found[name] = None if any(part is None for part in parts) else torch.cat(parts)
        return found | _gradients_of_out(self.out)


FUSED, SPLIT = "fused, causal", "weight-split"


def variants(reference: Any, own: Any = None) -> list[Variant]:
    """All rungs, the slowest first. `reference` is the module of attention/multihead, `own` a learner's class of it."""

    def rung(name: str, build: Callable[..., Rung], *more: Any, **about: Any) -> Variant:
        return Variant(name, lambda problem: build(problem.weights, problem.size, *more), **about)

    split, wrapper = reference.MultiHeadAttention, reference.MultiHeadAttentionWrapper
    return [
        *([] if own is None else [rung(YOURS, WeightSplit, own)]),
        rung("loop over positions", Loop, longest=512),
        rung("a head each (wrapper)", Wrapper, wrapper),
        rung(SPLIT, WeightSplit, split),
        rung("fused projection", FusedProjection),
        rung("einsum", Einsum),
        rung("nn.MHA, with weights", TorchModule, True),
        rung("nn.MHA, no weights", TorchModule, False),
        rung("tiled", Tiled, quadratic=False),
        rung("fused, mask", FusedMask),
        rung(FUSED, Fused, quadratic=False),
        rung("weight-split, compiled", lambda *about: WeightSplit(*about).compiled(), split, compiled=True),
        rung("FlexAttention", Flex, quadratic=False, compiled=True),
    ]


def deal(size: Size, device: str, dtype: torch.dtype) -> Weights:
    """The same weights for everyone: drawn once on the CPU, so that every device gets the same numbers."""
    draw = torch.Generator().manual_seed(0)
    width = size.emb_dim
    made = {name: torch.randn(width, width, generator=draw) / width**0.5 for name in ("query", "key", "value", "out")}
    made["bias"] = torch.randn(width, generator=draw) / 10
    return {name: tensor.to(device, dtype) for name, tensor in made.items()}


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    rows, columns = weight.shape
    made = nn.Linear(columns, rows, bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made


def _split(x: Tensor, size: Size) -> Tensor:
    return x.unflatten(-1, (size.heads, -1)).transpose(1, 2)  # (batch, heads, tokens, head_dim)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(-2)  # (batch, tokens, emb_dim)


def _future(weights: Weights, size: Size) -> Tensor:
    """True where a token is in the future of another."""
    return torch.ones(size.tokens, size.tokens, dtype=torch.bool, device=weights["query"].device).triu(1)


def _gradients_of_out(out: Any) -> dict[str, Tensor | None]:
    return {"out": out.weight.grad, "bias": out.bias.grad}


def _gradients_in_thirds(weight: Tensor) -> dict[str, Tensor | None]:
    """The gradients of a weight that is those of queries, keys and values, one under the other."""
    parts: Any = [None] * 3 if weight.grad is None else weight.grad.chunk(3)
    return dict(zip(INPUTS, parts, strict=True))


def _sees(batch: Any, head: Any, query: Any, key: Any) -> Any:
    return key <= query
