"""The results that a commit, or the working tree, holds: settings, metrics, verdict, data and the model's code."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from skline import paths
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.registry.working_tree import committed_text, run_git
from skline.release.verdict import GateResult, Verdict

#: The test part in dvc.lock: metrics of two models can be compared if both have the same.
TEST_PART = "data/split/test.parquet"


@dataclass(frozen=True)
class Results:
    """The results of one state of the project; a file that it lacks leaves its fields empty.

    Attributes
    ----------
    name : str
        The abbreviated commit, or "working tree".
    params : dict
        Dotted name of each setting of params.yaml → its value; a list and an empty section are values.
    metrics, intervals : dict
        Name of the metric → its value on the test part, and the ends of its interval.
    labels : dict
        Name of the metric → its name for people, and which direction is better ("higher", "lower" or None).
    verdict : Verdict or None
    data : dict
        What is said of the table → the value: source, rows, parts.
    inputs : dict
        Path of what the stages read and do not write, such as data/source → its hash in dvc.lock; and
        "skline stage NAME" → the digest of the engine's code for it.
    test_part : str or None
        Hash of the test part.
    artifact : str or None
        The digest.
    """

    name: str
    params: dict[str, Any]
    metrics: dict[str, float | None]
    intervals: dict[str, list[float]]
    labels: dict[str, tuple[str, str | None]]
    verdict: Verdict | None
    data: dict[str, Any]
    inputs: dict[str, str]
    test_part: str | None
    artifact: str | None


def read_results(root: Path, revision: str | None) -> Results:
    """Read the results of a commit of the project in `root`; those of the working tree without a revision.

    Raises
    ------
    SklineError
        If there is no such commit, or a file of it cannot be read.
    """
    if revision is None:
        return build_results("working tree", lambda path: _working_text(root / path))
    # An option as the name of a commit would be one of git's.
    commit = (
        None if revision.startswith("-") else run_git(root, "rev-parse", "--verify", "-q", f"{revision}^{{commit}}")
    )
    if commit is None:
        raise SklineError(f"git has no commit {revision!r} here; name one that `git log` lists, or fetch it")
    commit = commit.strip()
    return build_results(commit[:9], lambda path: committed_text(root, path.as_posix(), commit))


def build_results(name: str, read: Callable[[Path], str | None]) -> Results:
    """Return the results of a state of the project, of which `read` returns the text of a file, or None."""

    def json_of(path: Path) -> dict[str, Any]:
        return _parsed(name, path, read(path), json.loads)

    evaluation, lock = json_of(paths.EVALUATION), _parsed(name, paths.DVC_LOCK, read(paths.DVC_LOCK), yaml.safe_load)
    inputs, test_part = read_lock(lock)
    inputs |= {f"skline stage {stage}": digest for stage, digest in json_of(paths.ENGINE).get("stages", {}).items()}
    return Results(
        name=name,
        params=dict(flatten(_parsed(name, paths.PARAMS, read(paths.PARAMS), yaml.safe_load))),
        metrics=json_of(paths.METRICS).get("model", {}),
        intervals=evaluation.get("intervals", {}).get("model", {}),
        labels={metric: (each["label"], each["better"]) for metric, each in evaluation.get("descriptions", {}).items()},
        verdict=_verdict(name, json_of(paths.VERDICT)),
        data=describe_data(json_of(paths.LINEAGE), json_of(paths.VALIDATION), json_of(paths.SPLIT_REPORT)),
        inputs=inputs,
        test_part=test_part,
        artifact=(read(paths.ARTIFACT_DIGEST) or "").strip() or None,
    )


def flatten(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each setting."""
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_lock(lock: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    """Return path → hash of what the stages of dvc.lock read and do not write, and the hash of the test part."""
    stages = lock.get("stages", {}).values()
    read = {each["path"]: each.get("md5", "") for stage in stages for each in stage.get("deps", ())}
    written = [each["path"] for stage in stages for each in stage.get("outs", ())]
    inputs = {
        path: md5 for path, md5 in read.items()
        if not any(path == out or path.startswith(f"{out}/") for out in written)
    }  # fmt: skip
    # It depends on what is served, and no model is made of it.
    inputs.pop(paths.RELEASES.as_posix(), None)
    return inputs, read.get(TEST_PART)


def describe_data(
    lineage: Mapping[str, Any], validation: Mapping[str, Any], split: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the reports say of the table, one value each, in the order of the stages."""
    data = {
        "source": lineage.get("source"),
        "sha256 of the source": lineage.get("sha256"),
        "rows": lineage.get("rows"),
        "rows accepted": validation.get("accepted"),
        "rows quarantined": validation.get("quarantined"),
        "rows without a label": validation.get("unlabelled"),
        "columns": None if "columns" not in lineage else ", ".join(lineage["columns"]),
    }
    for part, each in split.items():
        if isinstance(each, dict) and "rows" in each:
            data[f"rows in {part}"] = each["rows"]
            if each.get("from") is not None:
                data[f"times in {part}"] = f"{each['from']} to {each['to']}"
    return {name: value for name, value in data.items() if value is not None}


def _parsed(name: str, path: Path, text: str | None, parse: Callable[[str], Any]) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        content = parse(text)
    except (ValueError, yaml.YAMLError) as error:
        raise SklineError(f"{path.as_posix()} of {name} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise SklineError(f"{path.as_posix()} of {name} is no mapping of names to values")
    return content


def _verdict(name: str, content: Mapping[str, Any]) -> Verdict | None:
    """Return the verdict; what another version of the engine wrote besides is left out."""
    if not content:
        return None
    try:
        gates = [GateResult.model_validate(_known(GateResult, gate)) for gate in content.get("gates", ())]
        return Verdict.model_validate(_known(Verdict, content) | {"gates": gates})
    except ValidationError as error:
        raise SklineError(f"{paths.VERDICT.as_posix()} of {name} cannot be read: {one_line(error)}") from error


def _known(model: type[BaseModel], content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key in model.model_fields}


def _working_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
