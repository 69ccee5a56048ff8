"""Kata: greedy generation. The why, a figure and hints: docs/gpt/generate.md."""

from jaxtyping import Int
from torch import Tensor, nn


def generate_greedy(
    model: nn.Module, token_ids: Int[Tensor, "batch tokens"], max_new_tokens: int, context_length: int
) -> Int[Tensor, "batch longer"]:
    """Go on with a text: max_new_tokens times, append to each row the token that the model scores highest.

    Axes: batch, tokens of the prompt; out come tokens + max_new_tokens. Ids are int32 or int64. The model takes ids
    (batch, tokens), at most context_length of them, and gives logits (batch, tokens, vocab_size).

    Clauses:
        example  A model whose highest score is always the last id plus 1 goes on with 3 by 4, 5, 6.
        greedy   The new token is the one with the greatest logit, by however little; of equal ones, the lowest id.
        last     Only the logits of the last position count.
        grows    Each new token is read together with all before it, the prompt's and the new ones.
        crop     Of a text longer than context_length, the model is given the last context_length tokens; of a shorter
                 one all, and nothing else.
        calls    The model is called max_new_tokens times, each time with all rows, as the only argument.
        rows     Each row is continued as it would be alone.
        prompt   The result begins with the whole prompt; token_ids itself stays as it is.
        none     With a max_new_tokens of 0 the result is a copy of the prompt, and the model is not called.
        eval     At each call the model and all its parts are in eval mode.
        no-grad  At each call gradients are off, afterwards they are on or off as before, and the result can be an input
                 in training.
        modes    Afterwards the model and each of its parts are in the mode, train or eval, in which they were.
        raises   What the model raises comes out as it is, and modes and gradients are as before then too.
        counts   A max_new_tokens below 0 or a context_length below 1 raises a ValueError that names the argument and
                 its value.
        empty    A prompt of no tokens raises a ValueError that names its shape, as a tuple, whatever max_new_tokens is.
        dtype    The result has the dtype of token_ids, and so have the ids that the model is given.
        device   Whatever a call makes is on the device of token_ids, whatever torch's default device is.

    Source: book section 4.7.
    """
    raise NotImplementedError
