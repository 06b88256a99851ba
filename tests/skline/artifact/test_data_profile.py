"""Tests of the data profile."""

import pyarrow as pa

from skline.artifact.data_profile import profile
from tests.fixtures import demo


def test_profile_has_missing_shares_quantiles_categories_and_time_spans() -> None:
    train = demo.parts()["train"]
    columns = profile(pa.Table.from_pandas(train), demo.contract())["columns"]
    assert columns["distance"]["missing"] == 0
    assert columns["distance"]["quantiles"]["0.0"] == train["distance"].min()
    assert sum(columns["origin"]["categories"].values()) == len(train)
    assert columns["flight_date"]["from"].startswith("2013-01-01")
