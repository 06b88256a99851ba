"""The stage ingest has to depend on the look-ups and their local histories."""

from typing import Any

import pytest

from skline.doctor.lookups import check_lookups
from skline.settings.lookups import LookupSettings


def lookups(uri: str) -> dict[str, LookupSettings]:
    return {"shops": LookupSettings.model_validate({"key": "shop", "history": {"uri": uri}})}


@pytest.mark.parametrize(
    ("uri", "stage", "remedy"),
    [
        ("data/l/shops.parquet", {"params": ["lookups"], "deps": ["data/l/shops.parquet"]}, None),
        ("data/l/shops.parquet", {"params": ["lookups"], "deps": ["data/l"]}, None),
        ("s3://bucket/shops.parquet", {"params": ["lookups"]}, None),
        ("data/l/shops.parquet", {"params": ["lookups"], "deps": ["data/source"]}, "add `data/l/shops.parquet` among"),
        ("s3://bucket/shops.parquet", {"params": [{"engine.json": ["x"]}]}, "add `lookups` among its params"),
    ],
)
def test_ingest_depends_on_lookups_and_histories(uri: str, stage: dict[str, Any], remedy: str | None) -> None:
    findings = check_lookups(lookups(uri), stage)
    assert [finding.level for finding in findings] == ([] if remedy is None else ["broken"])
    assert remedy is None or findings[0].remedy.startswith(remedy)
    assert check_lookups({}, {}) == []
