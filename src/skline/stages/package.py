"""Write the artifact, then prove in a new process that it loads and answers as the pipeline did."""

import datetime as dt
import io
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from skline import artifact, card, paths
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.profile import profile
from skline.scoring.golden import answer

LIBRARIES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy")


def golden_rows(
    train: pd.DataFrame, test: pd.DataFrame, contract: Contract, n_rows: int, seed: int
) -> list[dict[str, Any]]:
    """Choose rows that show what the pipeline can meet.

    Returns
    -------
    list of JSON rows: the contract's example, test rows drawn by `seed`, and for each column that allows
    it a row with a missing value and a row with a category that training never saw.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(test))[:n_rows])
    rows = to_json_rows(contract.inputs, test.iloc[drawn])
    base = rows[0] | {column.name: column.example for column in contract.inputs if column.example is not None}
    edges: list[dict[str, Any]] = [base]
    for column in contract.inputs:
        if column.nullable:
            edges.append(base | {column.name: None})
        if column.kind == "string" and (unseen := unseen_category(train[column.name], column)) is not None:
            edges.append(base | {column.name: unseen})
    return [*edges, *rows]


def unseen_category(seen: pd.Series, column: Column) -> str | None:
    """Return a string that the contract allows and `seen` does not hold, or None if none was found."""
    if column.choices is not None:
        return next((str(choice) for choice in column.choices if not (seen == choice).any()), None)
    known: set[str] = set(seen.dropna().unique())
    samples = sorted(known)[:200]
    candidates = ["unseen", *(text[::-1] for text in samples), *(text[1:] + text[:1] for text in samples)]
    for text in candidates:
        long_enough = len(text) >= (column.min_length or 0)
        short_enough = column.max_length is None or len(text) <= column.max_length
        matches = column.pattern is None or re.fullmatch(column.pattern, text)
        if text not in known and long_enough and short_enough and matches:
            return text
    return None


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit and whether the tree differs from it; (None, None) outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what the pipeline answers."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def prove_in_new_process(folder: Path, digest: str) -> None:
    """Load the artifact in a fresh interpreter and compare the golden answers; SklineError if they differ."""
    command = [sys.executable, "-m", "skline.scoring.golden", str(folder), digest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SklineError(f"the artifact does not work in a new process: {done.stderr.strip().removeprefix('error: ')}")


def main() -> None:
    """Read the model, the split and the metrics; write artifact/ and artifact.sha256."""
    from skline.files import read_contract, read_json, read_table, sha256, sha256_json, write_text
    from skline.settings import Settings

    settings, contract = Settings.load(), read_contract(paths.CONTRACT)
    train, test = read_table(paths.part("train")), read_table(paths.part("test"))
    pipeline_bytes = paths.MODEL.read_bytes()
    pipeline = joblib.load(io.BytesIO(pipeline_bytes))
    rows = golden_rows(train, test, contract, settings.package.golden_rows, settings.train.seed)
    reference = train.sample(min(settings.package.reference_rows, len(train)), random_state=settings.train.seed)
    commit, dirty = git_state(Path.cwd())
    facts = {
        "name": settings.project.name,
        "title": settings.project.title or settings.project.name,
        "task": contract.task,
        "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "contract_sha256": contract.digest(),
        "params_sha256": sha256_json(settings.model_dump(mode="json")),
        "data_sha256": {name: sha256(paths.part(name)) for name in ("train", "validation", "test")},
        "git_commit": commit,
        "git_dirty": dirty,
        "registered_model": settings.project.name,
        "libraries": library_versions(),
        "metrics": read_json(paths.METRICS),
    }
    files: dict[str, bytes | Callable[[Path], object]] = {
        artifact.PIPELINE: pipeline_bytes,
        artifact.CONTRACT: contract.to_json().encode(),
        artifact.PROFILE: _json(profile(train, contract)),
        artifact.REFERENCE: lambda path: reference[contract.input_names].to_parquet(path, index=False),
        artifact.GOLDEN: answer(contract, pipeline, rows).model_dump_json(indent=1).encode(),
        artifact.CARD: card.write(settings, contract, facts, read_json(paths.SPLIT_REPORT)).encode(),
    }
    digest = artifact.write(paths.ARTIFACT, files, facts)
    prove_in_new_process(paths.ARTIFACT, digest)
    write_text(paths.ARTIFACT_DIGEST, digest + "\n")
    print(f"{settings.project.name}@{digest[:12]}, {len(rows)} golden rows equal in a new process")


def _json(value: Any) -> bytes:
    """Write JSON as bytes, refusing NaN."""
    import json

    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


if __name__ == "__main__":
    from skline.process import run

    run(main)
