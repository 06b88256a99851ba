"""params.yaml against the typed settings: what is wrong, what is new, what still waits for its author."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from skline import paths
from skline.doctor.finding import Finding, several
from skline.doctor.leftovers import is_template
from skline.doctor.repository import git
from skline.errors import SklineError
from skline.settings import Project, Settings


def check() -> list[Finding]:
    """Check params.yaml, and list the settings that came after its last change."""
    try:
        settings = Settings.load()
    except SklineError as error:
        return [Finding("broken", str(error), f"correct it in {paths.PARAMS}"), *_unwatched({})]
    given = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    unset = list(_unset(Settings, given))
    return [
        Finding("ok", f"params.yaml is valid; {len(unset)} settings are at their defaults (src/skline/settings.py)"),
        *_unwatched(given),
        *([] if is_template() else _new(unset)),
        *_placeholders(settings),
    ]


def _unset(section: type[BaseModel], given: Any, prefix: str = "") -> Iterator[tuple[str, type[BaseModel], FieldInfo]]:
    """Every setting that params.yaml leaves out: its key, the class that declares it, and the declaration."""
    given = given if isinstance(given, dict) else {}
    for name, field in section.model_fields.items():
        key = field.alias or name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _unset(field.annotation, given.get(key), f"{prefix}{key}.")
        elif key not in given:
            yield f"{prefix}{key}", section, field


def _unwatched(given: Any) -> list[Finding]:
    """What dvc.yaml watches must stand in params.yaml, or DVC does not start: defaults are the settings', not DVC's."""
    try:
        stages = (yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8")) or {}).get("stages", {})
    except OSError as error:
        return [Finding("broken", f"dvc.yaml cannot be read ({error.strerror})", "run this from the project's root")]
    except yaml.YAMLError as error:
        return [Finding("broken", f"dvc.yaml is no YAML: {' '.join(str(error).split())}", "correct it")]
    if not given:
        return []
    watched = {key for stage in stages.values() for key in stage.get("params", []) if isinstance(key, str)}
    missing = sorted(key for key in watched if not _stands(given, key))
    sections = [key for key in missing if "." not in key]
    if not missing:
        return []
    remedy = "add " + (" and ".join(f"`{key}: {{}}`" for key in sections) if sections else "them with their values")
    what = f"params.yaml lacks {several(missing)}, which dvc.yaml watches: `dvc repro` stops there"
    return [Finding("broken", what, f"{remedy} to params.yaml")]


def _stands(given: Any, key: str) -> bool:
    """Whether a dotted key is in params.yaml."""
    for part in key.split("."):
        if not isinstance(given, dict) or part not in given:
            return False
        given = given[part]
    return True


def _new(unset: list[tuple[str, type[BaseModel], FieldInfo]]) -> list[Finding]:
    """Settings that the code did not know yet when params.yaml was last committed: an update brought them."""
    commit = git("log", "-1", "--format=%H", "--", str(paths.PARAMS))
    modules = [Settings.__module__, *dict.fromkeys(section.__module__ for _, section, _ in unset)]
    known = _declared(commit, modules) if commit else {}
    if not known:
        return []
    new = [
        f"{key}: {_shown(field)}" + (f"   {field.description}" if field.description else "")
        for key, section, field in unset
        if next(n for n, f in section.model_fields.items() if f is field) not in known.get(section.__name__, set())
    ]
    if not new:
        return []
    what = f"settings that are new since params.yaml was last committed, at their defaults: {len(new)}"
    return [Finding("look", what, "set those you want otherwise, and commit params.yaml", tuple(new))]


def _shown(field: FieldInfo) -> str:
    """A default as it would stand in params.yaml."""
    return json.dumps(field.get_default(call_default_factory=True), default=str, ensure_ascii=False)


def _declared(commit: str, modules: list[str]) -> dict[str, set[str]]:
    """Each class's settings as a commit has them, whichever of the modules held it then."""
    found: dict[str, set[str]] = {}
    for module in dict.fromkeys(modules):
        source = git("show", f"{commit}:src/{module.replace('.', '/')}.py") or ""
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                lines = [line.target for line in node.body if isinstance(line, ast.AnnAssign)]
                found.setdefault(node.name, set()).update(line.id for line in lines if isinstance(line, ast.Name))
    return found


def _placeholders(settings: Settings) -> list[Finding]:
    """What names the project, and still has no name."""
    empty = [
        f"project.{name}"
        for name, field in Project.model_fields.items()
        if getattr(settings.project, name) == field.get_default()
    ]
    if not empty:
        return []
    said = "has no value of its own yet; the model card shows it"
    if len(empty) > 1:
        said = "have no values of their own yet; the model card shows them"
    return [Finding("look", f"{several(empty)} {said}", "say it in params.yaml")]
