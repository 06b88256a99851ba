"""Tests of the data profile."""

import pandas as pd
import pyarrow as pa

from skline.artifact.data_profile import profile
from skline.contract.spec import Column
from tests.fixtures import demo


def test_profile_has_missing_shares_quantiles_categories_and_time_spans() -> None:
    train = demo.parts()["train"]
    columns = profile(pa.Table.from_pandas(train), demo.contract())["columns"]
    assert columns["distance"]["missing"] == 0
    assert columns["distance"]["quantiles"]["0.0"] == train["distance"].min()
    assert sum(columns["origin"]["categories"].values()) == len(train)
    assert columns["flight_date"]["from"].startswith("2013-01-01")


def test_a_boolean_has_the_same_categories_with_and_without_missing_cells() -> None:
    column = Column(name="news", kind="boolean", nullable=True)
    contract = demo.contract().model_copy(update={"columns": (column,)})
    for cells in ([True, False, True], [1.0, 0.0, 1.0, None]):
        table = pa.Table.from_pandas(pd.DataFrame({"news": cells}))
        assert profile(table, contract)["columns"]["news"]["categories"] == {"True": 2, "False": 1}
