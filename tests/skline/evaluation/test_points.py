"""Plots: dvc.yaml names the same tables for every task, and each task fills its own."""

import io

import numpy as np
import pandas as pd
import yaml

from skline.evaluation import points
from tests.demo import ROOT


def drawn() -> dict[str, set[str]]:
    """Columns that dvc.yaml draws, by table."""
    plots = [spec for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] for spec in plot.values()]
    return {
        path.removeprefix("reports/plots/").removesuffix(".csv"): {spec["x"], column}
        for spec in plots
        for path, column in spec["y"].items()
    }


def test_every_task_writes_every_table_that_dvc_draws() -> None:
    truth, scores = np.array([True, False, True, False]), np.array([0.9, 0.2, 0.4, 0.6])
    tasks = {
        "binary": points.binary_points(truth, scores, 0.5),
        "multiclass": {"confusion": points.confusion(np.array(["a", "b"]), np.array(["a", "c"]))},
        "regression": {"residuals": points.residuals(scores, scores)},
    }
    for tables in tasks.values():
        written = points.complete(tables)
        assert written.keys() == drawn().keys()
        for name, columns in drawn().items():
            assert columns <= set(pd.read_csv(io.StringIO(written[name].to_csv(index=False))).columns)
            assert list(written[name].columns) == points.TABLES[name]
            assert (len(written[name]) > 0) == (name in tables)


def test_confusion_counts_pairs() -> None:
    counted = points.confusion(np.array(["a", "a", "b"]), np.array(["a", "a", "c"]))
    assert counted.to_dict("split")["data"] == [["a", "a", 2], ["b", "c", 1]]
