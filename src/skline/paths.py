"""Where each stage finds and leaves its files, relative to the project's root (DVC runs stages there)."""

from pathlib import Path

PARAMS = Path("params.yaml")
DVC_LOCK = Path("dvc.lock")

#: The derived contract: later stages and the artifact read it, and need no pandera.
CONTRACT = Path("data/contract.json")
RAW = Path("data/raw/table.parquet")
UNPARSED = Path("data/raw/unparsed.parquet")
VALIDATED = Path("data/validated/table.parquet")
QUARANTINE = Path("data/validated/quarantine.parquet")
UNLABELLED = Path("data/validated/unlabelled.parquet")
SPLIT = Path("data/split")
MODEL = Path("models/pipeline.joblib")
#: What `train.search` tried and chose; without a search, that there was none.
SEARCH = Path("models/search.json")
#: Rows with the answers that the freshly fitted pipeline gave them.
GOLDEN = Path("models/golden.json")
#: How the pipeline is to be scored: the choice, and the plan if there is one.
SCORING = Path("models/scoring")
CHOICE = SCORING / "choice.json"
PLAN = SCORING / "plan.pickle"
#: What was set on the validation part: calibration, threshold, interval.
TUNING = Path("models/tuning.json")
#: When, from what code and with what libraries the pipeline was fitted.
ORIGIN = Path("models/origin.json")

REPORTS = Path("reports")
LINEAGE = REPORTS / "lineage.json"
VALIDATION = REPORTS / "validation.json"
SPLIT_REPORT = REPORTS / "split.json"
METRICS = REPORTS / "metrics.json"
EVALUATION = REPORTS / "evaluation.json"
PLOTS = REPORTS / "plots"
VERDICT = REPORTS / "verdict.json"
REPORT = REPORTS / "report.html"
#: Digest of the artifact that the gates let through; there is none while they do not.
ADMITTED = REPORTS / "admitted.sha256"

ARTIFACT = Path("artifact")
#: The artifact's digest, kept outside of it: what a server must be told before it may load the pipeline.
ARTIFACT_DIGEST = Path("artifact.sha256")

#: What is served: the release manifest, the journal of releases, and the released artifacts by digest.
RELEASES = Path("releases")
RELEASE = RELEASES / "release.json"
JOURNAL = RELEASES / "journal.jsonl"
RELEASED = RELEASES / "artifacts"


def part(name: str) -> Path:
    """Path of one part of the split: train, validation, test or live."""
    return SPLIT / f"{name}.parquet"
