"""The data that an artifact was made from: files with digests, from its manifest, dvc.lock, .dvc files and git."""

import configparser
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from skline import paths
from skline.artifact import Manifest
from skline.errors import SklineError
from skline.files import read_json
from skline.registry.working_tree import committed_text, run_git

#: Folder of the source's tables, and of the .dvc files that pin their versions.
SOURCE_FOLDER = "data/source"
#: What stands for a commit while the results are not committed.
WORKING_TREE = "the working tree"
MD5_DIGITS = 32
#: DVC's name of an md5 over a folder's files ends with it.
FOLDER = ".dir"


@dataclass(frozen=True)
class DataFile:
    """A file of data: its name, its digest ("sha256" or "md5"), and where that is recorded."""

    name: str
    digest: str
    recorded_in: str


@dataclass(frozen=True)
class Snapshot:
    """The data that an artifact was made from, as far as it is recorded.

    Attributes
    ----------
    commit : str or None
        The commit that recorded the artifact's digest with dvc.lock, WORKING_TREE, or None if there is none.
    source : dict
        The content of reports/lineage.json there: address, sha256 and rows of the source; empty if it is not known.
    files : tuple of DataFile
    stages : dict
        The stages of dvc.lock there, by name.
    """

    commit: str | None
    source: Mapping[str, Any]
    files: tuple[DataFile, ...]
    stages: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def md5(self, name: str) -> str | None:
        """Return the md5 of a file in dvc.lock."""
        return next((each.digest for each in self.files if each.name == name and len(each.digest) == MD5_DIGITS), None)


def read_snapshot(root: Path, digest: str, manifest: Manifest | None) -> Snapshot:
    """Collect the data of an artifact.

    Parameters
    ----------
    root : Path
        Root of the project.
    digest : str
        Of the artifact.
    manifest : Manifest or None
        The artifact's, if it is known.
    """
    commit = recording_commit(root, digest)
    parts = {} if manifest is None else manifest.data_sha256
    files = [DataFile(paths.part(name).as_posix(), value, "the manifest") for name, value in parts.items()]
    if commit is None:
        return Snapshot(None, {}, tuple(files))
    recorded_in = commit if commit == WORKING_TREE else f"commit {commit[:12]}"
    source = parse_mapping(text_of(root, paths.LINEAGE.as_posix(), commit), json.loads)
    if isinstance(source.get("sha256"), str):
        files.append(DataFile(str(source.get("source")), source["sha256"], f"{paths.LINEAGE} of {recorded_in}"))
    lock = parse_mapping(text_of(root, paths.DVC_LOCK.as_posix(), commit), yaml.safe_load)
    stages = lock.get("stages") or {}
    files += [DataFile(name, md5, f"dvc.lock of {recorded_in}") for name, md5 in files_of_stages(stages).items()]
    for each in [*files]:
        members = files_of_folder(root, each.digest)
        files += [DataFile(f"{each.name}/{name}", md5, each.recorded_in) for name, md5 in members.items()]
    for name in _pointers(root, commit):
        outs = parse_mapping(text_of(root, name, commit), yaml.safe_load).get("outs", [])
        folder = name.rpartition("/")[0]
        files += [
            DataFile(f"{folder}/{out['path']}", out["md5"], f"{name} of {recorded_in}") for out in outs if "md5" in out
        ]
    return Snapshot(commit, source, tuple(dict.fromkeys(files)), stages)


def recording_commit(root: Path, digest: str) -> str | None:
    """Return the first commit whose artifact.sha256 is this digest, whose dvc.lock is that of the artifact.

    An artifact is registered before its results are committed, so this is not the commit it was registered from.
    WORKING_TREE if the results are not committed yet; None if no commit has them, or outside git. The first commit of a
    shallow clone is none: all files appear in it, and dvc.lock may be that of a later run, whose model was rejected.
    """
    name = paths.ARTIFACT_DIGEST.as_posix()
    log = run_git(root, "log", "--format=%H %P", "--reverse", f"-S{digest}", "--", name) or ""
    for line in log.splitlines():
        commit, *parents = line.split()
        if (committed_text(root, name, commit) or "").strip() == digest:
            return commit if parents or not _is_shallow(root) else None
    return WORKING_TREE if (text_of(root, name, WORKING_TREE) or "").strip() == digest else None


def _is_shallow(root: Path) -> bool:
    """Whether the history of the repository is cut off."""
    return (run_git(root, "rev-parse", "--is-shallow-repository") or "").strip() == "true"


def files_of_stages(stages: Mapping[str, Any]) -> dict[str, str]:
    """Return the md5 of each file and folder below data/ that the stages of dvc.lock name, by path."""
    files = {}
    for stage in stages.values():
        for each in [*stage.get("deps", []), *stage.get("outs", [])]:
            if each["path"].startswith("data/") and "md5" in each:
                files[each["path"]] = each["md5"]
    return files


def cached_file(root: Path, md5: str) -> Path | None:
    """Return the file with this md5 in DVC's cache; None if it is not there."""
    path = cache_folder(root) / "files" / "md5" / md5[:2] / md5[2:]
    return path if path.is_file() else None


def files_of_folder(root: Path, md5: str) -> dict[str, str]:
    """Return the md5 of each file in a folder, by its path in it, from DVC's cache; empty if it is not there."""
    path = cached_file(root, md5) if md5.endswith(FOLDER) else None
    try:
        return {} if path is None else {each["relpath"]: each["md5"] for each in read_json(path)}
    except SklineError:
        return {}  # a damaged cache, which `dvc status` reports


def cache_folder(root: Path) -> Path:
    """Return the folder of DVC's cache, which `cache.dir` of its configuration may place elsewhere."""
    folder = root / ".dvc"
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    except configparser.Error:
        return folder / "cache"
    return folder / config.get("cache", "dir", fallback="cache")


def find_part(root: Path, snapshot: Snapshot, name: str, current_sha256: str | None) -> Path | None:
    """Return the file of a part of an artifact's data: the current one if it is the same, else that of DVC's cache.

    Parameters
    ----------
    root : Path
        Root of the project.
    snapshot : Snapshot
    name : str
        Of the part.
    current_sha256 : str or None
        Sha256 of the part's current file; None if there is none.
    """
    if current_sha256 is not None and current_sha256 in {each.digest for each in snapshot.files}:
        return root / paths.part(name)
    md5 = snapshot.md5(paths.part(name).as_posix())
    return None if md5 is None else cached_file(root, md5)


def _pointers(root: Path, commit: str) -> list[str]:
    """Return the names of the .dvc files below data/source."""
    if commit == WORKING_TREE:
        found = sorted((root / SOURCE_FOLDER).rglob("*.dvc"))
        return [path.relative_to(root).as_posix() for path in found]
    names = run_git(root, "ls-tree", "-r", "--name-only", commit, "--", f"{SOURCE_FOLDER}/") or ""
    return [name for name in names.splitlines() if name.endswith(".dvc")]


def text_of(root: Path, name: str, commit: str) -> str | None:
    """Return the content of a file in a commit or in the working tree; None if it is not there."""
    if commit != WORKING_TREE:
        return committed_text(root, name, commit)
    try:
        return (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def parse_mapping(text: str | None, load: Callable[[str], Any]) -> dict[str, Any]:
    """Return the mapping that `load` parses from a text; an empty one if the text is missing or holds none."""
    try:
        value = load(text or "{}")
    except (ValueError, yaml.YAMLError):
        return {}
    return value if isinstance(value, dict) else {}
