"""Compare dvc.lock with that of the last commit: which stages made other outputs from equal inputs."""

from collections.abc import Mapping
from typing import Any

from skline import paths


def differing_outputs(committed: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the outputs that differ although command, inputs and parameters of their stage are equal.

    Parameters
    ----------
    committed, current : mapping
        The content of dvc.lock. A stage that only one of them has is not compared.

    Returns
    -------
    The paths of the outputs by stage.
    """
    before, after = committed.get("stages") or {}, current.get("stages") or {}
    found = {}
    for name in before.keys() & after.keys():
        if any(before[name].get(key) != after[name].get(key) for key in ("cmd", "deps", "params")):
            continue
        old, new = ({out["path"]: out.get("md5") for out in each[name].get("outs", [])} for each in (before, after))
        if paths_of := sorted(path for path in old.keys() & new.keys() if old[path] != new[path]):
            found[name] = paths_of
    return found


def describe(differing: Mapping[str, list[str]]) -> str:
    """Return what differs, the probable cause, and what to do."""
    outputs = "; ".join(f"{stage} made other {', '.join(names)}" for stage, names in sorted(differing.items()))
    if paths.ORIGIN.as_posix() not in differing.get("train", []):
        return (
            "The results may differ from those of the last commit in the last digits "
            f"({', '.join(sorted(differing))}), because another processor rounds differently; there is nothing to do. "
            "If the machine is the same, a step depends on something else than its inputs"
        )
    return (
        "Other versions of the libraries fitted the model than at the last commit, from equal inputs: "
        f"{outputs}. Commit dvc.lock, artifact.sha256, reports/ and releases/ to record these results; or restore "
        "these files and `dvc pull` the others"
    )
