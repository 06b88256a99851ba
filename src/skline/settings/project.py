"""`Settings`, which is all of params.yaml, and its smaller sections.

A key that an older params.yaml lacks has its default. DVC knows none: the keys that dvc.yaml tracks must be there.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from skline.canary_limits import Guards
from skline.contract.lookup import NAME
from skline.errors import SklineError
from skline.paths import PARAMS
from skline.settings.base import SettingsSection, Share
from skline.settings.evaluation import Evaluate, Gates
from skline.settings.lookups import LookupSettings
from skline.settings.monitor import Monitor
from skline.settings.retrain import Retrain
from skline.settings.source import Source
from skline.settings.training import NUMBER_TAG, OBJECTIVE_TAG, Train
from skline.split_rule import Split


class Project(SettingsSection):
    """Name and purpose of the project."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)] = Field(
        default="model", description="Name of the image, the MLflow experiment and the registered model"
    )
    title: str = Field(default="", description="Title of the API and the model card")
    intended_use: str = Field(default="", description="One or two sentences for the model card")


class Validate(SettingsSection):
    """Limits for data that breaks the contract."""

    max_quarantined: Share = Field(default=0.01, description="Largest share of labelled rows in quarantine")


class Package(SettingsSection):
    """What the artifact contains in addition to the pipeline."""

    reference_rows: Annotated[int, Field(ge=1)] = Field(
        default=5_000, description="Training rows that are stored as a reference for drift"
    )
    background_rows: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Largest number of training rows that explanations compare a prediction with"
    )


class Register(SettingsSection):
    """Where results are recorded; the variable MLFLOW_TRACKING_URI overrides `tracking_uri`."""

    tracking_uri: str = Field(default="sqlite:///mlflow.db", description="MLflow's tracking server or database")
    timeout: Annotated[float, Field(gt=0)] = Field(default=10, description="Seconds to wait for a tracking server")


class EngineSettings(SettingsSection):
    """Where the fits of the search and of the evaluation, and the resamples of intervals, are computed."""

    kind: Literal["local", "dask"] = Field(
        default="local", description="local: in this process; dask: on the workers of a Dask cluster (skline[dask])"
    )
    scheduler: Annotated[str, Field(pattern=r"^(tcp|tls|ws|wss)://\S+$")] | None = Field(
        default=None,
        description="dask: address of a scheduler; null: DASK_SCHEDULER_ADDRESS, else a cluster on this machine",
    )
    workers: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="dask: processes of a cluster on this machine; null: one for each core"
    )

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "local" and (self.scheduler is not None or self.workers is not None):
            raise ValueError("scheduler and workers need kind: dask; set it, or remove them")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError("workers are started on this machine only without a scheduler; remove one of the two")
        return self


class ReleaseSettings(SettingsSection):
    """How a registered version is promoted."""

    approval: Literal["optional", "required"] = Field(
        default="optional", description="required: `skline promote` needs --approve NAME --reason WHY"
    )
    timeout: Annotated[float, Field(gt=0)] = Field(default=6, description="Seconds to wait for the registry")
    download_seconds: Annotated[float, Field(gt=0)] = Field(default=300, description="Seconds to wait for an artifact")
    guards: Guards = Guards()


class Settings(SettingsSection):
    """All of params.yaml."""

    project: Project = Project()
    source: Source
    validate_: Annotated[Validate, Field(alias="validate")] = Validate()
    split: Split = Split()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gates: Gates = Gates()
    package: Package = Package()
    register_: Annotated[Register, Field(alias="register")] = Register()
    release: ReleaseSettings = ReleaseSettings()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    engine: EngineSettings = EngineSettings()
    lookups: dict[Annotated[str, Field(pattern=f"^{NAME}$")], LookupSettings] = Field(
        default={}, description="Where inputs that callers do not send come from, by the name of the look-up"
    )

    @classmethod
    def load(cls, path: Path = PARAMS) -> Self:
        """Read and validate params.yaml.

        Raises
        ------
        SklineError
            If the file is missing, not valid YAML, or holds an unknown key or an invalid value; it names each of them.
        """
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except FileNotFoundError:
            raise SklineError(f"{path} is missing; run this from the project's root") from None
        except yaml.YAMLError as error:
            raise SklineError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        return cls.parse(values, path)

    @classmethod
    def parse(cls, values: object, origin: Path) -> Self:
        """Validate the content of params.yaml; `origin` is the file that errors name.

        Raises
        ------
        SklineError
            For each unknown key and invalid value.
        """
        try:
            return cls.model_validate(values)
        except SklineError as error:
            raise SklineError(f"{origin}: {error}") from None
        except ValidationError as error:
            details = "; ".join(_describe_error(cls, dict(each)) for each in error.errors())
            raise SklineError(f"{origin}: {details}") from None


def read_source_section(values: Mapping[str, Any]) -> Source:
    """Return the section `source` from its keys and values.

    Raises
    ------
    SklineError
        If there is an unknown key or an invalid value; it names each of them.
    """
    try:
        return Source.model_validate(values)
    except ValidationError as error:
        raise SklineError("; ".join(f"source.{_describe_error(Source, dict(e))}" for e in error.errors())) from None


def _describe_error(settings: type[BaseModel], error: dict[str, Any]) -> str:
    """Return one error of pydantic as `key: message`; an unknown key with the closest known one."""
    section, known_keys, keys, is_shown = settings, list[str](), list[str](), True
    for part in map(str, error["loc"] or [""]):
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        if part in (NUMBER_TAG, OBJECTIVE_TAG):
            continue  # no key: it says which form of the threshold pydantic tried
        keys.append(part)
        known_keys = list(fields)
        if part in fields:
            is_shown = is_shown and fields[part].repr
            section = _section_of(fields[part].annotation) or section
    name = ".".join(keys)
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")  # of the validators in these files
        return f"{name}: {message}" + (f" (got {error['input']!r})" if is_shown else "")
    closest = difflib.get_close_matches(keys[-1], known_keys, n=1)
    hint = f"did you mean {closest[0]!r}?" if closest else f"known keys are {', '.join(known_keys)}"
    return f"{name} is an unknown key; {hint}"


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section class in an annotation, which may be one of several alternatives."""
    bare = [getattr(kind, "__origin__", kind) for kind in (annotation, *get_args(annotation))]
    classes = [kind for kind in bare if isinstance(kind, type)]
    return next((kind for kind in classes if issubclass(kind, BaseModel)), None)
