"""Where a distribution was installed from, as its direct_url.json records (PEP 610), compared with pyproject.toml."""

import json
import re
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Origin:
    """Where a distribution was installed from.

    Attributes
    ----------
    url : str
        Address of the repository, archive or folder; empty for a package index.
    kind : str
        "git", "archive", "folder", "editable" or "index".
    commit, reference : str
        For git: the commit, and the requested revision.
    code : Path
        The folder below which its code is.
    """

    url: str
    kind: str
    commit: str
    reference: str
    code: Path

    def __str__(self) -> str:
        """Describe it in a few words."""
        if self.kind == "git":
            return f"{_address(self.url)} at {self.commit[:12]}"
        if self.kind == "index":
            return "a package index"
        place = str(_local_path(self.url) or _address(self.url))
        return f"{place}, which is editable" if self.kind == "editable" else place


def installed_origin(installed: Distribution) -> Origin:
    """Read the origin of an installed distribution."""
    code = Path(str(installed.locate_file("")))
    record: dict[str, Any] = json.loads(installed.read_text("direct_url.json") or "{}")
    url, vcs, folder = record.get("url", ""), record.get("vcs_info"), record.get("dir_info")
    if vcs is not None:
        return Origin(url, "git", vcs["commit_id"], vcs.get("requested_revision", ""), code)
    if folder is not None and folder.get("editable"):
        return Origin(url, "editable", "", "", _local_path(url) or code)
    return Origin(url, "folder" if folder is not None else "archive" if url else "index", "", "", code)


def mismatch(origin: Origin, source: dict[str, Any] | None) -> str:
    """Return what an entry of [tool.uv.sources], or None for an index, requires if `origin` is another; else ""."""
    if source is None:
        return "" if origin.kind == "index" else "a package index"
    if "git" in source:
        return _git_mismatch(origin, source)
    if "path" in source:
        kinds = ("editable",) if source.get("editable") else ("folder", "archive")
        place = Path(source["path"]).expanduser().resolve()
        is_same = origin.kind in kinds and _local_path(origin.url) == place
        return "" if is_same else f"{place}{', editable' if source.get('editable') else ''}"
    if "url" in source:
        return "" if origin.url == source["url"] else _address(source["url"])
    if "index" in source:
        return "" if origin.kind == "index" else f"the index {source['index']}"
    return ""  # a workspace


def _git_mismatch(origin: Origin, source: dict[str, Any]) -> str:
    reference = str(source.get("rev") or source.get("tag") or source.get("branch") or "")
    is_same_commit = reference in ("", origin.reference) or origin.commit.startswith(reference)
    if origin.kind == "git" and _address(origin.url) == _address(source["git"]) and is_same_commit:
        return ""
    return _address(source["git"]) + (f" at {reference[:12]}" if reference else "")


def _address(url: str) -> str:
    """Return the address of a repository without user and password, and in one of the ways to write it."""
    return re.sub("//[^/@]*@", "//", unquote(url).removeprefix("git+").rstrip("/").removesuffix(".git"))


def _local_path(url: str) -> Path | None:
    """Return the path of a file URL."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
