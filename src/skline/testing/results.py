"""The results of `dvc repro`: whether they are there, and whether the packaged model has passed its gates."""

from typing import Any

from skline import paths
from skline.artifact import MANIFEST, read_digest
from skline.errors import SklineError
from skline.release.verdict import read_verdict
from skline.stages.gate import admit

#: What the tests of a packaged model need.
RESULTS = (paths.ARTIFACT / MANIFEST, paths.ARTIFACT_DIGEST, paths.part("test"), paths.VERDICT)


def needs_results() -> Any:
    """Return a mark that skips tests until `dvc repro` has packaged and assessed a model."""
    import pytest

    missing = [str(path) for path in RESULTS if not path.exists()]
    reason = (
        f"no {', no '.join(missing)} in this folder: run `dvc repro`, or `dvc pull`, and pytest in the project's root"
    )
    return pytest.mark.skipif(bool(missing), reason=reason)


def check_gates() -> None:
    """Assert that the model packaged last has passed its gates, and is the artifact."""
    verdict = read_verdict(paths.VERDICT)
    if not verdict.passed:
        raise AssertionError(f"{verdict.summary()} {verdict.failures()}")
    try:
        admit(verdict, read_digest(paths.ARTIFACT_DIGEST))
    except SklineError as error:
        raise AssertionError(str(error)) from None
