"""Transformers and estimators for the steps of a Pipeline; they depend on scikit-learn and NumPy only.

The names are imported on first use: a stored plan needs the modules `arithmetic`, `text` and `time` alone, and must not
import scikit-learn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skline.features.arithmetic import difference, ratio
    from skline.features.boosting import BoostingClassifier, BoostingRegressor
    from skline.features.time import PARTS, minutes_of_day, time_part
    from skline.features.transformers import TextFeatures, TimeFeatures, TimePart

__all__ = [
    "PARTS",
    "BoostingClassifier",
    "BoostingRegressor",
    "TextFeatures",
    "TimeFeatures",
    "TimePart",
    "difference",
    "minutes_of_day",
    "ratio",
    "time_part",
]

#: Public name → its module; the others are in `transformers`.
_MODULES = {
    "BoostingClassifier": "boosting",
    "BoostingRegressor": "boosting",
    "PARTS": "time",
    "difference": "arithmetic",
    "minutes_of_day": "time",
    "ratio": "arithmetic",
    "time_part": "time",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'transformers')}"), name)
