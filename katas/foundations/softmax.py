"""Kata: softmax. The why, a figure and hints: docs/foundations/softmax.md."""

from jaxtyping import Float
from torch import Tensor


def softmax(x: Float[Tensor, "*axes"], dim: int) -> Float[Tensor, "*axes"]:
    """Turn the scores along one axis into weights that sum to 1, a greater weight for a greater score.

    Shapes: x has one axis or more, and the result has the shape of x. dim names an axis; -1 is the last.
    A line is the scores along dim at one place of the other axes.

    Clauses:
        example     Scores 0 and ln 3 become weights 1/4 and 3/4.
        sum-to-one  No weight is negative, and the weights of each line sum to 1.
        dim         Each line gets the weights that it would get alone, whichever axis dim names.
        formula     The weight of a score s is exp(s) divided by the sum of exp over all scores of its line.
        hidden      A score of -inf beside finite ones gets a weight of exactly 0, and changes no other weight.
        gradients   The gradient of x is the gradient of this formula.

    Further clauses:
        large       Scores of 10 000 and -10 000 get the weights that the formula gives on paper.
        all-hidden  A line in which every score is -inf becomes nan. Other lines do not.
        dtype       The result has the dtype of x, with its precision.
        pure        A call does not change x.

    Not allowed: softmax, log_softmax, logsumexp, Softmax, LogSoftmax, Softmax2d, softmin, Softmin, logcumsumexp.
    Source: book section 3.3.1; Bridle 1990.
    """
    raise NotImplementedError


def log_softmax(x: Float[Tensor, "*axes"], dim: int) -> Float[Tensor, "*axes"]:
    """Give the logarithms of the weights that softmax gives.

    Shapes: as for softmax.

    Clauses:
        log            The result is the natural logarithm of the weights: 0 and ln 3 become -ln 4 and ln 3 - ln 4.
        log-dim        Each line gets the logarithms that it would get alone, whichever axis dim names.
        log-gradients  The gradient of x is the gradient of these logarithms.

    Further clauses:
        underflow            The logarithm of a weight too small for a float is right: 0, 10 000 become -10 000, 0.
        underflow-gradients  The gradient of x is right also where a weight is too small for a float.
        log-hidden           A score of -inf beside finite ones becomes -inf. A line of -inf only becomes nan.
        log-dtype            The result has the dtype of x, with its precision.
        log-pure             A call does not change x.

    Source: book section 5.1.2.
    """
    raise NotImplementedError
