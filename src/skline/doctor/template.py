"""Check of what a project has from the template: leftovers of the demo, and what `copier update` needs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from skline import engine, paths
from skline.artifact.provenance import ENGINE
from skline.doctor.findings import Finding, join_first
from skline.doctor.pyproject import Project, groups_with, project_name, read_project
from skline.doctor.repository import git
from skline.init.pyproject import DEMO_PACKAGE
from skline.paths import PYPROJECT

#: Sha256 of the demo's files by path, to find those that are unchanged.
PLACEHOLDERS = Path("src/model/placeholders.json")
ANSWERS = Path(".copier-answers.yml")
#: Sections of the page that describes how to mend these.
CONTAINS_ENGINE = 'see "A project that contains the engine" in docs/template.md of skline'
#: What only the template needs; a clone of it that is used as a project has it too.
TEMPLATE_ONLY = (
    "copier.yml",
    ".copier-answers.yml.jinja",
    ".gitignore.jinja",
    "README.md.jinja",
    "justfile.jinja",
    "pyproject.toml.jinja",
    "tests/template",
)
#: Copies of the engine, which projects contained before it was a package.
ENGINE_COPY = ("src/skline", "tests/skline")


def check() -> list[Finding]:
    """Find what a project with a model of its own does not need any more."""
    if is_template():
        return [Finding("ok", "this is the template, with its demo")]
    if DEMO_PACKAGE in _source_uri():
        return [Finding("warning", "this is still the template's demo", "uv run skline init TABLE --target COLUMN")]
    findings = [*_check_demo(), *_check_template()]
    return findings or [Finding("ok", "nothing of the template's demo is left")]


def is_template() -> bool:
    """Whether this is the template itself, which gets no updates."""
    return DEMO_PACKAGE in _source_uri() and Path("copier.yml").is_file()


def _source_uri() -> str:
    try:
        params: Any = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
        return str(params["source"]["uri"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ""  # reported by the check of params.yaml


def _check_demo() -> list[Finding]:
    """Find files, a dependency and results of the demo."""
    findings = []
    if unchanged := _unchanged_files():
        message = f"{join_first(unchanged)} {'is' if len(unchanged) == 1 else 'are'} still the demo's"
        findings.append(Finding("warning", message, "uv run skline init TABLE --target COLUMN, or write your own"))
    for group in groups_with(_project(), DEMO_PACKAGE):
        message = f"{PYPROJECT} requires the demo's package {DEMO_PACKAGE}"
        findings.append(Finding("warning", message, f"uv remove --group {group} {DEMO_PACKAGE}"))
    if paths.DVC_LOCK.is_file() and DEMO_PACKAGE in paths.DVC_LOCK.read_text(encoding="utf-8"):
        findings.append(Finding("warning", "dvc.lock is the demo's", "uv run dvc repro"))
    return findings


def _unchanged_files() -> list[str]:
    """Return the files that have exactly the content that they have in the demo."""
    try:
        placeholders = json.loads(PLACEHOLDERS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not placeholders.get("demo"):
        return []
    return [
        name
        for name, sha in placeholders.get("files", {}).items()
        if Path(name).is_file() and hashlib.sha256(Path(name).read_bytes().replace(b"\r\n", b"\n")).hexdigest() == sha
    ]


def _check_template() -> list[Finding]:
    """Find files of the template itself and of the engine, and check that `copier update` can work."""
    is_clone = project_name(_project()) == ENGINE
    only = [name for name in (*TEMPLATE_ONLY, *(() if is_clone else ENGINE_COPY)) if Path(name).exists()]
    findings = []
    if only and is_clone:
        message = f"only the template needs {join_first(only, len(only))}"
        findings.append(Finding("warning", message, f"git rm -rq {' '.join(only)}"))
    elif only:
        message = f"skline runs in {engine.location()}, and nothing uses {join_first(only, len(only))}"
        findings.append(Finding("warning", message, CONTAINS_ENGINE))
    if is_clone:
        return findings  # its updates are merges with git
    if not ANSWERS.is_file():
        message = f"there is no {ANSWERS}: `copier update` cannot know the version that this project began with"
        findings.append(Finding("warning", message, CONTAINS_ENGINE))
    elif message := _unknown_version():
        findings.append(Finding("warning", message, CONTAINS_ENGINE))
    return findings


def _project() -> Project:
    try:
        return read_project()
    except (OSError, ValueError):
        return {}  # reported by the check of the environment


def _unknown_version() -> str:
    """Return a message if updates would start from a version that the template does not have; else an empty string.

    Copier commits the uncommitted changes of a clone, copies that commit, and discards it.
    """
    try:
        answers: Any = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
        source, commit = str(answers["_src_path"]), str(answers["_commit"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return f"{ANSWERS} does not name the version that this project began with: `copier update` fails"
    if not Path(source).is_dir() or git("-C", source, "rev-parse", "-q", "--verify", f"{commit}^{{commit}}"):
        return ""
    return f"the template {source} has no version {commit}, which {ANSWERS} names: `copier update` fails"
