"""What the tests of a project call: rows of the contract, checks of the pipeline, and the project's own service.

A check raises AssertionError with a message that says what to do. docs/python.md describes them all.
"""

from skline.contract.derive import derive_module as derive_contract
from skline.testing.pipeline import check_fit_inputs, fit, scoring
from skline.testing.results import check_gates, needs_results
from skline.testing.rows import InvalidRow, check_accepts, check_rejects, example_row, invalid_rows, random_rows
from skline.testing.service import check_predictions, check_rejections, service

__all__ = [
    "InvalidRow",
    "check_accepts",
    "check_fit_inputs",
    "check_gates",
    "check_predictions",
    "check_rejections",
    "check_rejects",
    "derive_contract",
    "example_row",
    "fit",
    "invalid_rows",
    "needs_results",
    "random_rows",
    "scoring",
    "service",
]
