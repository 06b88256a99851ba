"""The text of a traced artifact: what is not recorded is left out."""

from typing import Any

import pytest

from skline.lineage.artifact_trace import ArtifactTrace
from skline.lineage.models import ModelRecord
from skline.lineage.snapshots import Snapshot
from skline.lineage.usage_text import artifact_text

MODEL = ModelRecord("a" * 64, (), (), (), (), None, None)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"source": "t.csv", "sha256": "b" * 64, "rows": 1_234}, f"t.csv, sha256 {'b' * 64}, 1,234 rows"),
        ({"source": "t.csv"}, "t.csv"),
        ({}, None),
    ],
)
def test_source_is_described_as_far_as_it_is_recorded(source: dict[str, Any], line: str | None) -> None:
    text = artifact_text(ArtifactTrace(MODEL, Snapshot(None, source, ()), ()))
    lines = [each.split(maxsplit=1)[1] for each in text.splitlines() if each.startswith("source")]
    assert lines == ([] if line is None else [line])
