"""Ways to continue a text greedily with the weights of one GPTModel: the same tokens, with ever less work.

Each takes (model, ids, new, context_length), as the kata's generate_greedy, with ids (1, tokens) and a text that fits
the context. The parts of the model are those that the katas' clauses name.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Generate = Callable[[Any, Tensor, int, int], Tensor]


def last_position(model: Any, ids: Tensor, new: int, context_length: int) -> Tensor:
    """The output head is the largest product of a small model: compute it for the last position only."""
    for _ in range(new):
        x = model.trf_blocks(_embedded(model, ids[:, -context_length:], 0))
        ids = torch.cat([ids, _head(model, x[:, -1:])], dim=1)
    return ids


def cached(model: Any, ids: Tensor, new: int, context_length: int) -> Tensor:
    """The keys and values of a token never change: keep them, and read each token once."""
    cache = Cache(model)
    unread = ids
    for _ in range(new):
        unread = _head(model, cache.read(unread)[:, -1:])
        ids = torch.cat([ids, unread], dim=1)
    return ids


def speculative(model: Any, ids: Tensor, new: int, context_length: int, guessed: int = 8) -> Tensor:
    """Guess that the text goes on as it did where its last two tokens occurred before, and check all guesses at once.

    The model reads the guesses in one call. It agrees with the first of them or not, then with the second; after the
    first that is wrong it gives its own token, so a call gives one token at least and the text is the same.
    """
    cache, end = Cache(model), ids.shape[1] + new
    while ids.shape[1] < end:
        guess = _as_before(ids)[:, : min(guessed, end - ids.shape[1] - 1)]
        text = torch.cat([ids, guess], dim=1)
        own = _head(model, cache.read(text[:, cache.length :])[:, -guess.shape[1] - 1 :])  # (1, guesses + 1)
        right = int((own[:, :-1] == guess).int().cumprod(dim=1).sum())
        ids = torch.cat([ids, own[:, : right + 1]], dim=1)
        cache.keep(ids.shape[1] - 1)
    return ids


def _as_before(ids: Tensor) -> Tensor:
    """What followed the last two tokens where they occurred before; nothing where they did not."""
    here = (ids[0, :-2] == ids[0, -2]) & (ids[0, 1:-1] == ids[0, -1])
    places = here.nonzero()
    return ids[:, int(places[-1]) + 2 :] if len(places) else ids[:, :0]


class Cache:
    """The keys and values of all tokens that a model has read, of each block."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.kept: list[tuple[Tensor, Tensor] | None] = [None] * len(model.trf_blocks)
        self.length = 0

    def read(self, ids: Tensor) -> Tensor:
        """What the last block gives for some more tokens (1, tokens), with all before them in sight."""
        x = _embedded(self.model, ids, self.length)
        tokens = ids.shape[1]
        past = torch.ones(tokens, self.length + tokens, dtype=torch.bool, device=ids.device).tril(self.length)
        for number, block in enumerate(self.model.trf_blocks):
            x = x + self._attention(number, block.att, block.norm1(x), past)
            x = x + block.ff(block.norm2(x))
        self.length += tokens
        return x

    def _attention(self, number: int, att: Any, x: Tensor, past: Tensor) -> Tensor:
        heads = self.model.heads
        queries, keys, values = (
            layer(x).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in (att.W_query, att.W_key, att.W_value)
        )  # (1, heads, tokens, head_dim)
        if kept := self.kept[number]:
            keys, values = torch.cat([kept[0], keys], dim=2), torch.cat([kept[1], values], dim=2)
        self.kept[number] = keys, values
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=past)
        return att.out_proj(mixed.transpose(1, 2).flatten(2))

    def keep(self, length: int) -> None:
        """Forget what was read after so many tokens."""
        self.length = length
        self.kept = [pair and (pair[0][:, :, :length], pair[1][:, :, :length]) for pair in self.kept]


def _embedded(model: Any, ids: Tensor, start: int) -> Tensor:
    positions = torch.arange(start, start + ids.shape[1], device=ids.device)
    return model.tok_emb(ids) + model.pos_emb(positions)  # (1, tokens, emb_dim)


def _head(model: Any, x: Tensor) -> Tensor:
    """The token that is scored highest at each position."""
    return model.out_head(model.final_norm(x)).argmax(dim=-1)  # (1, tokens)
