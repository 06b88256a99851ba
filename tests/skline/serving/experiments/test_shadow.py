"""Shadow models: they score what the champion predicts, and only the log gets their results."""

from pathlib import Path
from typing import Any

from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases, version_of, wait_for_release
from tests.fixtures.service import logged_rows, metric


def test_shadow_scores_every_row_and_only_the_log_gets_the_result(
    releases: ServedReleases,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    tmp_path: Path,
    example: dict[str, Any],
) -> None:
    with releases.serve() as client:
        releases.start_experiment(other_packaged, "shadow")
        wait_for_release(client, 2)
        single = client.post("/predict", json=example).json()
        batch = client.post("/predict/batch", json=[example] * 3).json()["predictions"]
        assert {response["model_version"] for response in (single, *batch)} == {version_of(packaged)}
        rows = {row["prediction_id"]: row for row in logged_rows(tmp_path, 8).to_pylist()}
        for response in (single, *batch):
            own, shadow = rows[response["prediction_id"]], rows[response["prediction_id"] + ".shadow"]
            assert (own["role"], own["arm"], own["experiment"]) == ("champion", "champion", "shadow-1")
            assert (shadow["role"], shadow["model_version"]) == ("shadow", version_of(other_packaged))
            assert shadow["inputs"] == own["inputs"]
            assert shadow["probabilities"] != own["probabilities"]
        assert metric(client, 'skline_shadow_rows_total{outcome="scored"}') == 4
        client.post("/predict/batch", json=[example] * 500)
        wait_for_release(client, releases.store.abort("").release.number)


def test_rows_beyond_the_shadow_queue_are_dropped_and_counted(
    releases: ServedReleases, other_packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    with releases.serve(shadow_queue=10) as client:
        releases.start_experiment(other_packaged, "shadow")
        wait_for_release(client, 2)
        assert client.post("/predict/batch", json=[example] * 500).status_code == 200
        assert metric(client, 'skline_shadow_rows_total{outcome="dropped"}') == 490
