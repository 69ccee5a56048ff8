"""Kata: simplified attention. The why, a figure and hints: docs/attention/simplified.md."""

from jaxtyping import Float
from torch import Tensor


def attention_scores(inputs: Float[Tensor, "*batch tokens d_in"]) -> Float[Tensor, "*batch tokens tokens"]:
    """Compare every token of a sequence with every token: the first step.

    Shapes: input (tokens, d_in), output (tokens, tokens).

    Clauses:
        scores  The score of two tokens is their dot product: (1, 0), (0, 2), (1, 1) give the rows 1, 0, 1 and 0, 4, 2
                and 1, 2, 2.
    """
    raise NotImplementedError


def attention_weights(scores: Float[Tensor, "*batch tokens tokens"]) -> Float[Tensor, "*batch tokens tokens"]:
    """Turn each row of scores into weights: the second step. PyTorch's softmax is allowed.

    Shapes: input and output (tokens, tokens); row i belongs to token i.

    Clauses:
        softmax  The weights of a row are the softmax of its scores: 0 and ln 3 become 1/4 and 3/4.
    """
    raise NotImplementedError


def context_vectors(inputs: Float[Tensor, "*batch tokens d_in"]) -> Float[Tensor, "*batch tokens d_in"]:
    """Give each token the average of all tokens, weighted by its row of weights: all three steps.

    Shapes: input and output (tokens, d_in).

    Clauses:
        average    A token of zeros, whose scores are all 0, gets the plain average of all tokens.
        formula    The result is softmax(inputs @ inputs.mT) @ inputs.
        gradients  The gradient of the inputs is that of this formula.

    Further clauses:
        batch    All three functions accept any axes before tokens, and each sequence gives what it gives alone.
        extreme  Scores of 40 000 and -40 000 give neither nan nor inf, in result and gradient.
        dtype    Each function returns the dtype of its argument, float64, bfloat16 or float16, with its precision.
        pure     No function changes its argument.

    Not allowed: scaled_dot_product_attention, MultiheadAttention, multi_head_attention_forward, flex_attention.
    Source: book section 3.3.
    """
    raise NotImplementedError
