"""The versions of a simulated replay: fitted, tuned, evaluated and assessed by the functions of the stages, in memory.

What a stage writes to disk stays in memory, and MLflow and DVC have no part. The gates of latency, size and memory take
no costs: they are about the machine, and all versions of a replay have the same pipeline.
"""

import datetime as dt
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from skline import artifact as artifacts
from skline.artifact import Artifact, GoldenRows, Manifest, Scoring
from skline.artifact.data_profile import profile
from skline.artifact.evaluation import select_results
from skline.artifact.tuning import Tuning
from skline.contract.spec import Contract
from skline.evaluation import gates
from skline.evaluation.champion import Comparison, compare_with_champion
from skline.evaluation.frame_scorers import ScoreFrame, fitted_scorer
from skline.evaluation.runtime_costs import Costs
from skline.files import sha256_json
from skline.monitoring.reference import TrainingReference
from skline.partition import FITTED_PARTS, PARTS, assign_parts, is_part
from skline.release.verdict import Verdict
from skline.retraining.replay.stream import Flags, Positions, Stream
from skline.retraining.served import Served
from skline.row_weights import WEIGHT
from skline.settings import Settings
from skline.settings.evaluation import Evaluate
from skline.stages.evaluate import evaluate
from skline.stages.package import sample_rows
from skline.stages.split import split
from skline.stages.train import train
from skline.tuning.tune import remove_tuning, threshold_of, tune

Build = Callable[[Contract], Pipeline]
NO_COSTS = Costs(latency_ms=0.0, latency_low_ms=0.0, latency_high_ms=0.0, artifact_mb=0.0, memory_mb=0.0)


@dataclass(frozen=True)
class Project:
    """What trains: the settings of the project, and its pipeline.

    Attributes
    ----------
    settings : Settings
    build : function from Contract to unfitted Pipeline
    """

    settings: Settings
    build: Build

    @property
    def evaluate(self) -> Evaluate:
        """The settings of the evaluation, without the parts that no gate and no decision uses."""
        unused = {"leak_rows": 0, "seeds": 0, "learning_curve": False}
        if self.settings.retrain.drift is None:
            unused["importance_rows"] = 0
        return self.settings.evaluate.model_copy(update=unused)


@dataclass(frozen=True)
class Version:
    """A model of the replay.

    Attributes
    ----------
    number : int
        1 is the model that serves at the start.
    artifact : Artifact
        In memory, with all that monitoring compares with; it has no pipeline.
    pipeline : Pipeline
        Fitted and tuned.
    fitted : bool array, shape (n,)
        Which rows of the stream it was fitted or tuned on.
    used : int array, shape (n_used,)
        Rows of the stream that its training had, in any part.
    rows : int
        Rows that the action was computed from.
    metrics, details : dict
        Results on the test part, as the stage evaluate writes them.
    """

    number: int
    artifact: Artifact
    pipeline: Pipeline
    fitted: Flags
    used: Positions
    rows: int
    metrics: dict[str, Any] = field(repr=False)
    details: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The number of the version, as the registry would have it."""
        return str(self.number)

    @property
    def digest(self) -> str:
        """The digest, which is equal for equal trainings."""
        return self.artifact.digest

    @property
    def threshold(self) -> float:
        """The probability from which the second class is predicted."""
        return threshold_of(self.pipeline)

    def as_served(self, since: dt.datetime) -> Served:
        """Return the version as one that serves since a moment."""
        name = self.details["metric"]
        return Served(since, self.digest, name, TrainingReference.of(self.artifact).metric_estimate(name))

    @cached_property
    def score(self) -> ScoreFrame:
        """The function that scores rows as the service does; its plan is built once."""
        return fitted_scorer(self.pipeline, self.artifact.contract)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the function `score` when the version goes to another process, which makes its own."""
        return {name: value for name, value in vars(self).items() if name != "score"}


def fit_version(
    project: Project, stream: Stream, chosen: Positions, number: int, champion: Version | None = None
) -> Version:  # fmt: skip
    """Train on some rows of the stream, as `retrain.action` says.

    Parameters
    ----------
    project : Project
    stream : Stream
    chosen : int array, shape (n_chosen,)
        The rows of the table, which are divided by the settings of `split`.
    number : int
    champion : Version, optional
        Whose fit a recalibration keeps; without one the pipeline is fitted.

    Raises
    ------
    SklineError
        If a part is empty or lacks a class, the pipeline cannot be fitted, or a metric has no value on the test part.
    """
    settings, contract = project.settings, stream.contract
    rule = settings.split.model_copy(update={"live_from": None})
    rows = stream.rows.iloc[chosen].reset_index(drop=True)
    numbers = assign_parts(rows, contract, rule)
    parts = split(rows, contract, rule, settings.train.weights, settings.source.window)
    kept = champion if settings.retrain.action == "recalibrate" else None
    uses = FITTED_PARTS if kept is None else ("validation",)
    pipeline, tuning = _fit_and_tune(project, contract, parts, kept)
    result = evaluate(
        pipeline, parts["train"], parts["test"], contract, project.evaluate, seed=settings.train.seed, tuning=tuning
    )
    is_fitted = np.zeros(len(stream.rows), dtype=bool)
    is_fitted[chosen[is_part(numbers, *uses)]] = True
    if kept is not None:
        is_fitted |= kept.fitted
    identity = {
        "rows": {name: _digest(chosen[numbers == PARTS.index(name)]) for name in uses},
        "kept": None if kept is None else kept.digest,
        "train": settings.train.model_dump(mode="json"),
    }
    reference = pa.Table.from_pandas(parts["train"][contract.input_names], preserve_index=False)
    held = memory_artifact(settings, contract, sha256_json(identity), reference, result.metrics, result.details, tuning)
    return Version(
        number=number, artifact=held, pipeline=pipeline, fitted=is_fitted, used=chosen,
        rows=int(is_part(numbers, "train" if kept is None else "validation").sum()),
        metrics=result.metrics, details=result.details,
    )  # fmt: skip


def _fit_and_tune(
    project: Project, contract: Contract, parts: Mapping[str, pd.DataFrame], kept: Version | None
) -> tuple[Pipeline, Tuning]:
    """Fit the pipeline, or take the fit of the version `kept`, and tune it as the stage tune does."""
    settings = project.settings.train
    if kept is None:
        rows = parts["train"]
        fitted = train(rows, contract, project.build, settings.params, settings.seed, _weights(rows))
    else:
        fitted = remove_tuning(kept.pipeline)
    return tune(
        fitted,
        parts["validation"],
        contract,
        method=settings.calibrate,
        threshold=settings.threshold,
        level=settings.interval,
        seed=settings.seed,
        weights=_weights(parts["validation"]),
    )


def memory_artifact(
    settings: Settings,
    contract: Contract,
    digest: str,
    train: pa.Table,
    metrics: dict[str, Any],
    details: dict[str, Any],
    tuning: Tuning,
) -> Artifact:
    """Return an artifact that was never written, with what monitoring reads of one; it has no pipeline."""
    reference = io.BytesIO()
    pq.write_table(sample_rows(train, settings.package.reference_rows, settings.train.seed), reference)
    manifest = Manifest(
        format=artifacts.FORMAT, name=settings.project.name, title=settings.project.title, task=contract.task, files={},
        contract_sha256=contract.digest(), params_sha256="", data_sha256={}, registered_model=settings.project.name,
        libraries={}, metrics=metrics, scoring=Scoring(path="plan", exactness="bits"), tuning=tuning,
    )  # fmt: skip
    content = {
        artifacts.PROFILE: json.dumps(profile(train, contract)).encode(),
        artifacts.EVALUATION: json.dumps(select_results(metrics, details)).encode(),
        artifacts.REFERENCE: reference.getvalue(),
    }
    golden = GoldenRows(predictions=[], probabilities=None, rows=[])
    return Artifact(digest, manifest, contract, golden, "", content, written_at=0.0)


def assess_version(project: Project, stream: Stream, version: Version, champion: Version) -> Verdict:
    """Check a version against the gates, as the stage assess does; the champion is compared on rows new to it.

    Parameters
    ----------
    project : Project
    stream : Stream
    version : Version
    champion : Version
        The one in service.
    """
    settings, limits, contract = project.settings, project.settings.gates, stream.contract
    metric = version.details["metric"]
    if version.digest == champion.digest:
        comparison = Comparison(champion.name, champion.digest)
    else:
        rule = settings.split.model_copy(update={"live_from": None})
        is_test = is_part(assign_parts(stream.rows.iloc[version.used], contract, rule), "test")
        chosen = version.used[is_test & ~champion.fitted[version.used]]
        if len(chosen) < limits.min_rows:
            few = f"only {len(chosen):,} test rows; gates.min_rows is {limits.min_rows}"
            comparison = Comparison(champion.name, champion.digest, obstacle=few)
        else:
            rows = stream.rows.iloc[chosen].reset_index(drop=True)
            frame = rows[contract.input_names]
            difference, values, n_segments, worse = compare_with_champion(
                rows,
                version.score(frame),
                champion.score(frame),
                contract,
                (version.threshold, champion.threshold),
                metric,
                project.evaluate,
                limits,
                settings.train.seed,
            )
            comparison = Comparison(champion.name, champion.digest, difference, values, n_segments, worse)
    return Verdict(
        artifact_sha256=version.digest,
        champion_sha256=champion.digest,
        champion_version=champion.name,
        improved=gates.is_improved(comparison, version.digest),
        gates=gates.evaluate_gates(limits, version.metrics, version.details, comparison, NO_COSTS, version.digest),
    )


def _weights(part: pd.DataFrame) -> npt.NDArray[np.float64] | None:
    """Return the weights of the rows of a part; None if `train.weights` sets none."""
    return part[WEIGHT].to_numpy() if WEIGHT in part else None


def _digest(positions: Positions) -> str:
    return hashlib.sha256(np.ascontiguousarray(positions, dtype=np.int64).tobytes()).hexdigest()
