"""The remarks of `skline init` about the classes of the target."""

import pandas as pd

from skline.contract.spec import Column, Contract
from skline.init.inference.task import few_rows_remarks, rare_class_remark

CLASSES = ("bug", "idea", "spam")
CONTRACT = Contract(
    title="",
    columns=(Column(name="x", kind="number"), Column(name="category", kind="string", role="target", choices=CLASSES)),
    task="multiclass",
    classes=CLASSES,
)


def test_a_class_that_the_test_part_may_lack_is_named_with_its_rows_and_the_remedy() -> None:
    target = pd.Series(["bug"] * 4_000 + ["idea"] * 1_987 + ["spam"] * 13)
    [remark] = few_rows_remarks(target, CONTRACT)
    assert remark.startswith("classes of category with few rows: spam in 13 of 6,000")
    assert "prepare() of src/model/source.py" in remark
    assert "isin of category in src/model/contract.py" in remark


def test_classes_with_enough_rows_give_no_remark() -> None:
    assert few_rows_remarks(pd.Series(list(CLASSES) * 30), CONTRACT) == []


def test_a_rare_class_is_named_as_the_table_writes_it() -> None:
    columns = (
        Column(name="x", kind="number"),
        Column(name="cancelled", kind="boolean", role="target", notation="ja/nein"),
    )
    contract = Contract(title="", columns=columns, task="binary", classes=(False, True))
    remark = rare_class_remark(pd.Series([True] * 10 + [False] * 90), contract)
    assert remark is not None
    assert remark.startswith("10% of the rows have cancelled = ja, and the threshold is 0.5")
