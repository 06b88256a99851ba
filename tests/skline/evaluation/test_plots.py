"""Plot tables: dvc.yaml names the same tables for every task, and each task fills its own."""

import io

import numpy as np
import pandas as pd
import yaml

from skline.evaluation import plots
from skline.evaluation.resampling import BinarySample, MulticlassSample, RegressionSample
from tests.fixtures.demo import ROOT


def columns_in_dvc_yaml() -> dict[str, set[str]]:
    """Return the columns that dvc.yaml draws, by table."""
    specs = [spec for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] for spec in plot.values()]
    return {
        path.removeprefix("reports/plots/").removesuffix(".csv"): {spec["x"], column}
        for spec in specs
        for path, column in spec["y"].items()
    }


def test_every_task_writes_every_table_that_dvc_draws() -> None:
    truth, scores = np.array([True, False, True, False]), np.array([0.9, 0.2, 0.4, 0.6])
    classes = np.array(["a", "b", "c"])
    samples = {
        BinarySample(truth, scores, 0.5): {"roc", "precision_recall", "calibration", "confusion", "threshold"},
        MulticlassSample(np.array(["a", "b"]), np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]), classes): {"confusion"},
        RegressionSample(scores, scores): {"residuals"},
    }
    for sample, filled in samples.items():
        tables = plots.plot_tables(sample)
        assert tables.keys() == columns_in_dvc_yaml().keys()
        for name, columns in columns_in_dvc_yaml().items():
            assert columns <= set(pd.read_csv(io.StringIO(tables[name].to_csv(index=False))).columns)
            assert list(tables[name].columns) == plots.TABLES[name]
            assert (len(tables[name]) > 0) == (name in filled)


def test_confusion_counts_pairs_of_actual_and_predicted_class() -> None:
    counted = plots.confusion(np.array(["a", "a", "b"]), np.array(["a", "a", "c"]))
    assert counted.to_dict("split")["data"] == [["a", "a", 2], ["b", "c", 1]]
