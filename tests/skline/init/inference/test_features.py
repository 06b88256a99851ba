"""Tests of what `skline init` infers of inputs, and of what it asks to be checked."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skline.init.codegen.estimators import BOOSTING, render_step
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.features import (
    TITLE_DOUBT,
    describe_input,
    find_stand_in,
    stand_in_remarks,
    whole_number_remarks,
)


@pytest.mark.parametrize("values", [[0, *[120] * 50], [100, 110, 120], [7, 7, 8]])
def test_example_of_a_fraction_is_within_the_values(values: list[int]) -> None:
    [remark] = whole_number_remarks([ColumnGuess("weight", "integer", pd.Series(values), ["whole numbers"])])
    match = re.search(r"such as ([\d.]+),", remark)
    assert match is not None
    assert min(values) < float(match[1]) < max(values)
    assert not float(match[1]).is_integer()


def test_a_repeated_number_far_outside_of_the_others_may_stand_for_missing() -> None:
    temperatures = pd.Series([*np.linspace(-12, 32, 970), *[-999.0] * 30])
    assert find_stand_in(temperatures) == -999
    assert find_stand_in(temperatures[:970]) is None
    assert find_stand_in(pd.Series([0.0] * 30 + list(range(1, 100)))) is None


@pytest.mark.parametrize(
    ("cells", "missing", "advice"),
    [
        (
            ["-9999999.0"] * 12,
            None,
            'write `missing=["-9999999.0"], nullable=True` in its column of src/model/contract.py',
        ),
        (["-9999999"] * 12 + ["NA"], None, 'write `missing=["-9999999", "NA"]` in its column'),
        (["-9999999"] * 12 + ["n.d."], ["n.d."], 'add "-9999999" to `missing` of its column'),
        (
            [-9999999.0] * 12,
            None,
            "replace -9999999 by NaN in prepare() of src/model/source.py, and write `nullable=True`",
        ),
        ([-9999999.0] * 12 + [None], None, "replace -9999999 by NaN in prepare() of src/model/source.py"),
    ],
)
def test_remark_names_a_stand_in_as_the_table_writes_it(
    cells: list[Any], missing: list[str] | None, advice: str
) -> None:
    others = [1000 + index / 4 for index in range(100)]
    column = [*(map(str, others) if isinstance(cells[0], str) else others), *cells]
    values = pd.to_numeric(pd.Series(column), errors="coerce")
    guess = ColumnGuess("pressure", "number", values, ["numbers"], missing=missing)
    [remark] = stand_in_remarks([guess], pa.table({"pressure": column}))
    assert remark.startswith(
        "'pressure' is -9999999 in 12 rows, 1000 to 1024.75 in all others; if it stands for missing, "
    )
    assert advice in remark


def titles(distinct: int, words: int, rows: int = 400) -> ColumnGuess:
    """Return a column of `distinct` texts of so many words."""
    texts = [" ".join([f"w{index}", *["steel"] * (words - 1)]) for index in range(distinct)]
    return ColumnGuess("title", "string", pd.Series([texts[row % distinct] for row in range(rows)], dtype="str"), [])


@pytest.mark.parametrize(
    ("distinct", "words", "group", "may_be_text"),
    [
        (190, 4, "many_categories", True),  # in two rows each
        (101, 2, "many_categories", True),
        (100, 2, "many_categories", False),  # in four rows each
        (190, 1, "many_categories", False),
        (201, 3, "text", False),
    ],
)
def test_many_categories_of_several_words_may_be_text(distinct: int, words: int, group: str, may_be_text: bool) -> None:
    guess = titles(distinct, words)
    describe_input(guess)
    assert guess.feature_group == group
    advice = [doubt for doubt in guess.doubts if 'feature_group="text"' in doubt and "src/model/pipeline.py" in doubt]
    assert len(advice) == len(guess.doubts) == may_be_text


def test_advice_about_titles_is_the_line_that_init_writes_for_text() -> None:
    assert f'("text", {render_step(BOOSTING, "text", "binary")}, groups["text"])' in TITLE_DOUBT
