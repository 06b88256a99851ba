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
#: No boundary is higher: a normal tail beyond it is below the smallest double.
MAX_Z = 38.0
#: A sample ratio that is less likely than this is a defect, not chance (Fabijan et al. 2019).
MIN_SAMPLE_RATIO_P = 0.001


@cache
def boundaries(looks: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """Return how large |z| must be at each of `looks` equally spaced looks; two-sided, `alpha` over all of them.

    The looks must have independent increments: each adds data, and changes none of the earlier looks.
    """
    if looks == 1:
        return (float(-ndtri(alpha / 2)),)
    step = math.sqrt(1 / looks)
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    limits = [float(-ndtri(alpha_spent(1 / looks, alpha) / 2))]
    edge = limits[0] * step
    at: FloatArray = points * edge
    mass: FloatArray = np.exp(-((at / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi)) * weights * edge
    for look in range(2, looks + 1):
        allowed = alpha_spent(look / looks, alpha) - alpha_spent((look - 1) / looks, alpha)

        def excess(edge: float, at: FloatArray = at, mass: FloatArray = mass, allowed: float = allowed) -> float:
            return float(mass @ (ndtr((at - edge) / step) + ndtr((-at - edge) / step))) - allowed

        edge = float(brentq(excess, 1e-6, MAX_Z * math.sqrt(look / looks), xtol=1e-10))
        limits.append(edge / math.sqrt(look / looks))
        new: FloatArray = points * edge
        density = np.exp(-(((new[:, None] - at[None, :]) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        at, mass = new, (density @ mass) * weights * edge
    return tuple(limits)


def alpha_spent(fraction: float, alpha: float = ALPHA) -> float:
    """Return the part of `alpha` that may be used up at this fraction of the information, half of it on each side."""
    return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))


def sample_ratio_p(champion: int, challenger: int, share: float) -> float:
    """Return the probability of arm sizes as uneven as these, or more (chi-square, one degree of freedom).

    `share` is the challenger's planned share of the entities, between 0 and 1.
    """
    total = champion + challenger
    if not total:
        return 1.0
    distance = (challenger - total * share) ** 2 / (total * share * (1 - share))
    return math.erfc(math.sqrt(distance / 2))
