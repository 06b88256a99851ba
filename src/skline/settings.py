"""params.yaml, typed and closed: every key is known, has a default where one is sensible, and is checked.

A key that a newer template knows and an older params.yaml does not is simply at its default.
"""

import datetime as dt
import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from skline import paths
from skline.errors import SklineError
from skline.section import Section, Share
from skline.settings_evaluation import Evaluate, Gates
from skline.settings_source import Source
from skline.settings_threshold import NUMBER, OBJECTIVE, Wanted


class Project(Section):
    """What this project is called."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)] = Field(
        default="model", description="Name of the image, the MLflow experiment and the registered model"
    )
    title: str = Field(default="", description="Title of the API and the model card")
    intended_use: str = Field(default="", description="One or two sentences for the model card")


class Validate(Section):
    """How much bad data is too much."""

    max_quarantined: Share = Field(default=0.01, description="Share of labelled rows that may break the contract")


class Split(Section):
    """Which rows the model is fitted on, chosen on, judged on, and which are kept for replay."""

    kind: Literal["random", "group", "time"] = "random"
    seed: int = 17
    validation: Share = Field(default=0.15, description="Share of rows (random) or groups (group)")
    test: Share = 0.2
    live: Share = Field(default=0.0, description="Kept away from training and evaluation, for replay")
    validation_from: dt.datetime | dt.date | None = Field(default=None, description="Cut dates of a time split")
    test_from: dt.datetime | dt.date | None = None
    live_from: dt.datetime | dt.date | None = None

    @model_validator(mode="after")
    def _cuts_fit_kind(self) -> Self:
        cuts = [self.validation_from, self.test_from, self.live_from]
        if self.kind == "time":
            if self.validation_from is None or self.test_from is None:
                raise ValueError("a time split needs validation_from and test_from")
            given = [str(cut) for cut in cuts if cut is not None]
            if given != sorted(set(given)):
                raise ValueError(f"cut dates must rise: {', '.join(given)}")
        elif any(cut is not None for cut in cuts):
            raise ValueError(f"cut dates belong to kind: time, not to kind: {self.kind}")
        elif self.validation + self.test + self.live >= 1:
            raise ValueError("validation + test + live must leave rows to train on")
        return self


class Range(Section):
    """Numbers from `low` to `high`: whole ones if both are; `log` draws every order of magnitude as often."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log: true, low must be above 0, got {self.low}")
        return self


class Search(Section):
    """A search for better parameters, on folds of the training part."""

    candidates: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="Configurations to try, the default one among them; 0 searches nothing"
    )
    folds: Annotated[int, Field(ge=2, le=20)] = Field(default=3, description="Times each configuration is fitted")
    seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Start no further candidate after these seconds; the result then depends on the machine",
    )
    metric: str | None = Field(
        default=None, description="A scorer of scikit-learn; by default log loss (classes) or RMSE (numbers)"
    )
    space: dict[str, Annotated[list[Any], Field(min_length=1)] | Range] = Field(
        default_factory=dict,
        description="step__parameter: [values] or {low, high, log}; by default what suits the estimator",
    )


class Train(Section):
    """What the pipeline is fitted with."""

    seed: int = 17
    params: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of the Pipeline, as step__parameter: value"
    )
    search: Search = Search()
    calibrate: Literal["auto", "off", "sigmoid", "isotonic"] = Field(
        default="auto", description="Whether a classifier's probabilities are calibrated on the validation part"
    )
    threshold: Wanted = Field(
        default=0.5,
        description="Probability from which a binary model says yes, in /predict too; or an objective: see Objective",
    )
    interval: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.9, description="Share of true values that a regressor's prediction intervals are to hold"
    )
    golden_rows: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="Validation rows whose answers are kept, to prove the model after every load"
    )


class Package(Section):
    """What travels in the artifact beside the pipeline."""

    reference_rows: Annotated[int, Field(ge=1)] = 5_000
    background_rows: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Training rows that an explained prediction is compared with"
    )


class Register(Section):
    """Where results are recorded; MLFLOW_TRACKING_URI overrides `tracking_uri`."""

    tracking_uri: str = "sqlite:///mlflow.db"
    timeout: Annotated[float, Field(gt=0)] = Field(default=10, description="Seconds to wait for a tracking server")


class Guards(Section):
    """When a canary is taken back by itself: its share, less the champion's, is beyond a limit, and surely so."""

    min_rows: Annotated[int, Field(ge=20)] = Field(default=200, description="Rows of the challenger between two looks")
    errors: Share = Field(default=0.02, description="Rows that it could not answer")
    fallbacks: Share = Field(default=0.05, description="Rows that another answered for it, for whatever reason")
    slow: Share = Field(default=0.05, description="Rows that it took longer than slow_ms for")
    slow_ms: Annotated[float, Field(gt=0)] = 50
    score_shift: Share = Field(default=0.2, description="Distance between the scores' distribution functions")


class Release(Section):
    """How a model gets in front of users."""

    approval: Literal["optional", "required"] = Field(
        default="optional", description="required: `skline promote` wants --approve NAME --reason WHY"
    )
    timeout: Annotated[float, Field(gt=0)] = Field(default=6, description="Seconds to wait for the registry")
    download_seconds: Annotated[float, Field(gt=0)] = Field(default=300, description="To wait for an artifact")
    guards: Guards = Guards()


class Settings(Section):
    """The whole of params.yaml."""

    project: Project = Project()
    source: Source
    validate_: Annotated[Validate, Field(alias="validate")] = Validate()
    split: Split = Split()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gates: Gates = Gates()
    package: Package = Package()
    register_: Annotated[Register, Field(alias="register")] = Register()
    release: Release = Release()

    @classmethod
    def load(cls, path: Path = paths.PARAMS) -> Self:
        """Read and check params.yaml.

        Raises
        ------
        SklineError
            If it is missing, no YAML, or holds a key or value that is not allowed; every fault is named.
        """
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except FileNotFoundError:
            raise SklineError(f"{path} is missing; run this from the project's root") from None
        except yaml.YAMLError as error:
            raise SklineError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
        try:
            return cls.model_validate(values)
        except SklineError as error:
            raise SklineError(f"{path}: {error}") from None
        except ValidationError as error:
            raise SklineError(f"{path}: " + "; ".join(_fault(cls, dict(e)) for e in error.errors())) from None


def _fault(settings: type[BaseModel], error: dict[str, Any]) -> str:
    """Say one fault as `key: what is wrong`, with the nearest known key for an unknown one."""
    section, known, where = settings, list[str](), list[str]()
    for part in map(str, error["loc"] or [""]):
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        if part in (NUMBER, OBJECTIVE):
            continue  # which form of a value was tried, no key
        where.append(part)
        known = list(fields)
        if part in fields:
            section = _section(fields[part].annotation) or section
    name = ".".join(where)
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']} (got {error['input']!r})"
    near = difflib.get_close_matches(where[-1], known, n=1)
    return f"{name} is no known key; " + (f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}")


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the section that an annotation allows, by itself or among others."""
    bare = [getattr(kind, "__origin__", kind) for kind in (annotation, *get_args(annotation))]
    allowed = [kind for kind in bare if isinstance(kind, type)]
    return next((kind for kind in allowed if issubclass(kind, BaseModel)), None)
