"""Kata: sampling. The why, a figure and hints: docs/pretraining/sampling.md."""

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
    """Choose an id of the vocabulary for each row of logits: at random, or the likeliest one.

    Clauses:
        greedy       At temperature 0 the result is the id of the greatest logit.
        softmax      At temperature 1 an id is drawn with its softmax probability: logits 0 and ln 3 give id 0 in a
                     quarter of all draws.
        temperature  At other temperatures, the logits are divided by the temperature before the softmax.
        top-k        Only the top_k ids with the greatest logits can be drawn.
        top-p        Only the likeliest ids can be drawn, as many as it takes until their probabilities sum to at least
                     top_p.
        proportions  The ids that can be drawn keep the ratios of their softmax probabilities.

    Further clauses:
        rows         There may be any number of axes before vocab_size, also none, and each row has its own random draw.
        large-top-k  A top_k above vocab_size leaves out nothing.
        order        Temperature comes first, then top_k; top_p uses the probabilities of what top_k left, which sum
                     to 1.
        extreme      Logits up to 3e38 in size and temperatures down to 1e-35 give the right ids, and no nan.
        half         Logits of 10 000 in float16 and bfloat16, with a temperature of 0.001, give the right ids.
        generator    With a generator, all random numbers come from it, and none from torch's global state, in
                     generate as well.
        refused      A temperature below 0, a top_k below 1, or a top_p not in 0 < top_p <= 1 raises a ValueError that
                     names it and its value.

    Source: book section 5.3; top-p from Holtzman et al. 2019.
    """
    raise NotImplementedError


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
    """Continue a batch of prompts token by token. The model maps ids (batch, tokens) to logits, with vocab_size last.

    Clauses:
        prompt       Without an eos_id the result is token_ids followed by max_new_tokens new ids.
        context      A new id is chosen from the model's logits at the last position, and the model gets the last
                     context_length ids, prompt and new ones.
        chosen       It is chosen by sample_next_token with temperature, top_k and top_p: greedily by default.
        end          With a batch of one, generation stops when eos_id is chosen; an eos_id in the prompt stops nothing.

    Further clauses:
        rows-end     Each row ends with its own first new eos_id, which is kept and repeated until all rows have ended.
        eval-mode    The model is in eval mode meanwhile, so dropout is off.
        modes        Afterwards every submodule is in the mode in which it was before.
        lengths      A max_new_tokens below 0 or a context_length below 1 raises a ValueError that names it and its
                     value.

    Source: book section 5.3.3.
    """
    raise NotImplementedError
