"""When an A/B test may be stopped: the boundary of the test statistic at each look, and the check of the arms' sizes.

The boundaries of a group-sequential test are found from an error-spending function (Lan and DeMets 1983) by
integrating the density of the test statistic from look to look (Armitage, McPherson and Rowe 1969). The spending
function resembles the boundaries of O'Brien and Fleming (1979), which are hard to cross early.
"""

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from skline.release.experiment import ALPHA

FloatArray = npt.NDArray[np.float64]
#: Points at which the density is known between two looks.
POINTS = 300
#: A sample ratio that is less likely than this is a defect, not chance (Fabijan et al. 2019).
MIN_SAMPLE_RATIO_P = 0.001


@cache
def boundaries(looks: int) -> tuple[float, ...]:
    """Return how large |z| must be at each of `looks` equally spaced looks; two-sided, ALPHA over all of them."""
    if looks == 1:
        return (float(-ndtri(ALPHA / 2)),)
    step = math.sqrt(1 / looks)
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    limits = [float(-ndtri(alpha_spent(1 / looks) / 2))]
    edge = limits[0] * step
    at: FloatArray = points * edge
    mass: FloatArray = np.exp(-((at / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi)) * weights * edge
    for look in range(2, looks + 1):
        allowed = alpha_spent(look / looks) - alpha_spent((look - 1) / looks)

        def excess(edge: float, at: FloatArray = at, mass: FloatArray = mass, allowed: float = allowed) -> float:
            return float(mass @ (ndtr((at - edge) / step) + ndtr((-at - edge) / step))) - allowed

        edge = float(brentq(excess, 1e-6, 12 * math.sqrt(look / looks), xtol=1e-10))
        limits.append(edge / math.sqrt(look / looks))
        new: FloatArray = points * edge
        density = np.exp(-(((new[:, None] - at[None, :]) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        at, mass = new, (density @ mass) * weights * edge
    return tuple(limits)


def alpha_spent(fraction: float) -> float:
    """Return the part of ALPHA that may be used up at this fraction of the information, half of it on each side."""
    return float(4 * ndtr(ndtri(ALPHA / 4) / math.sqrt(fraction)))


def sample_ratio_p(champion: int, challenger: int, share: float) -> float:
    """Return the probability of arm sizes as uneven as these, or more (chi-square, one degree of freedom).

    `share` is the challenger's planned share of the entities, between 0 and 1.
    """
    total = champion + challenger
    if not total:
        return 1.0
    distance = (challenger - total * share) ** 2 / (total * share * (1 - share))
    return math.erfc(math.sqrt(distance / 2))
