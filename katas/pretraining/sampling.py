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
    raise NotImplementedError
