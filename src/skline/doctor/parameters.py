"""Check of params.yaml: invalid settings, missing sections, new settings, and settings without a value of their own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from skline import paths
from skline.doctor.findings import Finding, join_first
from skline.doctor.lookups import check_lookups
from skline.doctor.repository import git
from skline.doctor.template import is_template
from skline.engine import EngineRecord, current_record, new_settings
from skline.errors import SklineError
from skline.settings import Project, Settings
from skline.settings.declared import declared_settings
from skline.settings.lookups import LookupSettings


def check() -> list[Finding]:
    """Validate params.yaml, and list the settings that an update has added."""
    try:
        settings = Settings.load()
    except SklineError as error:
        return [Finding("broken", str(error), f"correct it in {paths.PARAMS}"), *_check_dvc_params({}, {})]
    params = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    unset = {key: field for key, field in declared_settings().items() if not _has_key(params, key)}
    return [
        Finding("ok", f"params.yaml is valid; {len(unset)} settings have their defaults"),
        *_check_dvc_params(params, settings.lookups),
        *([] if is_template() else _list_new_settings(unset)),
        *_check_placeholders(settings),
    ]


def _check_dvc_params(params: Any, lookups: Mapping[str, LookupSettings]) -> list[Finding]:
    """Check that params.yaml has every key that dvc.yaml tracks: DVC knows no defaults. Look-ups have to be tracked."""
    try:
        stages = (yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8")) or {}).get("stages", {})
    except OSError as error:
        return [Finding("broken", f"dvc.yaml cannot be read ({error.strerror})", "run this in the project's root")]
    except yaml.YAMLError as error:
        return [Finding("broken", f"dvc.yaml is not valid YAML: {' '.join(str(error).split())}", "correct it")]
    if not params:
        return []
    tracked = {key for stage in stages.values() for key in stage.get("params", []) if isinstance(key, str)}
    missing = sorted(key for key in tracked if not _has_key(params, key))
    untracked = check_lookups(lookups, stages.get("ingest", {}))
    if not missing:
        return untracked
    message = f"params.yaml lacks {join_first(missing)}, which dvc.yaml tracks: `dvc repro` fails"
    return [Finding("broken", message, f"add {_missing_lines(missing)} to params.yaml"), *untracked]


def _missing_lines(missing: list[str]) -> str:
    """Return the lines that params.yaml lacks, with the defaults of the settings and the sections that hold them."""
    settings = declared_settings()
    lines = []
    for key in missing:
        section, _, name = key.rpartition(".")
        default = _default_as_json(settings[key]) if key in settings else "{}"
        lines.append(f"`{name}: {default}`" + (f" in `{section}`" if section else ""))
    return " and ".join(lines)


def _has_key(params: Any, dotted_key: str) -> bool:
    for part in dotted_key.split("."):
        if not isinstance(params, dict) or part not in params:
            return False
        params = params[part]
    return True


def _list_new_settings(unset: dict[str, FieldInfo]) -> list[Finding]:
    """List settings that the last committed engine.json does not know: an update of the engine added them."""
    try:
        committed = EngineRecord.model_validate_json(git("show", f"HEAD:./{paths.ENGINE}") or "{}")
    except ValidationError:
        return []  # never committed, or by an engine that has no list of settings
    new = [
        f"{key}: {_default_as_json(unset[key])}" + (f"   {text}" if (text := unset[key].description) else "")
        for key in new_settings(committed, current_record())
        if key in unset
    ]
    if not new:
        return []
    are_new = "1 setting is new" if len(new) == 1 else f"{len(new)} settings are new"
    message = f"{are_new} in this version of skline; params.yaml does not set {'it' if len(new) == 1 else 'them'}"
    remedy = f"set what needs another value than the default, then uv run skline sync, and commit {paths.ENGINE}"
    return [Finding("warning", message, remedy, tuple(new))]


def _default_as_json(field: FieldInfo) -> str:
    return json.dumps(field.get_default(call_default_factory=True), default=str, ensure_ascii=False)


def _check_placeholders(settings: Settings) -> list[Finding]:
    """Warn of settings that describe the project, and still have their defaults."""
    empty = [
        f"project.{name}"
        for name, field in Project.model_fields.items()
        if getattr(settings.project, name) == field.get_default()
    ]
    if not empty:
        return []
    has_no_value = "has no value" if len(empty) == 1 else "have no values"
    message = f"{join_first(empty)} {has_no_value} of the project's own; the model card shows the default"
    return [Finding("warning", message, "set it in params.yaml")]
