"""What can be seen in a model at work: where its heads look, what each layer would say, what each head is good for."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dojo.train import models
from dojo.train.speaking import Speaker

LONGEST = 48  # tokens that a page can show
LIKELIEST = 10


@dataclass
class Guess:
    """What a model would say next: the likeliest tokens, each with its probability."""

    tokens: list[str]
    probabilities: list[float]


@dataclass
class Seen:
    """A text in tokens, and what the model does with it.

    attention has, for each block and head, how much each token takes from each: (tokens, tokens), rows that sum to 1.
    lens has, for the embedding and each block, a guess at each token. without has, for each block and head, what the
    model would say after the last token if that head gave nothing.
    """

    tokens: list[str]
    guess: Guess
    attention: list[list[list[list[float]]]]
    lens: list[list[Guess]]
    without: list[list[Guess]]
    kept: list[list[float]]  # the probability that the likeliest token still has without each head


def see(speaker: Speaker, prompt: str) -> Seen:
    """Look at a model while it reads a prompt, at most its last LONGEST tokens. Raises ValueError for an empty one."""
    ids = speaker.tokenizer.encode(prompt)[-min(speaker.context_length, LONGEST) :]
    if not ids:
        raise ValueError("there is nothing to look at in an empty text")
    model: Any = speaker.model.eval()
    heads = models.heads(speaker.config)
    row = torch.tensor([ids], device=next(model.parameters()).device)
    with torch.no_grad():
        logits, read, written = _watched(model, row)
        likely = logits[0, -1].softmax(-1)
        best = int(likely.argmax())
        without, kept = [], []
        for block in model.trf_blocks:
            off = [_next(model, row, block.att, head, heads) for head in range(heads)]
            without.append([_guess(speaker, one) for one in off])
            kept.append([float(one[best]) for one in off])
        return Seen(
            [speaker.tokenizer.decode([token]) for token in ids],
            _guess(speaker, likely),
            [attention(block.att, x, speaker.config).tolist() for block, x in zip(model.trf_blocks, read, strict=True)],
            [[_guess(speaker, one, 3) for one in model.out_head(model.final_norm(x))[0].softmax(-1)] for x in written],
            without,
            kept,
        )


def attention(att: Any, x: Tensor, config: models.Config) -> Tensor:
    """How much each head of an attention takes from each token: (heads, tokens, tokens)."""
    tokens = x.shape[1]
    queries, keys = models.queries_and_keys(att, x, config)  # (heads, tokens, head_dim)
    scores = queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])  # (heads, tokens, tokens)
    future = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1)


def _watched(model: Any, row: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The logits, what each attention reads, and what stands after the embedding and after each block."""
    read: list[Tensor] = []
    written: list[Tensor] = []
    hooks = [
        model.trf_blocks[0].register_forward_pre_hook(lambda _, args: written.append(args[0])),
        *(block.att.register_forward_pre_hook(lambda _, args: read.append(args[0])) for block in model.trf_blocks),
        *(block.register_forward_hook(lambda _, args, out: written.append(out)) for block in model.trf_blocks),
    ]
    try:
        return model(row), read, written
    finally:
        for hook in hooks:
            hook.remove()


def _next(model: Any, row: Tensor, att: Any, head: int, heads: int) -> Tensor:
    """The probabilities of the next token (vocab_size,), while one head gives nothing."""
    with _without(att, head, heads):
        probabilities: Tensor = model(row)[0, -1].softmax(-1)
    return probabilities


@contextlib.contextmanager
def _without(att: Any, head: int, heads: int) -> Iterator[None]:
    """A head reaches the rest by its columns of out_proj: while these are 0 it is switched off."""
    weight: Tensor = att.out_proj.weight
    width = weight.shape[1] // heads
    columns = weight[:, head * width : (head + 1) * width]
    before = columns.clone()
    columns.zero_()
    try:
        yield
    finally:
        columns.copy_(before)


def _guess(speaker: Speaker, probabilities: Tensor, count: int = LIKELIEST) -> Guess:
    best = probabilities.topk(min(count, len(probabilities)))
    return Guess([speaker.tokenizer.decode([int(token)]) for token in best.indices], best.values.tolist())
