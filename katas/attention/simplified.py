"""Kata: simplified attention. The why, a figure and hints: docs/attention/simplified.md."""

from jaxtyping import Float
from torch import Tensor


def attention_scores(inputs: Float[Tensor, "*batch tokens d_in"]) -> Float[Tensor, "*batch tokens tokens"]:
    """Compare every token of a sequence with every token of that sequence: the first step.

    Axes: tokens of d_in features each, after any number of other axes, none too. Any floating dtype.

    Clauses:
        dots       The score of two tokens is their dot product: (1, 0), (0, 2), (1, 1) give the rows 1, 0, 1 and
                   0, 4, 2 and 1, 2, 2.
        symmetric  Row i, column j holds what row j, column i holds.
        unscaled   Nothing divides a score, neither the width d_in nor a length: tokens twice as long score 4 times
                   as much.
    """
    raise NotImplementedError


def attention_weights(scores: Float[Tensor, "*batch tokens tokens"]) -> Float[Tensor, "*batch tokens tokens"]:
    """Turn each row of scores into shares of a whole: the second step. PyTorch's own softmax is allowed.

    Axes: row i holds the scores of token i with every token of its sequence. Any floating dtype.

    Clauses:
        share   Each row becomes its own softmax, along the last axis: scores 0, ln 3 become the weights 1/4, 3/4.
        sums    No weight is below 0, and each row sums to 1.
        stable  Scores of 10 000 and of -10 000 get the weights that softmax gives on paper, and no nan.
    """
    raise NotImplementedError


def context_vectors(inputs: Float[Tensor, "*batch tokens d_in"]) -> Float[Tensor, "*batch tokens d_in"]:
    """Give each token the mean of all tokens of its sequence, weighted by its own row of weights: all three steps.

    Axes and dtypes are those of attention_scores.

    Clauses:
        mean       A token of zeros, which scores 0 with all, gets their plain mean; a token alone gets itself.
        agrees     The result is softmax(inputs inputsᵀ) inputs, also for inputs whose scores are 40 000 and -40 000.
        apart      Each sequence comes out as it would alone, whatever axes stand before tokens.
        reorder    Reordering the tokens reorders the context vectors in the same way, and changes nothing else.
        gradients  The inputs get the gradients of that formula.
        dtype      Each of the three functions keeps the dtype of its argument, with that dtype's precision.
        pure       None of the three functions changes its argument.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: book section 3.3.
    """
    raise NotImplementedError
