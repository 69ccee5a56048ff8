"""A trained model generates text, token by token; each character is shown as soon as it is whole."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dojo.train import models, pieces
from dojo.train.ingredients import END_OF_TEXT

CACHE = "modern/kv_cache"
LONGEST_CHARACTER = 4  # bytes, and so tokens at most, that one character takes
CHUNK = 256  # tokens of a prompt that are read at once: of each, the logits of all tokens are in memory
SAMPLE_TOKENS, SEED = 48, 123
COLDEST = 1e-4  # at a lower temperature the likeliest token is as good as certain
BROKEN = "\ufffd"  # what bytes decode to that are not a character


class Remembering(nn.Module):
    """A model that goes on where it was: generate_cached makes a new cache for each call, and is given one token each.

    So its words can be shown one by one, and each token is still read once.
    """

    def __init__(self, model: nn.Module, layers: int, context_length: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers
        self.kept = pieces.module(CACHE).KVCache(layers, context_length)

    def forward(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        logits: torch.Tensor = self.model(ids, cache=self.kept)
        return logits


@dataclass
class Speaker:
    """A model, its tokenizer, and its configuration. Where it is `cached`, it reads each token once while it speaks.

    `ends` are the tokens that end a text; without any it is the END_OF_TEXT of the tokenizer.
    """

    model: nn.Module
    tokenizer: Any
    config: dict[str, Any]
    cached: bool = False
    ends: frozenset[int] = frozenset()

    @property
    def context_length(self) -> int:
        return int(self.config["context_length"])

    @property
    def vocab_size(self) -> int:
        return int(self.config["vocab_size"])

    def speak(
        self,
        prompt: str,
        tokens: int,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """What the model says after a prompt, in parts, until it has said so many tokens or ends its text."""
        device = next(self.model.parameters()).device
        seeds = random.Random(seed)
        ends = self.ends or frozenset(self.tokenizer.encode(END_OF_TEXT))
        most = None if top_k is None else min(top_k, self.vocab_size)
        # Very low temperatures are a further clause of sampling.
        how: dict[str, Any] = {
            "temperature": temperature if temperature >= COLDEST else 0.0,
            "top_k": most,
            "top_p": top_p,
        }
        ids, only = self.begin(prompt)
        row = torch.tensor([ids], device=device)
        memory = Remembering(self.model, models.layers(self.config), self.context_length) if self.cached else None
        said: list[int] = []
        told = "" if only is None else " "  # the space that the prompt has already
        for _ in range(tokens):
            # A generator of its own, and dropout switched off, are further clauses of sampling.
            with torch.random.fork_rng(), pieces.module("modes").eval_mode(self.model):
                torch.manual_seed(seeds.getrandbits(63))
                row = self._next(row, only, how, memory)
            only = None
            if int(row[0, -1]) in ends:
                break
            said.append(int(row[0, -1]))
            text = self.tokenizer.decode(said)
            whole = text if not text[-LONGEST_CHARACTER:].endswith(BROKEN) else text.rstrip(BROKEN)
            if len(whole) > len(told):
                yield whole[len(told) :]
                told = whole
        yield self.tokenizer.decode(said)[len(told) :]

    def sample(self, prompt: str) -> str:
        """A prompt, and some words that follow it: always the same ones of the same model."""
        return prompt + "".join(self.speak(prompt, SAMPLE_TOKENS, seed=SEED))

    def begin(self, prompt: str) -> tuple[list[int], torch.Tensor | None]:
        """The ids to begin with, and which tokens may come next, if not all.

        In a byte-pair vocabulary a space belongs to the word behind it. A prompt that ends in a space would leave the
        model with a token that it has hardly seen: the space is taken off, and the next token has to begin with one.
        """
        if not prompt:
            return self.tokenizer.encode(END_OF_TEXT), None
        if not prompt.endswith(" ") or not prompt.strip():
            return self.tokenizer.encode(prompt), None
        spaced = [self.tokenizer.decode([token]).startswith(" ") for token in range(self.vocab_size)]
        return self.tokenizer.encode(prompt.removesuffix(" ")), torch.tensor(spaced) if any(spaced) else None

    def _next(
        self, row: torch.Tensor, only: torch.Tensor | None, how: dict[str, Any], memory: Remembering | None
    ) -> torch.Tensor:
        sampling = pieces.module("pretraining/sampling")
        # Beyond the context all positions change with each token, so there is nothing to keep.
        if memory and only is None and row.shape[1] <= self.context_length:
            unread = row[:, memory.kept.length :]
            generate = pieces.module(CACHE).generate_cached
            with torch.no_grad():
                read = generate(memory, unread, 1, memory.layers, self.context_length, **how, chunk=CHUNK)
            return torch.cat([row, read[:, -1:]], dim=1)
        if only is None:
            longer: torch.Tensor = sampling.generate(self.model, row, 1, self.context_length, **how)
            return longer
        with torch.no_grad():
            logits = self.model(row[:, -self.context_length :])[:, -1]  # (1, vocab_size)
        logits = logits.masked_fill(~only.to(logits.device), float("-inf"))
        return torch.cat([row, sampling.sample_next_token(logits, **how)[:, None]], dim=1)


def first_words(text: str) -> str:
    """The first two words of the second paragraph of a text, or of the text: something to go on from."""
    _, _, behind = text.partition("\n\n")
    return " ".join((behind.split() or text.split())[:2])
