"""The engine that runs: its version, where it is installed, and its code that determines the result of each stage.

DVC can only depend on files of the project. There `engine.json` stands for the engine: its version, for people, and a
digest of its code for each stage. dvc.yaml lists each digest among the parameters of its stage, so that another version
of the engine runs again those stages whose code it changes, and no others. The file also lists the settings that the
engine knows, so that after an update `skline doctor` can tell which are new.
"""

import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from skline import paths
from skline.errors import SklineError
from skline.files import write_json

#: The packages and files of the engine that determine the results of each stage, in the order of the pipeline. A change
#: elsewhere (messages, paths, settings that the stages get from params.yaml) leaves the results as they are.
STAGE_CODE: dict[str, tuple[str, ...]] = {
    "ingest": (
        "batches.py", "contract", "counting.py", "feedback.py", "lookups/history.py", "lookups/join.py",
        "row_weights.py", "sources", "stages/declared.py", "stages/derived_columns.py", "stages/ingest.py",
        "stages/parsed_table.py", "stages/source_table.py",
    ),
    "validate": (
        "batches.py", "contract", "counting.py", "feedback.py", "row_weights.py", "stages/validate.py",
        "whole_table.py",
    ),
    "split": (
        "batches.py", "contract/lookup.py", "contract/rare_classes.py", "contract/spec.py", "counting.py",
        "feedback.py", "partition.py", "row_weights.py", "split_rule.py", "stages/newest_row.py",
        "stages/part_counts.py", "stages/reassignment.py", "stages/split.py", "stages/table_partition.py",
        "whole_table.py",
    ),
    "train": (
        "artifact", "batches.py", "contract", "features", "parallel.py", "partition.py", "row_weights.py", "scoring",
        "search", "stages/train.py", "stages/training_rows.py", "weighted_fit.py",
    ),
    "tune": (
        "artifact", "batches.py", "contract", "features", "row_weights.py", "scoring", "stages/tune.py", "tuning",
    ),
    "evaluate": (
        "artifact", "batches.py", "contract", "evaluation", "features", "parallel.py", "partition.py", "reporting",
        "row_weights.py", "scoring", "stages/evaluate.py", "tuning",
    ),
    "package": (
        "artifact", "batches.py", "contract", "features", "reporting", "scoring", "split_rule.py", "stages/package.py",
    ),
    "assess": (
        "artifact", "batches.py", "contract", "counting.py", "evaluation", "features", "parallel.py", "partition.py",
        "release", "reporting", "row_weights.py", "scoring", "split_rule.py", "stages/assess.py",
        "stages/comparable_rows.py", "stages/table_partition.py", "tuning", "whole_table.py",
    ),
    "gate": (
        "artifact", "contract/lookup.py", "contract/spec.py", "release/__init__.py", "release/verdict.py",
        "stages/gate.py",
    ),
    "register": (
        "artifact", "contract/lookup.py", "contract/spec.py", "registry", "release/__init__.py",
        "release/experiment.py", "release/manifest.py", "release/registered.py", "release/verdict.py",
        "search/result.py", "stages/register.py",
    ),
}  # fmt: skip
REMEDY = "run `uv run skline sync`, then `uv run dvc repro`"


class EngineRecord(BaseModel, extra="forbid"):
    """The content of engine.json.

    Attributes
    ----------
    version : str
        Version of the engine that made the results.
    stages : dict of str to str
        The digest of the engine's code for each stage; see `stage_digest`.
    settings : list of str
        The keys that this engine knows in params.yaml; empty if they are not recorded.
    """

    version: str
    stages: dict[str, str]
    settings: list[str] = []


def version() -> str:
    """Return the version of the installed engine, which the build takes from the git tag or commit."""
    return importlib.metadata.version("skline")


def commit() -> str | None:
    """Return the commit of the engine: of its git checkout, else what it was installed from; None if unknown.

    In a checkout `-dirty` follows if files that git tracks have changed.
    """
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"]
    checkout = location().parent.parent
    if (checkout / ".git").exists():
        try:
            done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)  # noqa: S603
            return done.stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
    origin = json.loads(importlib.metadata.distribution("skline").read_text("direct_url.json") or "{}")
    commit_id = origin.get("vcs_info", {}).get("commit_id")
    return None if commit_id is None else str(commit_id)


def location() -> Path:
    """Return the folder that the engine is imported from."""
    return Path(__file__).parent


def stage_digest(stage: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the engine's code for a stage: names and contents."""
    total = hashlib.sha256()
    for path in _files(STAGE_CODE[stage]):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(location()).as_posix()} {content}\n".encode())
    return total.hexdigest()[:16]


def current_record() -> EngineRecord:
    """Return the record of the engine that runs."""
    from skline.settings.declared import declared_settings

    return EngineRecord(
        version=version(),
        stages={stage: stage_digest(stage) for stage in STAGE_CODE},
        settings=list(declared_settings()),
    )


def read_record(path: Path = paths.ENGINE) -> EngineRecord | None:
    """Read engine.json; None if the file does not exist.

    Raises
    ------
    SklineError
        If it cannot be read, or has another content.
    """
    if not path.exists():
        return None
    try:
        return EngineRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(map(str, detail["loc"]))
        text = f"{place}: {detail['msg']}" if place else detail["msg"]
        raise SklineError(f"{path} is not valid ({text}); {REMEDY}") from None


def write_record(record: EngineRecord, path: Path = paths.ENGINE) -> None:
    """Write engine.json."""
    write_json(path, record.model_dump())


def changed_stages(recorded: EngineRecord | None, current: EngineRecord) -> list[str]:
    """Return the stages whose code differs between two engines, in the order of the pipeline; all if one is unknown."""
    return [
        stage for stage, digest in current.stages.items() if recorded is None or recorded.stages.get(stage) != digest
    ]


def new_settings(recorded: EngineRecord | None, current: EngineRecord) -> list[str]:
    """Return the settings that only the current engine knows; none if those of the recorded one are unknown."""
    known = recorded.settings if recorded else []
    return [key for key in current.settings if key not in known] if known else []


def sync(path: Path = paths.ENGINE) -> list[str]:
    """Record this engine in engine.json; return what has changed, as lines of text.

    A file that is not valid, as a merge leaves it, is replaced.
    """
    current = current_record()
    try:
        recorded = read_record(path)
        before = f"skline {recorded.version}" if recorded else "no engine"
    except SklineError:
        recorded, before = None, "not valid"
    if recorded == current:
        return []
    write_record(current, path)
    lines = [f"{path.name}: {before} → skline {current.version}"]
    if stages := changed_stages(recorded, current):
        them = "it" if len(stages) == 1 else "them"
        lines.append(f"other code for {', '.join(stages)}; `uv run dvc repro` runs {them} again")
    if settings := new_settings(recorded, current):
        lines.append(f"new settings: {', '.join(settings)}; `uv run skline doctor` prints their defaults")
    return lines


def require_recorded(stage: str) -> None:
    """Raise SklineError unless engine.json records the code of this engine for a stage.

    Otherwise dvc.lock would state that the result is that of another engine.
    """
    recorded = read_record()
    if recorded is None:
        raise SklineError(f"{paths.ENGINE} is missing, which records the engine that makes the results; {REMEDY}")
    if recorded.stages.get(stage) != stage_digest(stage):
        raise SklineError(
            f"{paths.ENGINE} records skline {recorded.version}, and skline {version()} in {location()} has other code "
            f"for the stage {stage}; {REMEDY}"
        )


def _files(names: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files of packages and single files of the engine, ordered by name, without caches."""
    for name in names:
        path = location() / name
        inside = sorted(path.rglob("*"), key=Path.as_posix) if path.is_dir() else [path]
        yield from (file for file in inside if file.is_file() and file.suffix != ".pyc" and file.name[0] != ".")
