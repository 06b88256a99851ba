"""When an A/B test may be ended: how many looks there are, and how far apart the arms must be at each.

Boundaries of group-sequential tests are found from an error-spending function (Lan and DeMets 1983) by integrating
the test statistic's density from look to look (Armitage, McPherson and Rowe 1969). The spending functions resemble
the boundaries of O'Brien and Fleming (1979), hard to cross early, and of Pocock (1977), much the same at every look.
"""

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

FloatArray = npt.NDArray[np.float64]
#: Points at which a density is known between two looks.
POINTS = 300
#: A sample ratio that is less likely than this is a defect, not chance (Fabijan et al. 2019).
MISMATCH = 0.001


def spent(boundary: str, fraction: float, alpha: float) -> float:
    """The part of alpha that may be used up when this fraction of the information is there; half of it on each side."""
    if boundary == "pocock":
        return alpha * math.log(1 + (math.e - 1) * fraction)
    return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))


@cache
def boundaries(boundary: str, looks: int, alpha: float) -> tuple[float, ...]:
    """How large |z| must be at each of `looks` equally spaced looks; two-sided, alpha over all of them."""
    if boundary == "fixed" or looks == 1:
        return (float(-ndtri(alpha / 2)),)
    step = math.sqrt(1 / looks)
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    found = [float(-ndtri(spent(boundary, 1 / looks, alpha) / 2))]
    edge = found[0] * step
    at: FloatArray = points * edge
    mass: FloatArray = np.exp(-((at / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi)) * weights * edge
    for look in range(2, looks + 1):
        allowed = spent(boundary, look / looks, alpha) - spent(boundary, (look - 1) / looks, alpha)

        def beyond(edge: float, at: FloatArray = at, mass: FloatArray = mass, allowed: float = allowed) -> float:
            return float(mass @ (ndtr((at - edge) / step) + ndtr((-at - edge) / step))) - allowed

        edge = float(brentq(beyond, 1e-6, 12 * math.sqrt(look / looks), xtol=1e-10))
        found.append(edge / math.sqrt(look / looks))
        new: FloatArray = points * edge
        density = np.exp(-(((new[:, None] - at[None, :]) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        at, mass = new, (density @ mass) * weights * edge
    return tuple(found)


def sample_ratio(champion: int, challenger: int, share: float) -> float:
    """Probability of a division of entities as uneven as this one, or more (chi-square, one degree of freedom).

    `share` is what the challenger should have of them, between 0 and 1.
    """
    total = champion + challenger
    if not total:
        return 1.0
    distance = (challenger - total * share) ** 2 / (total * share * (1 - share))
    return math.erfc(math.sqrt(distance / 2))
