"""Check of the remote of DVC: it is set, its plugin is installed, and all outputs are there."""

from pathlib import Path

from skline import dvc_remote, paths
from skline.doctor.findings import Finding, join_first
from skline.errors import SklineError

#: Seconds that the remote gets to respond.
TIMEOUT = 30.0


def check() -> list[Finding]:
    """Compare dvc.lock with the default remote; nothing is written there."""
    if not Path(".dvc").is_dir() or not paths.DVC_LOCK.is_file():  # reported by the check of DVC
        return []
    try:
        found = dvc_remote.default_remote(Path())
        if found is None:
            message = "DVC has no remote: tables and models are on this machine only"
            return [Finding("ok", message, "uv run skline remote add URL, to share and back them up")]
        if command := dvc_remote.missing_plugin(found.url):
            return [Finding("broken", f"DVC has no plugin for its remote {found.url}", command)]
        return [diagnose(found, dvc_remote.cloud_state(Path(), TIMEOUT))]
    except SklineError as error:
        return [Finding("warning", f"the remote of DVC does not respond: {error}", "uv run skline remote")]


def diagnose(remote: dvc_remote.Remote, state: dvc_remote.CloudState) -> Finding:
    """Return what is missing in the remote; what is only there is reported by the check of DVC."""
    if state.to_push:
        return Finding("warning", f"not in the remote {remote.url}: {join_first(state.to_push)}", "uv run dvc push")
    if state.lost_tables:
        message = f"tables neither here nor in the remote {remote.url}: {join_first([*state.lost_tables])}"
        outputs = f"nor are outputs: {join_first(state.lost)}; uv run dvc repro makes them again from the tables"
        return Finding("warning", message, "uv run dvc push where they are", (outputs,) if state.lost else ())
    if state.lost:
        message = f"neither here nor in the remote {remote.url}: {join_first(state.lost)}"
        return Finding("warning", message, "uv run dvc repro, then uv run dvc push")
    return Finding("ok", f"the remote {remote.url} has everything that dvc.lock records")
