"""Kata: sampling. The why, a figure and hints: docs/pretraining/sampling.md."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def sample_next_token(
    logits: Float[Tensor, "*axes vocab_size"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "*axes"]:
    """Draw an id of the vocabulary for each line of logits, the likelier the greater its logit.

    Axes: any number of them before vocab_size, none too. Any floating dtype. Ids are int64.

    Clauses:
        greedy       At temperature 0 it is the id of the greatest logit, the lowest id if several are equal, and no
                     random number is used up.
        softmax      At temperature 1 an id is drawn with its softmax probability: logits 0 and ln 3 give id 0 in a
                     quarter of all draws.
        temperature  At a temperature t above 0 it is drawn as if each logit were divided by t.
        lines        Each line, along the last axis, has its own probabilities and its own random draw.
        top-k        Only ids whose logit is at least the k-th greatest of their line can be drawn, k being top_k, so
                     those that tie with it as well, and all of them if top_k is vocab_size or more.
        top-p        Only the likeliest ids of a line can be drawn, as many as it takes for their probabilities to sum
                     to at least top_p and no more; of equal ones the lower ids are taken first.
        kept         What can be drawn is drawn in the proportions that its softmax probabilities have.
        order        The temperature comes first, then top_k, and top_p looks at the probabilities that are left, which
                     sum to 1 again.
        hidden       A logit of -inf is never drawn, whatever top_k and top_p are.
        loud         Logits of 10 000 and of -10 000 are drawn with the probabilities that they have on paper, also in
                     float16 and bfloat16, and at a temperature of 0.001.
        generator    With a generator all random numbers are drawn from it, and none from torch's global state: the same
                     generator state gives the same ids, the next call others.
        global       Without one they are drawn from torch's global state, as torch.manual_seed sets it.
        pure         Logits stay as they were.
        settings     A temperature that is negative, nan or inf, a top_k below 1 and a top_p that is not above 0 and at
                     most 1 raise a ValueError that names it and its value, at temperature 0 too.
        unfit        A line with a nan or an inf in it, or with nothing but -inf, raises a ValueError that names nan,
                     inf or -inf, at temperature 0 too.

    Source: book section 5.3; top-p from Holtzman et al. 2019.
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be at least 0 and finite, not {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")
    greatest = logits.amax(dim=-1)  # (*axes); nan if there is one
    if not greatest.isfinite().all():
        raise ValueError(f"nothing can be drawn where the greatest logit is {greatest[~greatest.isfinite()][0]}")
    if temperature == 0:
        return logits.argmax(dim=-1)

    vocab_size = logits.shape[-1]
    # A float16 ends at 65 504, which a logit divided by a low temperature may pass.
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if top_k is not None:
        least = scores.topk(min(top_k, vocab_size)).values[..., -1:]  # (*axes, 1)
        scores = scores.masked_fill(scores < least, -math.inf)
    probabilities = scores.softmax(dim=-1)
    if top_p is not None:
        ranked, ids = probabilities.sort(descending=True, stable=True)
        missing = ranked.cumsum(dim=-1) - ranked < top_p  # whether those before are too few: always so for the first
        probabilities = torch.zeros_like(ranked).scatter(-1, ids, ranked.where(missing, 0))
    drawn = torch.multinomial(probabilities.reshape(-1, vocab_size), 1, generator=generator)  # (lines, 1)
    return drawn.reshape(logits.shape[:-1])


def generate(
    model: nn.Module,
    token_ids: Int[Tensor, "batch tokens"],
    max_new_tokens: int,
    context_length: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch longer"]:
    """Let a model go on with a batch of prompts, token by token, until each row has come to its end.

    token_ids are int64; the model gives logits (batch, tokens, vocab_size) for ids (batch, tokens).

    Clauses:
        prompt   The result is token_ids, followed by max_new_tokens new ones, unless eos_id stops earlier; token_ids
                 itself stays as it was.
        context  A new token is chosen from what the model gives for the last context_length tokens, prompt and new
                 ones, or for all while they are fewer: from the logits at the last position.
        chosen   It is chosen as sample_next_token does it with temperature, top_k, top_p and generator: by default
                 greedily.
        end      A row in which eos_id was chosen has only eos_id from there on, and nothing is added when all rows have
                 come so far. An eos_id in the prompt ends nothing, and neither does any id if eos_id is None.
        quiet    Meanwhile every submodule of the model is in eval mode, and no gradients are recorded.
        modes    Afterwards, also after an error, every submodule is in the mode it was in, and gradients are recorded
                 as before.
        counts   A max_new_tokens below 0 and a context_length below 1 raise a ValueError that names it and its value;
                 a prompt of no tokens raises one that names the shape of token_ids.

    Source: book section 5.3.3.
    """
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be at least 0, not {max_new_tokens}")
    if context_length < 1:
        raise ValueError(f"context_length must be at least 1, not {context_length}")
    if token_ids.shape[1] < 1:
        raise ValueError(f"a model needs a token to begin with, and token_ids have the shape {tuple(token_ids.shape)}")
    modes = {module: module.training for module in model.modules()}
    ended = torch.zeros_like(token_ids[:, 0], dtype=torch.bool)  # (batch,)
    model.eval()
    try:
        with torch.no_grad():
            for _ in range(max_new_tokens):
                logits = model(token_ids[:, -context_length:])[:, -1]  # (batch, vocab_size)
                chosen = sample_next_token(logits, temperature, top_k, top_p, generator)
                if eos_id is not None:
                    chosen = chosen.where(~ended, eos_id)
                    ended |= chosen == eos_id
                token_ids = torch.cat([token_ids, chosen[:, None]], dim=1)  # one token longer
                if ended.all():
                    break
    finally:
        for module, training in modes.items():
            module.training = training
    return token_ids
