"""The logistic function of plans has SciPy's bits, and is SciPy's own where the C library's `exp` gives other bits."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import expit

from skline.scoring import libm, logistic, plan_storage
from skline.scoring.logistic import LibmLogistic, SciPyLogistic
from skline.scoring.planning import build_plan

from .tables import COLUMNS, fit, make_rows
from .test_estimators import CLASSIFIERS, preprocessed

EXTREMES = [0.0, 5e-324, 36.7, 699.9, 700.1, 709.7, 709.8, 746.0, 1e308, np.inf]


@pytest.fixture
def _fresh_choice() -> Iterator[None]:
    logistic.exact_logistic.cache_clear()
    yield
    logistic.exact_logistic.cache_clear()


def numbers() -> np.ndarray:
    random = np.random.default_rng(3)
    usual, wide = random.normal(0, 4, 200_000), random.uniform(-750, 750, 20_000)
    return np.concatenate([usual, wide, EXTREMES, np.negative(EXTREMES)])


def test_the_c_library_gives_the_bits_of_scipy() -> None:
    values = numbers()
    for part in (values, values[np.abs(values) < 700]):  # the second has no number that is computed in Python
        assert LibmLogistic().of_array(part).tobytes() == expit(part).tobytes()


def test_exponentials_are_computed_in_python_where_complex_ones_have_other_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = numbers()[:1_000]
    expected = libm.exp_of_array(values)
    monkeypatch.setattr(libm, "_complex_exp_is_exact", lambda: False)
    assert libm.exp_of_array(values).tobytes() == expected.tobytes()
    assert expected.tolist() == [libm.exp(value) for value in values.tolist()]


def test_one_number_has_the_same_bits_as_in_an_array() -> None:
    values = numbers()[-20_000:]
    of_libm = LibmLogistic()
    assert [of_libm.of_one(value) for value in values.tolist()] == of_libm.of_array(values).tolist()


def test_missing_stays_missing() -> None:
    assert np.isnan(LibmLogistic().of_one(float("nan")))
    assert np.isnan(LibmLogistic().of_array(np.array([np.nan, 1.0]))).tolist() == [True, False]


@pytest.mark.usefixtures("_fresh_choice")
def test_plans_use_scipy_where_the_bits_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = libm.exp_of_array
    monkeypatch.setattr(libm, "exp_of_array", lambda values: np.nextafter(exact(values), np.inf))
    assert isinstance(logistic.exact_logistic(), SciPyLogistic)
    plan = build_plan(fit(preprocessed(CLASSIFIERS["hgb"])), COLUMNS)
    stored = plan_storage.dump_plan(plan)
    assert plan_storage.required_libraries(stored) == ["numpy", "scipy"]
    rows = make_rows(20, seed=1)
    assert plan_storage.load_plan(stored, {}).score_rows(rows).row(3) == plan.score_row(rows[3])


@pytest.mark.usefixtures("_fresh_choice")
def test_plans_use_the_c_library_here() -> None:
    assert isinstance(logistic.exact_logistic(), LibmLogistic)
