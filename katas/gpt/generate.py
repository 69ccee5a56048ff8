"""Kata: greedy generation. The why, a figure and hints: docs/gpt/generate.md."""

from jaxtyping import Int
from torch import Tensor, nn


def generate_greedy(
    model: nn.Module, token_ids: Int[Tensor, "batch tokens"], max_new_tokens: int, context_length: int
) -> Int[Tensor, "batch longer"]:
    """Continue each text of a batch: max_new_tokens times, append the token that the model scores highest.

    Shapes: token_ids (batch, tokens), result (batch, tokens + max_new_tokens). The model takes ids (batch, tokens), at
    most context_length of them, and gives logits (batch, tokens, vocab_size). A helper that you may import:

        from katas.modes import eval_mode

    Clauses:
        example   A model that always scores the last id plus 1 highest continues 3 with 4, 5 and 6.
        greedy    The new token is the one with the greatest logit.
        last      Only the logits of the last position are used.
        grows     The model reads each new token together with all tokens before it, of the prompt and new ones.
        crop      Of a text longer than context_length, the model reads the last context_length tokens only.
        per-text  Each text of a batch is continued as it would be alone.
        prompt    The result begins with the whole prompt, also if that is longer than context_length.

    Further clauses:
        close-logits  The token with the greatest logit is found also if another logit is only slightly less.
        calls         The model is called once for each new token, with all texts of the batch.
        none          With a max_new_tokens of 0 the result is a copy of the prompt, and the model is not called.
        eval          During each call the model and all its parts are in eval mode.
        no-grad       During each call gradients are off; afterwards the result can be an input in training.
        modes         Afterwards each part of the model has its own mode, train or eval, again, also after an error.
        counts        A max_new_tokens below 0 or a context_length below 1 raises a ValueError that names it and its
                      value.
        empty         A prompt of no tokens raises a ValueError with its shape.
        dtype         The result has the dtype of token_ids, int32 or int64.
        device        Tensors that a call creates are on the device of token_ids, whatever the default device is.
        pure          token_ids is not changed.

    Source: book section 4.7.
    """
    raise NotImplementedError
