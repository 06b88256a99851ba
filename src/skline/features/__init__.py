"""Transformers for the steps of a Pipeline; they depend on scikit-learn and NumPy only.

The names are imported on first use: a stored plan needs only `skline.features.time`, and must not import scikit-learn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skline.features.time import PARTS, minutes_of_day, time_part
    from skline.features.transformers import TextFeatures, TimeFeatures, TimePart

__all__ = ["PARTS", "TextFeatures", "TimeFeatures", "TimePart", "minutes_of_day", "time_part"]

_NUMPY_ONLY = ("PARTS", "minutes_of_day", "time_part")


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'time' if name in _NUMPY_ONLY else 'transformers'}"), name)
