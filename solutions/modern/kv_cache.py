"""Kata: the key-value cache. The why, a figure and hints: docs/modern/kv_cache.md."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from katas.modes import eval_mode

from ..pretraining.sampling import sample_next_token

Heads = Float[Tensor, "batch heads tokens head_dim"]


class LayerCache:
    """The keys and values that one layer of attention has computed of a text so far.

    Clauses:
        length  length is the number of tokens that have been appended: 0 in a new cache.
        append  append(keys, values) gives all keys and all values, along the third axis: those from before, in their
                order, then the new ones.

    Further clauses:
        full    Tokens that would make more than context_length raise a ValueError that names their number and
                context_length, and the cache stays as it was.
        dtype   What append gives has the dtype of what was appended.
    """

    def __init__(self, context_length: int) -> None:
        self._context_length = context_length
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    @property
    def length(self) -> int:
        return 0 if self._keys is None else self._keys.shape[2]

    def append(self, keys: Heads, values: Heads) -> tuple[Tensor, Tensor]:
        """Add the keys and values of more tokens, each (batch, num_kv_heads, tokens, head_dim); get all of both."""
        length = self.length + keys.shape[2]
        if length > self._context_length:
            raise ValueError(f"{length} tokens do not fit a context_length of {self._context_length}")
        if self._keys is not None and self._values is not None:
            keys, values = torch.cat([self._keys, keys], dim=2), torch.cat([self._values, values], dim=2)
        self._keys, self._values = keys, values
        return keys, values


class KVCache:
    """The caches of all layers of a model, for one text, or one batch of texts of the same length.

    Clauses:
        layers  cache[i] is layer i's own LayerCache(context_length), the same one at each call.
        read    length is the number of tokens that all layers have read.
        reset   After reset() all layers are empty, and another text can be read.

    Source: Pope et al. 2022.
    """

    def __init__(self, num_layers: int, context_length: int) -> None:
        self._num_layers, self._context_length = num_layers, context_length
        self.reset()

    @property
    def length(self) -> int:
        return self._layers[-1].length  # a model fills the last layer last

    def reset(self) -> None:
        """Forget the text."""
        self._layers = [LayerCache(self._context_length) for _ in range(self._num_layers)]

    def __getitem__(self, layer: int) -> LayerCache:
        return self._layers[layer]


def generate_cached(
    model: nn.Module,
    token_ids: Int[Tensor, "batch tokens"],
    max_new_tokens: int,
    num_layers: int,
    context_length: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: torch.Generator | None = None,
    chunk: int | None = None,
) -> Int[Tensor, "batch longer"]:
    """Continue a batch of prompts token by token, and let the model read each token once.

    model(ids, cache=cache) reads ids (batch, tokens), which follow what the cache holds, and gives logits (batch,
    tokens, vocab_size). Two names of earlier work to import:

        from katas.modes import eval_mode
        from ..pretraining.sampling import sample_next_token

    Clauses:
        fresh      Each call has a KVCache(num_layers, context_length) of its own, so no text sees another one.
        same-text  The result is the one of generate, which has no cache: sample_next_token chooses each id, with
                   temperature, top_k, top_p and generator.
        once       The model reads each token once, in order: first the prompt, then the new tokens one by one. The last
                   new token is not read.
        chunk      The prompt is read in one call or, with chunk, in pieces of so many tokens, of which the last may
                   have fewer. The result is the same.

    Further clauses:
        end        Each row ends with its own first new eos_id, which is repeated until all rows have ended; then
                   generation stops.
        too-long   A prompt and new tokens of which the model would read more than context_length raise a ValueError
                   with both numbers, before the model is called.
        counts     A max_new_tokens below 0, a chunk below 1, or a prompt of no tokens raises a ValueError with its
                   value, or its shape.
        modes      During each call the model is in eval mode and gradients are off; afterwards each part has its own
                   mode again.
    """
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be at least 0, not {max_new_tokens}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    if token_ids.shape[1] == 0:
        raise ValueError(f"a prompt of shape {tuple(token_ids.shape)} has no tokens to continue")
    to_read = token_ids.shape[1] + max_new_tokens - 1
    if to_read > context_length:
        raise ValueError(f"{to_read} tokens do not fit a context_length of {context_length}")
    cache = KVCache(num_layers, context_length)
    unread = token_ids
    ended = torch.zeros_like(token_ids[:, 0], dtype=torch.bool)  # (batch,)
    with eval_mode(model), torch.no_grad():
        for _ in range(max_new_tokens):
            for piece in unread.split(chunk or context_length, dim=1):
                logits = model(piece, cache=cache)  # (batch, tokens of the piece, vocab_size)
            chosen = sample_next_token(logits[:, -1], temperature, top_k, top_p, generator)
            if eos_id is not None:
                chosen = chosen.where(~ended, eos_id)
                ended |= chosen == eos_id
            unread = chosen[:, None]
            token_ids = torch.cat([token_ids, unread], dim=1)
            if ended.all():
                break
    return token_ids
