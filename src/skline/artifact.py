"""The artifact: a directory that is all a server needs. Write it, verify it, load it.

Loading a pickle runs whatever code its writer put in, so nothing is deserialised before the manifest's
sha256 equals a digest that came from outside the directory, and each file's bytes equal the manifest.
"""

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.files import sync
from skline.tuning.record import Tuning

FORMAT = 1
MANIFEST = "manifest.json"
PIPELINE = "pipeline.joblib"
PLAN = "plan.pickle"
CONTRACT = "contract.json"
PROFILE = "profile.json"
REFERENCE = "reference.parquet"
BACKGROUND = "background.json"
GOLDEN = "golden.json"
CARD = "model_card.md"


class ArtifactRefused(SklineError):
    """The artifact is not what the digest promises, or this process cannot load it."""


class Scoring(BaseModel):
    """How the pipeline is scored, decided when it was packaged.

    `path` is "plan" (the same arithmetic without DataFrames) or "pipeline"; `exactness` is "bits" where every answer
    equals the pipeline's, "ulp" where it is within 4 units in the last place; `reason` says why there is no plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Literal["plan", "pipeline"]
    exactness: Literal["bits", "ulp"]
    reason: str | None = None


class Manifest(BaseModel):
    """What is in the artifact, and where it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    name: str
    title: str
    task: str
    created_at: str
    files: dict[str, str]
    contract_sha256: str
    params_sha256: str
    data_sha256: dict[str, str]
    git_commit: str | None
    git_dirty: bool | None
    registered_model: str
    libraries: dict[str, str]
    metrics: dict[str, Any]
    scoring: Scoring
    tuning: Tuning | None = None


class Answers(BaseModel):
    """Predictions, and a classifier's probabilities, row by row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictions: list[Any]
    probabilities: list[list[float]] | None


class Golden(Answers):
    """Rows with the answers they must get, to the last bit, when they are asked together.

    `alone` are the answers to each row asked by itself, where the pipeline gives it other last bits then.
    """

    rows: list[dict[str, Any]]
    alone: Answers | None = None


@dataclass(frozen=True)
class Artifact:
    """A verified artifact; the pipeline is deserialised by `load_pipeline`, when it is wanted.

    `content` are its files by name, as they were verified: the directory is not read again.
    """

    digest: str
    manifest: Manifest
    contract: Contract
    golden: Golden
    card: str
    content: Mapping[str, bytes]

    @property
    def version(self) -> str:
        """A name for the model that answers: the project's, and the start of the artifact's digest."""
        return f"{self.manifest.name}@{self.digest[:12]}"

    @property
    def plan_bytes(self) -> bytes | None:
        """The stored plan; None where the pipeline could not be planned."""
        return self.content.get(PLAN)

    @property
    def profile(self) -> dict[str, Any]:
        """What the training data looked like: see `skline.profile`. Empty if the artifact does not say."""
        return json.loads(self.content[PROFILE]) if PROFILE in self.content else {}

    @property
    def background(self) -> list[dict[str, Any]]:
        """Training rows, as JSON, that a prediction is compared with to explain it. Empty if there are none."""
        return json.loads(self.content[BACKGROUND]) if BACKGROUND in self.content else []

    def load_pipeline(self) -> Any:
        """Deserialise the fitted pipeline out of the verified bytes.

        Raises
        ------
        ArtifactRefused
            If the installed libraries cannot read it.
        """
        import joblib

        try:
            return joblib.load(io.BytesIO(self.content[PIPELINE]))
        except Exception as error:
            made_with = ", ".join(f"{name} {version}" for name, version in self.manifest.libraries.items())
            raise ArtifactRefused(
                f"{PIPELINE} cannot be read here: {type(error).__name__}: {error}; it was made with {made_with}"
            ) from error

    @classmethod
    def open(cls, folder: Path, digest: str) -> Self:
        """Read an artifact and verify every byte of it, each file being read once.

        Parameters
        ----------
        folder : Path
        digest : str
            Sha256 of the manifest, in hexadecimal, from a place outside of `folder`.

        Raises
        ------
        ArtifactRefused
            If a file is missing, unlisted, changed, or of a format this version does not know.
        """
        content = {MANIFEST: _read(folder, MANIFEST)}
        found = hashlib.sha256(content[MANIFEST]).hexdigest()
        if found != digest:
            raise ArtifactRefused(
                f"{folder / MANIFEST} has sha256 {found}, expected {digest}; it was changed, or is another artifact's"
            )
        try:
            manifest = Manifest.model_validate_json(content[MANIFEST])
        except ValidationError as error:
            raise ArtifactRefused(f"{folder / MANIFEST} is of a format this version does not know: {error}") from error
        if manifest.format != FORMAT:
            raise ArtifactRefused(f"{folder / MANIFEST} has format {manifest.format}, this version knows {FORMAT}")
        unlisted = {path.name for path in folder.iterdir()} - manifest.files.keys() - {MANIFEST}
        if unlisted:
            raise ArtifactRefused(f"{folder} holds {sorted(unlisted)}, which its manifest does not list")
        for name, expected in manifest.files.items():
            content[name] = _read(folder, name)
            if hashlib.sha256(content[name]).hexdigest() != expected:
                raise ArtifactRefused(
                    f"{folder / name} does not have the sha256 of the manifest; it was changed or cut off"
                )
        return cls(
            digest=digest,
            manifest=manifest,
            contract=Contract.from_json(content[CONTRACT]),
            golden=Golden.model_validate_json(content[GOLDEN]),
            card=content[CARD].decode(),
            content=content,
        )


def write(folder: Path, files: Mapping[str, bytes | Callable[[Path], object]], facts: Mapping[str, Any]) -> str:
    """Write an artifact beside `folder`, then put it in its place.

    Parameters
    ----------
    folder : Path
        Where it goes; an artifact that is there is replaced, whole.
    files : mapping from file name to its bytes, or to a function that writes it to a path
    facts : mapping
        The manifest but for `format` and `files`.

    Returns
    -------
    The digest: sha256 of the manifest, in hexadecimal. Keep it outside of `folder`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, content in files.items():
            if callable(content):
                content(new / name)
            else:
                (new / name).write_bytes(content)
        hashes = {name: hashlib.sha256((new / name).read_bytes()).hexdigest() for name in sorted(files)}
        manifest = Manifest(format=FORMAT, files=hashes, **facts).model_dump_json(indent=2) + "\n"
        (new / MANIFEST).write_text(manifest, encoding="utf-8")
        for path in new.iterdir():
            path.chmod(0o644)
            sync(path)
        new.chmod(0o755)
        sync(new)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return hashlib.sha256(manifest.encode()).hexdigest()


def read_digest(path: Path) -> str:
    """Read a digest that was kept in a file; ArtifactRefused if there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        text = ""
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ArtifactRefused(f"{path} holds no sha256; run `dvc repro` to package an artifact, or give its digest")
    return text


def _read(folder: Path, name: str) -> bytes:
    """Read one file of the artifact."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ArtifactRefused(
            f"{folder / name} cannot be read ({error.strerror}); run `dvc repro` to package an artifact"
        ) from None
