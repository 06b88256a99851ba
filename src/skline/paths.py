"""Paths of the files of the stages, relative to the project's root, where DVC runs the stages."""

from pathlib import Path

PYPROJECT = Path("pyproject.toml")
PARAMS = Path("params.yaml")
#: JSON Schema of params.yaml, for editors; `skline sync` writes it.
PARAMS_SCHEMA = Path("schemas/params.schema.json")
DVC_LOCK = Path("dvc.lock")
#: The folder of the project's package `model`.
SOURCE = Path("src")
#: The engine that makes the results; `skline sync` writes it, and dvc.yaml tracks it.
ENGINE = Path("engine.json")

#: The labelled predictions that `skline retrain` took from the log; the stage ingest appends them to the table.
FEEDBACK = Path("data/source/feedback")
#: The snapshots of a source that is read in parts (`source.mode: append`).
SNAPSHOTS = Path("data/source/snapshots")
#: The derived contract; later stages and the artifact read it instead of importing pandera.
CONTRACT = Path("data/contract.json")
RAW = Path("data/raw/table.parquet")
UNPARSED = Path("data/raw/unparsed.parquet")
VALIDATED = Path("data/validated/table.parquet")
QUARANTINE = Path("data/validated/quarantine.parquet")
UNLABELLED = Path("data/validated/unlabelled.parquet")
SPLIT = Path("data/split")
#: The pipeline as it was fitted, and rows with its predictions; the stage tune makes the model of it.
FITTED = Path("models/fitted.joblib")
FITTED_ROWS = Path("models/fitted.json")
MODEL = Path("models/pipeline.joblib")
#: The configurations that `train.search` tried and the one it chose; empty without a search.
SEARCH = Path("models/search.json")
#: Rows with the predictions of the tuned pipeline.
GOLDEN = Path("models/golden.json")
#: How the pipeline is scored: the choice, and the plan if there is one.
SCORING = Path("models/scoring")
CHOICE = SCORING / "choice.json"
PLAN = SCORING / "plan.pickle"
#: Calibration, threshold and interval, set on the validation part.
TUNING = Path("models/tuning.json")
#: What fitted the pipeline: the engine's code and the libraries.
ORIGIN = Path("models/origin.json")

REPORTS = Path("reports")
LINEAGE = REPORTS / "lineage.json"
VALIDATION = REPORTS / "validation.json"
SPLIT_REPORT = REPORTS / "split.json"
METRICS = REPORTS / "metrics.json"
#: The few of them that `dvc metrics` shows.
SUMMARY = REPORTS / "summary.json"
EVALUATION = REPORTS / "evaluation.json"
PLOTS = REPORTS / "plots"
VERDICT = REPORTS / "verdict.json"
REPORT = REPORTS / "report.html"
#: Results of `skline monitor`, a folder for each window.
MONITOR = REPORTS / "monitor"
#: Page and state of the newest window, which the service shows.
MONITOR_PAGE = MONITOR / "report.html"
MONITOR_STATE = MONITOR / "skline_monitor.prom"
#: What the candidate costs on this machine; neither git nor DVC tracks it, because no two measurements are equal.
COSTS = REPORTS / "costs.json"

#: What `package` writes; nothing serves it by default.
CANDIDATE = Path("models/candidate")
CANDIDATE_DIGEST = Path("models/candidate.sha256")
#: The digest of the artifact that `register` recorded last in this clone.
REGISTERED_DIGEST = Path("models/registered.sha256")
#: The last candidate that passed the gates; it stays while a later one fails.
ARTIFACT = Path("artifact")
#: The artifact's digest, stored outside of it: a server needs it before it loads the pipeline.
ARTIFACT_DIGEST = Path("artifact.sha256")

#: The release manifest, the journal of releases, the looks of A/B tests, and the released artifacts by digest; and the
#: record of registered versions, which git tracks.
RELEASES = Path("releases")
RELEASE = RELEASES / "release.json"
JOURNAL = RELEASES / "journal.jsonl"
LOOKS = RELEASES / "looks.jsonl"
RELEASED = RELEASES / "artifacts"
REGISTERED = RELEASES / "registered.jsonl"

#: The clock of a replay, seen from the project that it runs in: `skline replay` makes both in a folder of its own.
REPLAY_CLOCK = Path("../clock")


def part(name: str) -> Path:
    """Return the path of one part of the split: train, validation, test or live."""
    return SPLIT / f"{name}.parquet"
