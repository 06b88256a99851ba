"""Write the artifact, load it back, and prove that it answers as the pipeline did in the process that fitted it."""

import datetime as dt
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib

from skline import artifact, card, paths
from skline.errors import SklineError
from skline.profile import profile
from skline.scoring import stored
from skline.scoring.golden import answer_alone, difference, prove, read_rows
from skline.scoring.scorer import prepare

LIBRARIES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy")


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


def main() -> None:
    """Read the model, its golden answers, the split and the metrics; write artifact/ and artifact.sha256."""
    from skline.contract.frames import to_json_rows
    from skline.files import read_contract, read_json, read_table, sha256, sha256_json, write_text
    from skline.settings import Settings

    settings, contract = Settings.load(), read_contract(paths.CONTRACT)
    train = read_table(paths.part("train"), contract.input_names)
    reference = train.sample(min(settings.package.reference_rows, len(train)), random_state=settings.train.seed)
    golden = artifact.Golden.model_validate(read_json(paths.GOLDEN))
    pipeline = joblib.load(paths.MODEL)
    choice, plan = prepare(pipeline, contract.inputs, read_rows(contract, golden.rows))
    if choice.exactness == "ulp":
        golden = answer_alone(contract, pipeline, golden)
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
        "scoring": asdict(choice),
    }
    files: dict[str, bytes | Callable[[Path], object]] = {
        artifact.PIPELINE: paths.MODEL.read_bytes(),
        artifact.CONTRACT: contract.to_json().encode(),
        artifact.PROFILE: _json(profile(train, contract)),
        artifact.BACKGROUND: _json(to_json_rows(contract.inputs, reference.head(settings.package.background_rows))),
        artifact.REFERENCE: lambda path: reference.to_parquet(path, index=False),
        artifact.GOLDEN: golden.model_dump_json(indent=1).encode(),
        artifact.CARD: card.write(settings, contract, facts, read_json(paths.SPLIT_REPORT)).encode(),
    }
    if plan is not None:
        files[artifact.PLAN] = stored.dump(plan)
    digest = artifact.write(paths.ARTIFACT, files, facts)
    # Trained in another process and read from disk here: a new process, as the service will be one.
    packaged = artifact.Artifact.open(paths.ARTIFACT, digest)
    prove(packaged, packaged.load_pipeline())
    if packaged.plan_bytes is not None and (found := difference(packaged, stored.load(packaged.plan_bytes))):
        raise SklineError(f"package: the stored plan is not what was stored: {found}")
    write_text(paths.ARTIFACT_DIGEST, digest + "\n")
    how = packaged.manifest.scoring
    print(f"scored by its {how.path}, exact to the {how.exactness}" + (f" ({how.reason})" if how.reason else ""))
    print(f"{settings.project.name}@{digest[:12]}, {len(packaged.golden.rows)} golden rows equal in a new process")


def _json(value: Any) -> bytes:
    """Write JSON as bytes, refusing NaN."""
    import json

    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


if __name__ == "__main__":
    from skline.process import run

    run(main)
