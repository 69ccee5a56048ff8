"""How sure a classifier may say that it is: a temperature for its logits, and how far it is off."""

from torch import Tensor
from torch.nn.functional import cross_entropy

BINS = 10


def temperature(logits: Tensor, labels: Tensor) -> float:
    """By what to divide logits (texts, classes) so that the probabilities fit the labels best, from 0.25 to 8.

    Guo et al., "On Calibration of Modern Neural Networks" (2017).
    """
    tried = [2 ** (step / 8) for step in range(-16, 25)]
    return min(tried, key=lambda one: float(cross_entropy(logits / one, labels)))


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """The expected calibration error: how far, on average, confidence and the share of right answers lie apart.

    Texts are put into BINS bins by their confidence; a bin counts by its texts.
    """
    sure, choice = logits.softmax(-1).max(-1)
    right, error = (choice == labels).double(), 0.0
    places = (sure * BINS).ceil().long()
    for place in places.unique():
        within = places == place
        error += float(within.double().mean() * (sure[within].double().mean() - right[within].mean()).abs())
    return error
