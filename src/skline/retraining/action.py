"""What a training does: fit the pipeline on all rows, or keep the fit and calibrate it on the newest labels.

`source.fitted_snapshots` says which snapshots of the feedback the pipeline is fitted on. As long as it stays, the
training part stays the same, and `dvc repro` does not run the stage train: params.yaml and dvc.lock describe the
recalibrated model as they describe any other.
"""

import json
import subprocess
import sys

from skline import paths
from skline.errors import SklineError
from skline.feedback import list_snapshots
from skline.files import write_text
from skline.settings import Settings
from skline.settings.edit import set_value


def apply_action(settings: Settings) -> Settings:
    """Set `source.fitted_snapshots` in params.yaml as `retrain.action` needs it; call it before a snapshot is added.

    Raises
    ------
    SklineError
        If params.yaml is written in a way in which this setting alone cannot be changed.
    """
    current = settings.source.fitted_snapshots
    if settings.retrain.action == "fit":
        required = None
    else:
        required = len(list_snapshots(paths.FEEDBACK)) if current is None else current
    if required == current:
        return settings
    write_text(
        paths.PARAMS, set_value(paths.PARAMS.read_text(encoding="utf-8"), "source", "fitted_snapshots", required)
    )
    return Settings.load()


def require_same_fit() -> None:
    """Raise SklineError if the stage train would run, which a recalibration must not; call it after the stage split."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "train"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SklineError(f"`dvc status train` failed: {done.stderr.strip()}")
    changed = sorted(
        name
        for each in json.loads(done.stdout or "{}").get("train", [])
        if isinstance(each, dict)
        for name in each.get("changed deps", {})
    )
    if changed:
        raise SklineError(
            f"retrain.action is recalibrate, and what the last fit depends on has changed: {', '.join(changed)}; run "
            "`dvc repro`, which fits again, or set retrain.action: fit"
        )
