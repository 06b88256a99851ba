"""The artifact: a directory with all that a server needs. Write it, verify it, load it.

Loading a pickle runs any code that its writer put into it. Nothing is deserialised before the manifest's sha256 equals
a digest from outside the directory, and the bytes of every file match the manifest.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from skline.artifact.training_sample import TrainingSample
from skline.artifact.tuning import Tuning
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.files import atomic_folder
from skline.project import how_to_get
from skline.split_rule import PartitionRule

#: Format 1 contained time and commit of the fit, so that no two fits were equal; it is still read.
FORMAT, READABLE_FORMATS = 2, (1, 2)
MANIFEST = "manifest.json"
PIPELINE = "pipeline.joblib"
PLAN = "plan.pickle"
CONTRACT = "contract.json"
PROFILE = "profile.json"
REFERENCE = "reference.parquet"
EVALUATION = "evaluation.json"
BACKGROUND = "background.json"
GOLDEN = "golden.json"
CARD = "model_card.md"
#: The intended use in the model card of a project that states none; the page of the service leaves it out.
USE_NOT_STATED = "Not stated: fill in project.intended_use in params.yaml."
#: The files without which an artifact cannot be served.
REQUIRED = (PIPELINE, CONTRACT, GOLDEN, CARD)


class InvalidArtifact(SklineError):
    """The artifact does not match its digest, or this process cannot load it."""


class Scoring(BaseModel):
    """How the pipeline is scored, as decided when it was fitted.

    `path` is "plan" (the same arithmetic without DataFrames) or "pipeline"; `exactness` is "bits" where every
    prediction equals the pipeline's, "ulp" where it is within 64 units in the last place; `reason` is why there is no
    plan or, in a running process, why it does not use the stored one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Literal["plan", "pipeline"]
    exactness: Literal["bits", "ulp"]
    reason: str | None = None


class MetricDescription(BaseModel):
    """What readers of a metric need to know, from the registry of the evaluation (`skline.evaluation.metrics`).

    `better` is None for a metric that models are not compared by; `of_classes` says that it depends on the threshold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    better: Literal["higher", "lower"] | None
    meaning: str
    of_classes: bool


class Manifest(BaseModel):
    """The files of the artifact with their sha256, and all that determined the model: equal inputs give equal bytes.

    `partition` says which rows the model was fitted on, and `sample` if these are not all rows of the training part;
    `engine` is the digest of the engine's code that fitted it, as
    engine.json records it. Both are None in artifacts of versions that did not store them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    name: str
    title: str
    task: str
    files: dict[str, str]
    contract_sha256: str
    params_sha256: str
    data_sha256: dict[str, str]
    registered_model: str
    engine: str | None = None
    libraries: dict[str, str]
    metrics: dict[str, Any]
    metric_descriptions: dict[str, MetricDescription] = {}
    scoring: Scoring
    tuning: Tuning | None = None
    partition: PartitionRule | None = None
    sample: TrainingSample | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_facts_of_the_run(cls, value: Any) -> Any:
        """Leave out what only format 1 contains."""
        if isinstance(value, dict) and value.get("format") == 1:
            return {key: item for key, item in value.items() if key not in ("created_at", "git_commit", "git_dirty")}
        return value

    @field_validator("files")
    @classmethod
    def _are_names(cls, files: dict[str, str]) -> dict[str, str]:
        """Reject paths: a copy of the artifact would be written to them."""
        for name in files:
            if name in ("", ".", "..", MANIFEST) or "/" in name or "\\" in name or "\0" in name:
                raise ValueError(f"{name!r} is not the name of a file in the artifact")
        return files


class ExpectedPredictions(BaseModel):
    """Predictions, and a classifier's probabilities, row by row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictions: list[Any]
    probabilities: list[list[float]] | None


class GoldenRows(ExpectedPredictions):
    """Rows with the predictions that they must get when they are scored as one batch.

    `alone` are the predictions for each row scored by itself, where the pipeline then gives other last bits.
    """

    rows: list[dict[str, Any]]
    alone: ExpectedPredictions | None = None

    @property
    def exactness(self) -> Literal["bits", "ulp"]:
        """How equal predictions must be: to the last bit, or within a few units in the last place."""
        return "bits" if self.alone is None else "ulp"


@dataclass(frozen=True)
class Artifact:
    """A verified artifact; `load_pipeline` deserialises the pipeline on demand.

    `content` is the verified bytes of its files by name: the directory is not read again. `written_at` is when its
    manifest was written to this disk, in seconds since 1970: its age here, since equal inputs give equal bytes.
    """

    digest: str
    manifest: Manifest
    contract: Contract
    golden: GoldenRows
    card: str
    content: Mapping[str, bytes]
    written_at: float

    @property
    def version(self) -> str:
        """The name of the model version: project name and the first digits of the artifact's digest."""
        return f"{self.manifest.name}@{self.digest[:12]}"

    @property
    def plan_bytes(self) -> bytes | None:
        """The stored plan; None where the pipeline has no plan."""
        return self.content.get(PLAN)

    @property
    def profile(self) -> dict[str, Any]:
        """The data profile (`skline.artifact.data_profile`); empty if the artifact has none."""
        return json.loads(self.content[PROFILE]) if PROFILE in self.content else {}

    @property
    def evaluation(self) -> dict[str, Any]:
        """Results on the test part (`skline.artifact.evaluation`); empty if the artifact has none."""
        return json.loads(self.content[EVALUATION]) if EVALUATION in self.content else {}

    @property
    def background(self) -> list[dict[str, Any]]:
        """Training rows, as JSON, that explanations compare a prediction with. Empty if there are none."""
        return json.loads(self.content[BACKGROUND]) if BACKGROUND in self.content else []

    @property
    def interval_half_width(self) -> float | None:
        """Half of the width of the prediction intervals; None for classifiers, or if no interval was tuned."""
        tuning = self.manifest.tuning
        return tuning.interval.half_width if tuning is not None and tuning.interval is not None else None

    def load_pipeline(self) -> Any:
        """Deserialise the fitted pipeline from the verified bytes.

        Raises
        ------
        InvalidArtifact
            If this code or the installed libraries cannot read it.
        """
        import joblib

        try:
            return joblib.load(io.BytesIO(self.content[PIPELINE]))
        except Exception as error:
            manifest = self.manifest
            is_missing_code = isinstance(error, ImportError | AttributeError)
            problem = "refers to code that does not exist here" if is_missing_code else "cannot be read here"
            libraries = ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())
            raise InvalidArtifact(
                f"the artifact {self.version} cannot be loaded: its {PIPELINE} {problem} "
                f"({type(error).__name__}: {error}). It was made with {libraries}. Retrain with `dvc repro`, or serve "
                "the artifact with the code and libraries that it was made with (MLflow names the commit)"
            ) from error

    @classmethod
    def open(cls, folder: Path, digest: str) -> Self:
        """Read an artifact and verify every byte of it; each file is read once.

        Parameters
        ----------
        folder : Path
        digest : str
            Sha256 of the manifest, in hexadecimal, from outside of `folder`.

        Raises
        ------
        InvalidArtifact
            If a file is missing, unlisted or changed, or the format is unknown to this version.
        """
        content = {MANIFEST: _read(folder, MANIFEST)}
        actual = hashlib.sha256(content[MANIFEST]).hexdigest()
        if actual != digest:
            raise InvalidArtifact(
                f"{folder / MANIFEST} has sha256 {actual}, expected {digest}; it was changed, or is another artifact's"
            )
        try:
            manifest = Manifest.model_validate_json(content[MANIFEST])
        except ValidationError as error:
            raise InvalidArtifact(
                f"{folder / MANIFEST} is of a format unknown to this version; package the artifact again with "
                f"`dvc repro`: {error}"
            ) from error
        if manifest.format not in READABLE_FORMATS:
            raise InvalidArtifact(
                f"{folder / MANIFEST} has format {manifest.format}, this version reads {READABLE_FORMATS}; package the "
                "artifact again with `dvc repro`"
            )
        unlisted = {path.name for path in folder.iterdir()} - manifest.files.keys() - {MANIFEST}
        if unlisted:
            raise InvalidArtifact(f"{folder} holds {sorted(unlisted)}, which its manifest does not list")
        if missing := [name for name in REQUIRED if name not in manifest.files]:
            raise InvalidArtifact(f"{folder / MANIFEST} does not list {', '.join(missing)}, which every artifact has")
        for name, expected in manifest.files.items():
            content[name] = _read(folder, name)
            if hashlib.sha256(content[name]).hexdigest() != expected:
                raise InvalidArtifact(
                    f"{folder / name} does not have the sha256 of the manifest; it was changed or truncated"
                )
        try:
            return cls(
                digest=digest,
                manifest=manifest,
                contract=Contract.from_json(content[CONTRACT]),
                golden=GoldenRows.model_validate_json(content[GOLDEN]),
                card=content[CARD].decode(),
                content=content,
                written_at=_written_at(folder),
            )
        except ValueError as error:  # pydantic's and those of an encoding
            raise InvalidArtifact(
                f"{folder} holds a file that this version cannot read; package the artifact again with `dvc repro`: "
                f"{error}"
            ) from error


def write(folder: Path, files: Mapping[str, bytes | Callable[[Path], object]], metadata: Mapping[str, Any]) -> str:
    """Write an artifact next to `folder`, then move it there.

    Parameters
    ----------
    folder : Path
        Destination; an existing artifact is replaced as a whole.
    files : mapping from file name to its bytes, or to a function that writes it to a path
    metadata : mapping
        The manifest without `format` and `files`.

    Returns
    -------
    The digest: sha256 of the manifest, in hexadecimal. Store it outside of `folder`.
    """
    with atomic_folder(folder) as new:
        for name, content in files.items():
            if callable(content):
                content(new / name)
            else:
                (new / name).write_bytes(content)
        hashes = {name: hashlib.sha256((new / name).read_bytes()).hexdigest() for name in sorted(files)}
        manifest = Manifest(format=FORMAT, files=hashes, **metadata).model_dump_json(indent=2) + "\n"
        (new / MANIFEST).write_text(manifest, encoding="utf-8", newline="\n")
    return hashlib.sha256(manifest.encode()).hexdigest()


def copy(artifact: Artifact, folder: Path) -> None:
    """Write the verified bytes of an artifact to another folder; an artifact there is replaced as a whole."""
    with atomic_folder(folder) as new:
        for name, content in artifact.content.items():
            (new / name).write_bytes(content)


def read_digest(path: Path) -> str:
    """Read a digest from a file; InvalidArtifact if it is missing or holds none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise InvalidArtifact(
            f"there is no {path}; run `dvc repro` in the root of the project to package an artifact, or pass its digest"
        ) from None
    except UnicodeDecodeError:
        text = ""
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise InvalidArtifact(f"{path} holds no sha256; run `dvc repro` to package an artifact, or pass its digest")
    return text


def _written_at(folder: Path) -> float:
    """Return when the manifest was written, in seconds since 1970."""
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError as error:
        raise InvalidArtifact(
            f"{folder / MANIFEST} cannot be read ({error.strerror}); it was replaced meanwhile"
        ) from None


def _read(folder: Path, name: str) -> bytes:
    """Return the bytes of one file of the artifact."""
    path = folder / name
    try:
        if path.exists() and not path.is_file():
            raise InvalidArtifact(f"{path} is no regular file; run `dvc repro` to package an artifact")
        return path.read_bytes()
    except OSError as error:
        raise InvalidArtifact(
            f"{path} cannot be read ({error.strerror}); {how_to_get(path, 'to package an artifact')}"
        ) from None
