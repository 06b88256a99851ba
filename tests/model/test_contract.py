"""The contract: what the service accepts and rejects, and what the pipeline may see. Add rows of your own."""

import pytest

from model import contract as declared
from model.pipeline import build_pipeline
from skline import testing

CONTRACT = testing.derive_contract(declared)


def test_examples_are_valid() -> None:
    testing.check_accepts(CONTRACT, [testing.example_row(CONTRACT)])


def test_random_rows_within_the_rules_are_valid() -> None:
    testing.check_accepts(CONTRACT, testing.random_rows(CONTRACT))


@pytest.mark.parametrize("invalid", testing.invalid_rows(CONTRACT), ids=str)
def test_row_that_breaks_a_rule_is_rejected(invalid: testing.InvalidRow) -> None:
    testing.check_rejects(CONTRACT, invalid)


def test_pipeline_is_fitted_on_the_inputs_and_on_no_leak() -> None:
    testing.check_fit_inputs(build_pipeline, CONTRACT)
