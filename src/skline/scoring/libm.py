"""Functions of the C library, which LightGBM and XGBoost call; NumPy's differ in the last bits."""

import ctypes
import math
from collections.abc import Callable
from functools import cache

from skline.scoring.scores import UnsupportedStep


def exp(value: float) -> float:
    """Return `exp` of the C library, infinity where it overflows."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


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
