"""The stages on a Dask cluster write what they write in one process, byte by byte."""

from pathlib import Path

import pytest
import yaml

from skline import paths
from tests.fixtures.demo import ROOT
from tests.fixtures.small_project import make_project, run

ENVIRONMENT = ROOT / ".venv"
STAGES = ("train", "tune", "evaluate", "package", "assess")
SAME = (paths.SEARCH, paths.METRICS, paths.EVALUATION, paths.CANDIDATE_DIGEST, paths.VERDICT)


def set_params(folder: Path, **sections: dict[str, object]) -> None:
    file = folder / paths.PARAMS
    params = yaml.safe_load(file.read_text())
    for name, values in sections.items():
        params[name] = {**params.get(name, {}), **values}
    file.write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.mark.slow
def test_a_cluster_gives_the_same_model_and_the_same_verdict(tmp_path: Path) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    folder = make_project(tmp_path / "project")
    set_params(
        folder,
        train={"search": {"candidates": 4, "space": {"model__learning_rate": [0.05, 0.1, 0.3]}}},
        evaluate={"resamples": 100, "learning_curve": True, "importance_rows": 300},
    )
    for stage in ("ingest", "validate", "split"):
        run(folder, ENVIRONMENT, "skline", "stage", stage)
    written = []
    engines: tuple[dict[str, object], ...] = ({"kind": "local"}, {"kind": "dask", "workers": 2})
    for engine in engines:
        set_params(folder, engine=engine)
        output = [run(folder, ENVIRONMENT, "skline", "stage", stage).stdout for stage in STAGES]
        assert ("engine: dask, tcp://127.0.0.1:" in output[0]) == (engine["kind"] == "dask")
        written.append([(folder / path).read_bytes() for path in SAME])
    assert written[0] == written[1]
