"""The project's pipeline, for those who fit it outside of the stage train."""

from collections.abc import Callable

from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract


def read_build() -> Callable[[Contract], Pipeline]:
    """Return `build_pipeline` of src/model/pipeline.py of the project in the current folder."""
    from model.pipeline import build_pipeline

    build: Callable[[Contract], Pipeline] = build_pipeline
    return build
