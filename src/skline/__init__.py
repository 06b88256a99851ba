"""skline turns a table into a served scikit-learn model and keeps that model true afterwards."""

import os
from typing import TYPE_CHECKING

from skline.errors import SklineError

if TYPE_CHECKING:
    from pathlib import Path

    from skline.loading import Model

__all__ = ["SklineError", "load"]

# OpenMP reads this variable once, when scikit-learn is loaded: idle threads then sleep instead of spinning. On a shared
# machine spinning threads take CPU time from threads that have work, and a fit took up to 25 times as long
# (docs/decisions/0004-omp-passive-wait.md). It changes no result.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def load(path: "Path | str | None" = None, digest: str | None = None) -> "Model":
    """Load a packaged model, by default the current project's; see `skline.loading.load`."""
    from skline import loading

    return loading.load(path, digest)
