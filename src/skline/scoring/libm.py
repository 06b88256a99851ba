"""Functions of the C library, which SciPy and the boosting libraries call; NumPy's differ in the last bits."""

import ctypes
import math
from collections.abc import Callable
from functools import cache

import numpy as np

from skline.scoring.scores import FloatArray, UnsupportedStep

#: Beyond it the C library scales the exponentials of complex numbers, and rounds them twice.
MAX_COMPLEX_EXPONENT = 700.0


def exp(value: float) -> float:
    """Return `exp` of the C library, infinity where it overflows."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def exp_of_array(values: FloatArray) -> FloatArray:
    """Return `exp` of each number of an array, in the shape of the array.

    NumPy's `exp` of complex numbers is the C library's, and ten times as fast as a loop in Python.
    """
    if _complex_exp_is_exact() and (np.abs(values) <= MAX_COMPLEX_EXPONENT).all():
        return np.exp(values.astype(np.complex128)).real.copy()
    return np.array([exp(value) for value in values.ravel().tolist()]).reshape(values.shape)


@cache
def _complex_exp_is_exact() -> bool:
    """Return whether NumPy's complex `exp` of real numbers has the bits of `exp`, as it has with glibc."""
    sample = np.linspace(-MAX_COMPLEX_EXPONENT, MAX_COMPLEX_EXPONENT, 2_003)
    expected = np.array([math.exp(value) for value in sample.tolist()])
    return bool((np.exp(sample.astype(np.complex128)).real == expected).all())


def expf(value: float) -> float:
    """Return `expf` of the C library: it rounds its argument to float32, and returns a float32."""
    return _float32_function("expf")(value)


def logf(value: float) -> float:
    """Return `logf` of the C library."""
    return _float32_function("logf")(value)


def float32(value: float) -> float:
    """Round to float32."""
    return ctypes.c_float(value).value


def require_float32_functions() -> None:
    """Raise UnsupportedStep if this process does not export `expf` and `logf`."""
    try:
        _float32_function("expf"), _float32_function("logf")
    except (AttributeError, OSError, TypeError) as error:
        raise UnsupportedStep("the C library of this process has no expf and logf, which XGBoost calls") from error


@cache
def _float32_function(name: str) -> Callable[[float], float]:
    function = getattr(ctypes.CDLL(None), name)
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    typed: Callable[[float], float] = function
    return typed
