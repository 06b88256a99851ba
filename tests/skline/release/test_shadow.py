"""Logged requests that a challenger scores: those that violate its contract are skipped, and the others compared."""

from pathlib import Path

import pytest

from skline.artifact import Artifact
from skline.clock import now_us
from skline.errors import SklineError
from skline.ids import new_prediction_id
from skline.logs.entity import EntityHasher
from skline.logs.records import Prediction, PredictionEncoder
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.release.shadow import score_log
from skline.scoring.golden_verification import parse_rows
from tests.fixtures import demo


@pytest.mark.parametrize(("invalid", "skipped"), [((), 0), ((1, 4), 2)])
def test_rows_that_violate_the_contract_are_skipped_and_the_others_compared(
    tmp_path: Path, packaged: demo.Packaged, invalid: tuple[int, ...], skipped: int
) -> None:
    artifact = Artifact.open(packaged.folder, packaged.digest)
    settings = log_of(artifact, tmp_path, invalid)
    result = score_log(artifact, settings, None, None)
    assert (result["rows"], result["skipped"]) == (6 - skipped, skipped)
    assert result["agreement"] == 1, "each row is compared with its own prediction"
    assert result["score_difference"]["max_absolute"] == 0


def test_log_without_a_valid_row_is_an_error(tmp_path: Path, packaged: demo.Packaged) -> None:
    artifact = Artifact.open(packaged.folder, packaged.digest)
    with pytest.raises(SklineError, match="none of the 6 logged rows conforms to the contract of demo@"):
        score_log(artifact, log_of(artifact, tmp_path, range(6)), None, None)


def log_of(artifact: Artifact, folder: Path, invalid: range | tuple[int, ...]) -> LogSettings:
    """Log six golden rows with the artifact's own predictions; the distance of the invalid ones is negative."""
    settings = LogSettings(database=str(folder / "log.db"), partitions=folder / "days")
    golden = artifact.golden
    assert golden.probabilities is not None
    encoder, records = PredictionEncoder(settings, EntityHasher(settings)), []
    for index, row in enumerate(parse_rows(artifact.contract, golden.rows[-6:])):
        prediction, probabilities = golden.predictions[index - 6], golden.probabilities[index - 6]
        record = Prediction(
            new_prediction_id(), now_us(), artifact.version, artifact.digest, "plan",
            row | ({"distance": -5} if index in invalid else {}), prediction,
            dict(zip(artifact.contract.class_names or [], probabilities, strict=True)), role="champion",
        )  # fmt: skip
        records.append(encoder.encode(record))
    store = open_store(settings)
    store.write("predictions", records)
    store.close()
    return settings
