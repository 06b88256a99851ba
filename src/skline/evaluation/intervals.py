"""Wilson's score interval of a share.

Reference: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
"""

import math

#: The normal distribution's quantile of a two-sided 95 % interval.
Z95 = 1.959963984540054


def wilson_interval(share: float, rows: float, z: float = Z95) -> tuple[float, float]:
    """Return the ends of Wilson's score interval.

    Parameters
    ----------
    share : float
        Between 0 and 1.
    rows : float
        Independent rows that the share is of; effective rows need not be a whole number.
    z : float
        Quantile of the normal distribution.
    """
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half_width = z / (1 + z**2 / rows) * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    # The interval of 0 begins at 0, and that of 1 ends at 1: rounding must not lift 0 above a limit of 0.
    low = 0.0 if share == 0 else max(centre - half_width, 0.0)
    high = 1.0 if share == 1 else min(centre + half_width, 1.0)
    return low, high
