"""Kata: tensors. The why, a figure and hints: docs/foundations/tensors.md."""

from jaxtyping import Float, Int, Num
from torch import Tensor


def rank(x: Tensor) -> int:
    """Count the axes of a tensor.

    Clauses:
        axes  A single number has rank 0, a list of numbers rank 1, a table rank 2, whatever the sizes of the axes.

    Source: book section A.2.1.
    """
    raise NotImplementedError


def one_hot(ids: Int[Tensor, "*shape"], num_classes: int) -> Float[Tensor, "*shape num_classes"]:
    """Turn each id into a vector that is 1 at the id and 0 elsewhere.

    Shapes: ids has any shape, and the result one axis more, with num_classes at the end.

    Clauses:
        one-hot    Of 3 classes, the ids 0 and 2 become 1, 0, 0 and 0, 0, 1.
        any-shape  The axes of ids stay as they are, and num_classes becomes the last axis.

    Further clauses:
        float32  The result is float32.
        range    An id below 0, or of num_classes or more, raises a ValueError that names the id and num_classes.

    Not allowed: torch.nn.functional.one_hot.
    """
    raise NotImplementedError


def pairwise_dot(x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens tokens"]:
    """Take the dot product of every token of a sequence with every token of the same sequence.

    Shapes: x is (batch, tokens, width), the result (batch, tokens, tokens).

    Clauses:
        pairs  In each sequence, row i, column j of the result is the dot product of tokens i and j.
    """
    raise NotImplementedError


def running_mean(x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """Replace each token by the mean of itself and all tokens before it, with one triangular matrix and no loop.

    Shapes: x and the result are (batch, tokens, width).

    Clauses:
        mean  2, 4, 6 become 2, 3, 4: in each sequence the result at position t is the mean of the tokens 0 to t.

    Not allowed: cumsum.
    """
    raise NotImplementedError


def split_heads(x: Num[Tensor, "batch tokens width"], num_heads: int) -> Num[Tensor, "batch num_heads tokens head_dim"]:
    """Cut the features of every token into num_heads heads of equal width, each with a sequence of its own.

    Shapes: x is (batch, tokens, width), the result (batch, num_heads, tokens, head_dim), head_dim = width / num_heads.

    Clauses:
        split  Head h holds the features h * head_dim to (h + 1) * head_dim - 1 of every token.

    Further clauses:
        heads  A num_heads below 1, or one that does not divide width, raises a ValueError that names both numbers.

    Source: book section 3.6.2.
    """
    raise NotImplementedError


def merge_heads(x: Num[Tensor, "batch num_heads tokens head_dim"]) -> Num[Tensor, "batch tokens width"]:
    """Join the heads of every token again.

    Shapes: x is (batch, num_heads, tokens, head_dim), the result (batch, tokens, width), width = num_heads * head_dim.

    Clauses:
        merge  Each token holds the features of head 0, then those of head 1, and so on.

    Further clauses:
        view       Each function gives the same result for a view, such as a transposed tensor, as for a copy of it.
        pure       No function changes its input.
        dtype      From pairwise_dot on, each result has the dtype of x, with its precision.
        gradients  From pairwise_dot on, each function gives x the gradient of its definition.
        device     From pairwise_dot on, each function works on the device of x.

    Source: book section 3.6.2.
    """
    raise NotImplementedError
