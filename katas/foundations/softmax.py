"""Kata: softmax. The why, a figure and hints: docs/foundations/softmax.md."""

from jaxtyping import Float
from torch import Tensor


def softmax(x: Float[Tensor, "*axes"], dim: int) -> Float[Tensor, "*axes"]:
    """Turn the scores along one axis into weights, the greater for the greater score.

    Axes: any number of them, none too; dim names one that has a size of at least 1, and counts from the end where it
    is negative. A line is the scores along dim at one place of the other axes. Any floating dtype.

    Clauses:
        example     Scores 0 and ln 3 become weights 1/4 and 3/4.
        sum         No weight is below 0, and along dim they sum to 1.
        dim         Each line comes out as it would alone, whatever the sign of dim and the number of axes.
        order       A greater score never gets a smaller weight, and equal scores get equal ones.
        shift       One number added to all scores of a line changes no weight.
        agrees      The weight of a score s is exp(s), divided by the sum of the exp of all scores of its line.
        stable      Scores of 10 000 and of -10 000 get the weights that the formula gives on paper, and no nan.
        hidden      A score of -inf beside finite ones gets exactly 0, and they share as if it were not there.
        all-hidden  A line that is all -inf becomes nan, and no other line does.
        gradients   x gets the gradients of that formula, finite ones also beside a score of -inf.
        dtype       The result has the dtype of x, with that dtype's precision.
        view        A transposed, thinned or expanded view is as good as a copy of it.
        pure        x stays as it was.

    Not allowed: softmax, log_softmax, logsumexp, Softmax, LogSoftmax, Softmax2d, softmin, Softmin, logcumsumexp.
    Source: book section 3.3.1, which uses it; Bridle 1990, which names it.
    """
    raise NotImplementedError


def log_softmax(x: Float[Tensor, "*axes"], dim: int) -> Float[Tensor, "*axes"]:
    """Give the logarithms of the weights that softmax gives, also of weights too small for a float.

    Axes and dtypes are those of softmax.

    Clauses:
        log            The result is the natural logarithm of the weights: 0 and ln 3 become -ln 4 and ln 3 - ln 4.
        log-dim        Each line comes out as it would alone, whatever the sign of dim and the number of axes.
        underflow      It is finite where a weight underflows to 0: scores 0 and 10 000 become -10 000 and 0.
        log-hidden     A score of -inf beside finite ones becomes -inf, and a line that is all -inf becomes nan.
        log-gradients  x gets the gradients of that logarithm, also where the weight underflows to 0.
        log-dtype      The result has the dtype of x, with that dtype's precision.
        log-pure       x stays as it was.

    Source: book section 5.1.2, whose loss is made of these logarithms.
    """
    raise NotImplementedError
