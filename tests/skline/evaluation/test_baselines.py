"""The linear baseline uses every kind of input."""

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.evaluation.baselines import build_linear


def test_the_linear_baseline_reads_free_text() -> None:
    rng = np.random.default_rng(0)
    good = rng.random(300) > 0.5
    words = np.where(good[:, None], "delivered quickly", "arrived broken")
    text = [f"{' '.join(row)} number {index}" for index, row in enumerate(words)]
    rows = pd.DataFrame({"comment": text, "good": good})
    contract = Contract(
        title="t",
        task="binary",
        classes=(False, True),
        columns=(
            Column(name="comment", kind="string", feature_group="text"),
            Column(name="good", kind="boolean", role="target"),
        ),
    )
    fitted = build_linear(contract).fit(rows[["comment"]][:200], good[:200])
    assert (fitted.predict(rows[["comment"]][200:]) == good[200:]).all()
