"""Kata: tensors. The why, a figure and hints: docs/foundations/tensors.md."""

from jaxtyping import Float, Int, Num
from torch import Tensor


def rank(x: Tensor) -> int:
    """Count the axes of a tensor.

    Clauses:
        axes  A single number has rank 0, a list of numbers 1, a table 2; how long an axis is does not matter.

    Source: book section A.2.1.
    """
    raise NotImplementedError


def one_hot(ids: Int[Tensor, "*shape"], num_classes: int) -> Float[Tensor, "*shape num_classes"]:
    """Turn each id into a vector that is 1 at the id and 0 elsewhere.

    Axes: ids of any shape, int64; the result has one axis more, num_classes, and is float32.

    Clauses:
        one-hot    Of 3 classes, the ids 0 and 2 become 1, 0, 0 and 0, 0, 1, in float32.
        any-shape  The axes of ids stay, and num_classes comes last, also for a single id and for no id at all.
        range      An id below 0, or of num_classes or more, raises a ValueError that names it and num_classes.

    Not allowed: torch.nn.functional.one_hot.
    """
    raise NotImplementedError


def pairwise_dot(x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens tokens"]:
    """Take the dot product of every token of a sequence with every token of that sequence.

    Axes: batch, tokens, width features in. Any floating dtype.

    Clauses:
        pairs  Row i, column j of a sequence's square is the dot product of its tokens i and j.
    """
    raise NotImplementedError


def running_mean(x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """Replace each token by the mean of itself and all tokens before it, with one triangular matrix and no loop.

    Axes: batch, tokens, width. Any floating dtype, finite numbers.

    Clauses:
        mean  In each sequence 2, 4, 6 become 2, 3, 4: the result at position t is the mean of the tokens 0 to t.

    Not allowed: cumsum.
    """
    raise NotImplementedError


def split_heads(x: Num[Tensor, "batch tokens width"], num_heads: int) -> Num[Tensor, "batch num_heads tokens head_dim"]:
    """Cut the features of every token into num_heads heads of equal width, and give each head a sequence of its own.

    Axes: batch, tokens, width in; batch, num_heads, tokens, head_dim = width / num_heads out. Any dtype.

    Clauses:
        split  Head h holds, token by token, the features h * head_dim to (h + 1) * head_dim - 1 of x.
        heads  A num_heads that is below 1 or does not divide width raises a ValueError that names both numbers.

    Not allowed: einops.
    Source: book section 3.6.2.
    """
    raise NotImplementedError


def merge_heads(x: Num[Tensor, "batch num_heads tokens head_dim"]) -> Num[Tensor, "batch tokens width"]:
    """Put the heads of every token side by side again.

    Axes: batch, num_heads, tokens, head_dim in; batch, tokens, width = num_heads * head_dim out. Any dtype.

    Clauses:
        merge      Each token holds the features of head 0, then those of head 1, and so on.
        inverse    merge_heads undoes split_heads, and split_heads undoes merge_heads.
        view       Every function gives for a view, such as a transposed tensor, what it gives for a copy of it.
        pure       No function changes the tensor that it is given.
        dtype      From pairwise_dot on, each function keeps the dtype of x, with that dtype's precision.
        gradients  From pairwise_dot on, each function hands back to x the gradient of its definition.
        device     From pairwise_dot on, each function works on the device of x.

    Not allowed: einops.
    Source: book section 3.6.2.
    """
    raise NotImplementedError
