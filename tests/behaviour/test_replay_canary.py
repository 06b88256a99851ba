"""`skline replay` of a policy with `auto_promote: canary`: a canary of some days promotes the version it tries."""

import json
import sys
from typing import Any

import pandas as pd
import pytest

from skline import paths
from skline.logs.read import read_predictions
from skline.release.store import ReleaseStore
from skline.retraining.journal import read_journal
from skline.retraining.replay.outcome import ReplayResult
from skline.retraining.replay.workspace import Workspace
from tests.fixtures.replayed_project import (
    HERE,
    LIVE_FROM,
    NAME,
    POLICY,
    count_live,
    make_replayed_project,
    start_replay,
)  # fmt: skip
from tests.fixtures.small_project import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LIVE_DAYS, ENTITIES = 7, 300
#: One training, of the labels of two days; its canary has two shares, of a day each.
CANARY: dict[str, Any] = POLICY | {
    "split": {
        "kind": "group", "validation": 0.2, "test": 0.3,
        "validation_from": None, "test_from": None, "live_from": None,
    },
    "retrain": {
        "max_age": "1d", "min_labels": 100, "cooldown": "30d", "auto_promote": "canary",
        "canary": {"percents": [30, 60], "every": "1d"},
    },
}  # fmt: skip
LOG = {"SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return the workspace of a finished replay in which a canary promoted a version."""
    project = make_replayed_project(
        tmp_path_factory.mktemp("replay") / "project", LIVE_DAYS, CANARY, entities=ENTITIES, guard_rows=20
    )
    status = start_replay(project, "--every", "1d", "--from", str(LIVE_FROM.date())).wait(timeout=1200)
    assert status == 0, (project / "replay.log").read_text()
    return Workspace(project / "replays" / NAME)


@pytest.fixture(scope="module")
def predictions(workspace: Workspace) -> pd.DataFrame:
    """Return the log in the order of time."""
    return read_predictions(workspace.log).to_pandas().sort_values("time", ignore_index=True)


def test_the_canary_is_promoted_at_its_end_after_checks_of_its_guards(workspace: Workspace) -> None:
    history = list(ReleaseStore(workspace.project / paths.RELEASES).history())[::-1]
    assert [each.action for each in history] == ["promote", "canary", "promote"]
    begun, promoted = history[1].time, history[2].time
    assert 2 * 86_400 <= (promoted - begun).total_seconds() <= 3 * 86_400
    trainings = [each.training for each in read_journal(workspace.log.folder).entries if each.training]
    assert [each.outcome for each in trainings] == ["registered", "canary", "promoted"]
    assert "no guard was breached in" in trainings[-1].message
    result = ReplayResult.model_validate_json((workspace.folder / "replay.json").read_bytes())
    assert result.live is not None
    assert [each.outcome for each in result.live.trainings] == ["promoted"]
    assert result.failed_requests == 0


def test_entities_move_to_the_challenger_as_its_share_grows(workspace: Workspace, predictions: pd.DataFrame) -> None:
    assert len(predictions) == count_live(LIVE_DAYS)
    [champion, challenger] = list(dict.fromkeys(predictions["artifact_digest"]))
    during = predictions[predictions["experiment"].notna()]
    is_challenger = during["arm"] == "challenger"
    served_by = {"champion": champion, "challenger": challenger}
    assert (during["artifact_digest"] == during["arm"].map(served_by)).all()
    assert 50 < during["entity"].nunique() <= ENTITIES
    assert is_challenger[during["bucket"] < 3_000].all()
    assert not is_challenger[during["bucket"] >= 6_000].any()
    assert set(is_challenger[during["bucket"].between(3_000, 5_999)]) == {False, True}
    assert is_challenger.groupby(during["entity"]).apply(lambda arms: arms.is_monotonic_increasing).all()
    after = predictions[predictions["time"] > during["time"].max()]
    assert set(after["artifact_digest"]) == {challenger}


def test_predictions_of_before_during_and_after_are_traced(workspace: Workspace, predictions: pd.DataFrame) -> None:
    kinds = predictions["artifact_digest"] + predictions["arm"].fillna("none")
    chosen = predictions.groupby(kinds, group_keys=False).sample(20, random_state=17)
    assert kinds.nunique() == 4, "before, the two arms, and after"
    ids = workspace.folder / "ids.txt"
    ids.write_text("\n".join(chosen["prediction_id"]))
    command = (sys.executable, "-m", "skline.cli", "trace", "--ids", str(ids), "--json")
    traced = json.loads(run(workspace.project, HERE, *command, **LOG).stdout)
    assert len(traced) == len(chosen)
    assert {each["recomputation"]["outcome"] for each in traced.values()} == {"equal"}
