"""`skline.load`: the packaged model in Python. It is verified as the service verifies it, and predicts the same."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skline.artifact import Artifact
from skline.contract.spec import Contract, Row, Value
from skline.entrypoint import import_project_first
from skline.errors import SklineError
from skline.explain import Explainer, Explanation
from skline.input_rows import InputRows, Rows
from skline.lookups.online import Lookups
from skline.lookups.opening import LookupMode, open_patiently
from skline.model_summary import describe_scoring, summarize_as_html
from skline.paths import ARTIFACT, PARAMS, REGISTERED, RELEASED
from skline.project import find_project
from skline.release.in_service import ModelSource, in_service, local_model
from skline.scoring.equality import score_single_row
from skline.scoring.golden_verification import parse_rows, verify_golden_rows
from skline.scoring.load import load_plan_or_pipeline
from skline.scoring.plan import Plan
from skline.scoring.scores import FloatArray, Scores

ScoreRows = Callable[[Sequence[Row]], Scores]


class Model:
    """A packaged model that has reproduced its golden rows; `load` makes it.

    Attributes
    ----------
    artifact : Artifact
        The verified artifact: its manifest, contract, golden rows and model card.
    scoring : Scoring
        Whether a plan or the pipeline scores, how exact the plan is, and why there is none.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._scorer, self.scoring = load_plan_or_pipeline(artifact)
        self._score_rows = _row_scorer(self._scorer, artifact)
        self._request_rows = InputRows(artifact.contract.for_requests())
        self._full_rows = InputRows(artifact.contract)

    def __repr__(self) -> str:
        return f"<Model {self.version}: {self.contract.task}, scored by {describe_scoring(self.scoring)}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the version, the metrics of the test part, and the inputs."""
        return summarize_as_html(self.artifact, self.scoring)

    @property
    def version(self) -> str:
        """The version, as in the responses of the service: project name and first digits of the digest."""
        return self.artifact.version

    @property
    def contract(self) -> Contract:
        """The columns, their rules, and the classes."""
        return self.artifact.contract

    @cached_property
    def pipeline(self) -> Any:
        """The fitted scikit-learn Pipeline, deserialised on first use and verified on the golden rows.

        It takes a DataFrame whose columns have the dtypes of `Column.storage`.
        """
        if not isinstance(self._scorer, Plan):
            return self._scorer
        pipeline = self.artifact.load_pipeline()
        verify_golden_rows(self.artifact, pipeline)
        return pipeline

    def look_up(self, rows: Rows) -> list[dict[str, Value]]:
        """Read rows as a client of the service sends them, and add the inputs that are looked up.

        Parameters
        ----------
        rows
            As in `predict`, without the inputs that are looked up.

        Returns
        -------
        list of dict
            With all inputs; of a model with look-ups each is a `LookedUpRow`, whose `outcomes` say what was found.

        Raises
        ------
        SklineError
            If a row breaks the contract, a store fails, or a row has no values in a look-up without fallback.
        """
        parsed = self._request_rows.read(rows)
        return parsed if self._lookups is None else list(self._lookups.fill_rows(parsed))

    @cached_property
    def _lookups(self) -> Lookups | None:
        return open_patiently(self.contract)

    def _read(self, rows: Rows, lookups: LookupMode) -> list[dict[str, Value]]:
        return self.look_up(rows) if lookups == "now" else self._full_rows.read(rows)

    def predict(self, rows: Rows, lookups: LookupMode = "now") -> pd.DataFrame:
        """Predict for rows: one row as `POST /predict` does, several as `POST /predict/batch`, bit for bit.

        Parameters
        ----------
        rows : DataFrame, Series, Arrow table, dict, or sequence of dict
            A table that has the inputs among its columns, one row of it (a Series), or one row or several as a client
            of the service sends them.
        lookups : {"now", "given"}
            Inputs that clients do not send are looked up now, or `rows` have them, as tables of the pipeline do.

        Returns
        -------
        DataFrame of shape (n_rows, n_outputs)
            `prediction`; for classifiers `probability_<class>` for each class, float64; for regressions with a
            prediction interval `interval_low` and `interval_high`. It has the index of a given DataFrame, and the
            name of a given Series.

        Raises
        ------
        SklineError
            If a row breaks the contract, naming row, field and rule; if the model rejects a row, or its prediction is
            not finite.
        """
        return self._to_frame(self._score(self._read(rows, lookups)), _index_of(rows))

    def predict_proba(self, rows: Rows, lookups: LookupMode = "now") -> FloatArray:
        """Return the probabilities that `predict` returns, as scikit-learn's classifiers do.

        Parameters
        ----------
        rows, lookups
            As in `predict`.

        Returns
        -------
        float64 ndarray of shape (n_rows, n_classes), in the order of `contract.classes`.

        Raises
        ------
        SklineError
            As `predict` does, and if the model has no probabilities: regressions and some classifiers.
        """
        probabilities = self._score(self._read(rows, lookups)).probabilities
        if probabilities is None:
            raise SklineError(f"{self.version} has no probabilities ({self.contract.task}); use predict")
        return probabilities

    def explain(self, rows: Rows, lookups: LookupMode = "now") -> pd.DataFrame:
        """Explain the predictions for rows as `POST /predict?explain=true` does; tens of milliseconds a row.

        Parameters
        ----------
        rows, lookups
            As in `predict`.

        Returns
        -------
        DataFrame of shape (n_rows, 4 + n_inputs)
            `scale` (log-odds, probability or value), `explained_class`, `base_value`, `score`, and
            `contribution_<input>` for each input: `score` is `base_value` plus all contributions. It has the index of a
            given DataFrame, and the name of a given Series.

        Raises
        ------
        SklineError
            As `predict` does, and `NotExplainable` if the model or a row cannot be explained.
        """
        explanations = [self._explainer.explain(row) for row in self._read(rows, lookups)]
        columns: dict[str, list[Any]] = {
            name: [getattr(each, name) for each in explanations]
            for name in ("scale", "explained_class", "base_value", "score")
        }
        columns |= {
            f"contribution_{name}": [each.contributions[name] for each in explanations]
            for name in self.contract.input_names
        }
        return pd.DataFrame(columns, index=_index_of(rows))

    def explain_row(self, row: Mapping[str, Any] | pd.Series, lookups: LookupMode = "now") -> Explanation:
        """Explain the prediction for one row as `explain` does, in the form of the service's response."""
        [parsed] = self._read(row, lookups)
        return self._explainer.explain(parsed)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer.from_artifact(self.artifact, self._score_rows)

    def _score(self, rows: Sequence[Row]) -> Scores:
        """Score validated rows; SklineError where the service responds with a 422."""
        if not rows:
            classes = self.contract.classes
            return Scores(np.array([]), None if classes is None else np.empty((0, len(classes))))
        try:
            scores = self._score_rows(rows)
        except ValueError as error:
            raise SklineError(f"the model cannot score this: {error}") from error
        numbers = scores.predictions if scores.probabilities is None else scores.probabilities
        if np.issubdtype(numbers.dtype, np.number):
            is_finite = np.isfinite(numbers).reshape(len(rows), -1).all(axis=1)
            if not is_finite.all():
                row = int(np.flatnonzero(~is_finite)[0])
                raise SklineError(
                    f"the model has no finite prediction for row {row} (rows are counted from 0); its values are too "
                    "extreme"
                )
        return scores

    def _to_frame(self, scores: Scores, index: pd.Index | None) -> pd.DataFrame:
        columns: dict[str, Any] = {"prediction": scores.predictions}
        half_width = self.artifact.interval_half_width
        if scores.probabilities is not None:
            names = self.contract.class_names or []
            columns |= {f"probability_{name}": scores.probabilities[:, i] for i, name in enumerate(names)}
        elif half_width is not None:
            columns |= {
                "interval_low": scores.predictions - half_width,
                "interval_high": scores.predictions + half_width,
            }
        return pd.DataFrame(columns, index=index)


def load(path: Path | str | None = None, digest: str | None = None) -> Model:
    """Load a packaged model.

    Nothing is deserialised before every byte matches the digest. Imports then find the code of the current project:
    the current folder, or the nearest folder above it that has a dvc.yaml.

    Parameters
    ----------
    path : Path or str, optional
        Folder of the artifact, or a registered version as MLflow names it (models:/NAME/NUMBER, models:/NAME@ALIAS),
        which is fetched from the registry of the current project (skline[train]); by default the model that
        `skline serve` serves in the current project: the release's champion, else `artifact`, which passed its gates.
    digest : str, optional
        Sha256 of its manifest, in hexadecimal; by default read from the file next to the folder, such as
        `artifact.sha256`, and for a registered version from releases/registered.jsonl.

    Raises
    ------
    InvalidArtifact
        A SklineError: the artifact does not match the digest, cannot be loaded, or does not reproduce its golden rows.
    SklineError
        If there is no such registered version, its digest is not on record, or the registry cannot be used.
    """
    here = Path.cwd()
    project = find_project(here) or here
    if path is None and digest is None:
        model = in_service(project)
    elif isinstance(path, str) and path.startswith("models:"):
        model = registered_model(project, path, digest)
    else:
        model = local_model(project / ARTIFACT if path is None else Path(path).absolute(), digest)
    artifact = Artifact.open(model.folder, model.digest)
    import_project_first(project)
    return Model(artifact)


def registered_model(project: Path, uri: str, digest: str | None) -> ModelSource:
    """Fetch a registered version into the project's released artifacts; see `load`."""
    from skline.registry.versions import announce, open_registry, parse_model_uri
    from skline.release.fetching import fetch_version
    from skline.release.registered import parse_digest
    from skline.settings import Settings

    name, number_or_alias = parse_model_uri(uri)
    registry = open_registry(Settings.load(project / PARAMS), project, name)
    announce(registry)
    accepted = None if digest is None else parse_digest(digest)
    version, artifact = fetch_version(registry, number_or_alias, project / REGISTERED, project / RELEASED, accepted)
    return ModelSource(project / RELEASED / artifact.digest, artifact.digest, version.label)


def _index_of(rows: Rows) -> pd.Index | None:
    """Return the index of the predictions for rows: that of a table, and the label of a single row of it."""
    if isinstance(rows, pd.Series):
        rows = rows.to_frame().T
    return rows.index if isinstance(rows, pd.DataFrame) else None


def _row_scorer(loaded: Plan | Any, artifact: Artifact) -> ScoreRows:
    """Return the function with which the service would score these rows if they were one request."""
    if isinstance(loaded, Plan):
        return lambda rows: score_single_row(loaded, rows[0]) if len(rows) == 1 else loaded.score_rows(rows)
    from skline.scoring.pipeline_scorer import pipeline_scorer

    score_rows = pipeline_scorer(loaded, artifact.contract.inputs)
    # The plan of the last step is verified on the first rows.
    score_rows(parse_rows(artifact.contract, artifact.golden.rows))
    return score_rows
