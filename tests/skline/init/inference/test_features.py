"""Tests of what `skline init` infers of inputs: the example of a fraction is a value that the column can have."""

import re

import numpy as np
import pandas as pd
import pytest

from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.features import find_stand_in, whole_number_remarks


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
