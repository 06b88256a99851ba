"""The policy of a replay: a YAML file whose sections override those of params.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from skline.errors import SklineError

Section = dict[str, Any]


class PolicyFile(BaseModel):
    """A policy: what it is called, and the sections of params.yaml that it overrides.

    A key that it lacks stays as params.yaml has it, in nested sections too; null restores the default of a key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    source: Section = {}
    split: Section = {}
    train: Section = {}
    evaluate: Section = {}
    gates: Section = {}
    monitor: Section = {}
    retrain: Section = {}

    @property
    def sections(self) -> dict[str, Section]:
        """The sections that it overrides."""
        return {name: value for name, value in self if isinstance(value, dict) and value}


#: The settings of params.yaml as they are.
OWN = PolicyFile(name="policy", description="the settings of params.yaml")


def read_policy(path: Path) -> PolicyFile:
    """Read a policy; without a name of its own it has that of the file.

    Raises
    ------
    SklineError
        If the file is missing or is no policy.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise SklineError(f"the policy {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SklineError(f"the policy {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise SklineError(f"the policy {path} is no mapping of sections of params.yaml")
    try:
        return PolicyFile.model_validate({"name": path.stem, **values})
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        known = ", ".join(name for name in PolicyFile.model_fields if name not in ("name", "description"))
        raise SklineError(f"the policy {path}: {details}; a policy may have name, description, {known}") from None


def override(params: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return params with changes, section by section; a change to null removes the key.

    Both are as YAML has them; neither is changed.
    """
    merged = dict(params)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            earlier = merged.get(key)
            merged[key] = override(earlier if isinstance(earlier, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
