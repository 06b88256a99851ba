"""The logistic function in the bits of `scipy.special.expit`, without SciPy where the C library gives the same bits.

SciPy computes 1 / (1 + exp(-x)) with the C library's `exp`; NumPy's own `exp` differs in the last bits. Where this
process's `exp` reproduces SciPy's results, a plan holds no object of SciPy, and a service without SciPy can load it.
"""

from functools import cache
from typing import Any, Protocol

import numpy as np
from typing_extensions import override

from skline.scoring import libm
from skline.scoring.scores import FloatArray


class Logistic(Protocol):
    """The logistic function of one number and of an array; both give the same bits."""

    def of_one(self, value: float) -> float:
        """Return the function of one number."""
        ...

    def of_array(self, values: FloatArray) -> FloatArray:
        """Return the function of each number of an array, shape (n,)."""
        ...


class LibmLogistic(Logistic):
    """The logistic function by the C library's `exp`."""

    @override
    def of_one(self, value: float) -> float:
        return 1.0 / (1.0 + libm.exp(-value))

    @override
    def of_array(self, values: FloatArray) -> FloatArray:
        powers: FloatArray = libm.exp_of_array(-values)
        powers += 1.0
        return np.divide(1.0, powers, out=powers)


class SciPyLogistic(Logistic):
    """The logistic function by SciPy itself."""

    def __init__(self) -> None:
        from scipy.special import expit

        self._expit: Any = expit

    @override
    def of_one(self, value: float) -> float:
        return float(self._expit(value))

    @override
    def of_array(self, values: FloatArray) -> FloatArray:
        result: FloatArray = self._expit(values)
        return result


@cache
def exact_logistic() -> Logistic:
    """Return the logistic function that plans use: the C library's if its results have the bits of SciPy's."""
    of_libm, of_scipy = LibmLogistic(), SciPyLogistic()
    sample = _sample()
    expected = of_scipy.of_array(sample)
    with np.errstate(over="ignore"):
        is_equal = np.array_equal(of_libm.of_array(sample).view(np.uint64), expected.view(np.uint64))
    return of_libm if is_equal else of_scipy


def _sample() -> FloatArray:
    """Return numbers over the whole range in which the function is neither 0 nor 1, and a few beyond it."""
    near, far = np.linspace(-40.0, 40.0, 20_011), np.linspace(-760.0, 760.0, 4_001)
    return np.concatenate([near, far, [0.0, -0.0, 1e-300, -1e-300, np.inf, -np.inf, 1e308, -1e308]])
