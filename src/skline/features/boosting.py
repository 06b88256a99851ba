"""Fit the estimators of LightGBM, XGBoost and CatBoost as the last step of a Pipeline.

Each library takes categories, monotonicity and the rows for early stopping in a way of its own. Here they are
arguments; the libraries' own mechanisms do the work. pipeline.joblib refers to these classes, so a server needs this
module to load a model without a plan.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

Codes = npt.NDArray[np.intp]


class _Boosting(BaseEstimator):  # type: ignore[misc]
    """What BoostingClassifier and BoostingRegressor share.

    Parameters
    ----------
    estimator : estimator of LightGBM, XGBoost or CatBoost
        It is cloned, not changed.
    categories : int
        Number of categorical columns: the first ones, encoded as integers from 0 on, missing as NaN. CatBoost does not
        take categories among numbers: encode them one-hot.
    monotone : sequence of {-1, 0, 1}
        For the columns after the categories: 1 where the prediction may only rise with the value, -1 where it may only
        fall. Columns beyond the sequence have no constraint. Of a classifier, the log-odds of the second class.
    early_stopping_rounds : int or None
        Stop when the score on held-out rows has not improved for this number of trees; the trees up to the best score
        are kept. None fits all trees on all rows.
    validation_fraction : float
        Share of the rows that is held out, stratified by class. Only early stopping holds rows out.
    random_state : int or None
        For the held-out rows, and for the estimator if its own is None.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator of the library.
    n_features_in_ : int
        Number of columns seen in `fit`.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        categories: int = 0,
        monotone: Sequence[int] = (),
        early_stopping_rounds: int | None = None,
        validation_fraction: float = 0.1,
        random_state: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.categories = categories
        self.monotone = monotone
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, X: Any, y: npt.NDArray[Any], codes: Codes | None, sample_weight: Any) -> None:
        """Fit the library's estimator on an array; `codes` are the classes to stratify by.

        Weights, float64 of shape (n_rows,) or None, are those of the rows that are fitted on and not held out.
        """
        X = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        model, fit_params = configured(
            clone(self.estimator), X.shape[1], self.categories, self.monotone, self.random_state
        )
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if self.early_stopping_rounds is not None:
            held_out = held_out_rows(len(X), codes, self.validation_fraction, self.random_state)
            model.set_params(early_stopping_rounds=self.early_stopping_rounds)
            held_out_weights = None if weights is None else weights[held_out]
            fit_params |= evaluation_rows(model, X[held_out], y[held_out], held_out_weights)
            X, y, weights = X[~held_out], y[~held_out], None if weights is None else weights[~held_out]
        if weights is not None:
            fit_params["sample_weight"] = weights
        self.estimator_ = model.fit(X, y, **fit_params)


class BoostingClassifier(ClassifierMixin, _Boosting):  # type: ignore[misc]
    """A classifier of LightGBM, XGBoost or CatBoost, for classes of any type; see _Boosting for the parameters.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        In sorted order; the library's estimator is fitted on their positions.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on X, float64 of shape (n_rows, n_columns), and the classes y of shape (n_rows,), perhaps weighted."""
        check_classification_targets(y)
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the target has only the class {self.classes_.tolist()[0]!r}; a classifier needs two")
        self._fit(X, codes, codes, sample_weight)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the class of each row."""
        check_is_fitted(self)
        codes = np.asarray(self.estimator_.predict(np.asarray(X, dtype=np.float64)))
        predictions: npt.NDArray[Any] = self.classes_[codes.ravel().astype(np.intp)]  # of CatBoost (n_rows, 1)
        return predictions

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return probabilities, float64 of shape (n_rows, n_classes)."""
        check_is_fitted(self)
        probabilities = self.estimator_.predict_proba(np.asarray(X, dtype=np.float64))
        return np.asarray(probabilities, dtype=np.float64)  # of XGBoost float32


class BoostingRegressor(RegressorMixin, _Boosting):  # type: ignore[misc]
    """A regressor of LightGBM, XGBoost or CatBoost; see _Boosting for the parameters."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on X, float64 of shape (n_rows, n_columns), and the numbers y of shape (n_rows,), perhaps weighted."""
        self._fit(X, np.asarray(y, dtype=np.float64), None, sample_weight)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the predicted number of each row, float64 of shape (n_rows,)."""
        check_is_fitted(self)
        predictions = self.estimator_.predict(np.asarray(X, dtype=np.float64))
        return np.asarray(predictions, dtype=np.float64)  # of XGBoost float32


def configured(
    model: Any, width: int, categories: int, monotone: Sequence[int], seed: int | None
) -> tuple[Any, dict[str, Any]]:
    """Set categories, monotonicity and the seed on an unfitted estimator, as its library takes them.

    Returns
    -------
    model : estimator
    fit_params : dict
        What the library takes as arguments of `fit`.

    Raises
    ------
    ValueError
        If the library is unknown, or does not support categories or constraints that are given.
    """
    if categories + len(monotone) > width:
        raise ValueError(f"{categories} categories and {len(monotone)} monotone columns are more than {width} columns")
    constraints = [0] * categories + list(monotone) + [0] * (width - categories - len(monotone))
    params: dict[str, Any] = {"monotone_constraints": constraints} if any(constraints) else {}
    given = model.get_params()
    if seed is not None and given.get("random_state") is None and given.get("random_seed") is None:
        params["random_state"] = seed  # CatBoost calls it random_seed too
    match library_of(model):
        case "lightgbm":
            # LightGBM ignores this as a parameter of the estimator.
            fit_params: dict[str, Any] = {"categorical_feature": list(range(categories))} if categories else {}
        case "xgboost":
            if categories:
                params |= {"feature_types": ["c"] * categories + ["q"] * (width - categories)}
                params |= {"enable_categorical": True}
            if "monotone_constraints" in params:
                params["monotone_constraints"] = tuple(constraints)
            fit_params = {"verbose": False}
        case "catboost":
            if categories:
                raise ValueError("CatBoost takes no categories in an array of numbers; encode them with OneHotEncoder")
            fit_params = {"verbose": False}
        case _:
            raise ValueError(f"{type(model).__name__} is not an estimator of LightGBM, XGBoost or CatBoost")
    return model.set_params(**params), fit_params


def library_of(model: Any) -> str:
    """Return the name of the package that an estimator is from."""
    return type(model).__module__.partition(".")[0]


def evaluation_rows(
    model: Any, X: npt.NDArray[Any], y: npt.NDArray[Any], weights: npt.NDArray[np.float64] | None
) -> dict[str, Any]:
    """Return the rows for early stopping, and their weights, as arguments of `fit`."""
    match library_of(model):
        case "lightgbm":
            weighted: dict[str, Any] = {} if weights is None else {"eval_sample_weight": [weights]}
            return {"eval_X": X, "eval_y": y} | weighted
        case "catboost" if weights is not None:
            return {"eval_set": import_module("catboost").Pool(X, y, weight=weights)}
        case "xgboost" if weights is not None:
            return {"eval_set": [(X, y)], "sample_weight_eval_set": [weights]}
    return {"eval_set": [(X, y)]}


def held_out_rows(n_rows: int, codes: Codes | None, fraction: float, seed: int | None) -> npt.NDArray[np.bool_]:
    """Draw the rows to hold out: bool of shape (n_rows,), stratified by class; the only row of a class is not drawn."""
    rows = np.arange(n_rows)
    if codes is not None:
        rows = rows[np.bincount(codes)[codes] > 1]
    classes = None if codes is None else codes[rows]
    _, chosen = train_test_split(rows, test_size=fraction, random_state=seed, stratify=classes)
    is_held_out = np.zeros(n_rows, dtype=np.bool_)
    is_held_out[chosen] = True
    return is_held_out
