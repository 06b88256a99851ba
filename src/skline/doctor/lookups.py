"""Check of look-ups: DVC runs the stage ingest again if a look-up or its history changes."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from skline.doctor.findings import Finding, join_first
from skline.settings.lookups import LookupSettings


def check_lookups(lookups: Mapping[str, LookupSettings], ingest: Mapping[str, Any]) -> list[Finding]:
    """Compare the section `lookups` of params.yaml with the stage ingest of dvc.yaml.

    Parameters
    ----------
    lookups : mapping of str to LookupSettings
    ingest : mapping
        The stage: its `deps` and `params`.
    """
    if not lookups:
        return []
    params = {key for key in ingest.get("params", []) if isinstance(key, str)}
    deps = [PurePosixPath(dep) for dep in ingest.get("deps", []) if isinstance(dep, str)]
    missing = [] if "lookups" in params else ["`lookups` among its params"]
    for each in lookups.values():
        uri = each.history.uri
        if "://" in uri or uri.startswith("package:"):
            continue  # DVC cannot watch it; history.snapshot stands for it
        path = PurePosixPath(uri)
        if not any(path == dep or dep in path.parents for dep in deps):
            missing.append(f"`{uri}` among its deps")
    if not missing:
        return []
    message = "the stage ingest of dvc.yaml does not run again when a look-up or its history changes"
    return [Finding("broken", message, f"add {join_first(missing)}")]
