"""What `skline init` says of the split, the name and retraining."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skline.init.plan import InitOptions, make_plan
from skline.init.report import plan_report


def report(folder: Path, **options: str) -> list[str]:
    """Return the lines about a table of deliveries, each by one of 30 couriers, in no order of time."""
    random, path = np.random.default_rng(3), folder / "deliveries.csv"
    minutes = random.integers(0, 500_000, 600)
    table = pd.DataFrame(
        {
            "placed_at": (pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, "min")).strftime("%Y-%m-%d %H:%M"),
            "courier": [f"K{number}" for number in random.integers(0, 30, 600)],
            "weight": random.normal(size=600).round(3),
            "duration": random.normal(30, 5, 600).round(1),
        }
    )
    table.to_csv(path, index=False)
    plan = make_plan(path, str(path), InitOptions(str(path), "duration", **options))  # type: ignore[arg-type]
    return [line.strip() for line in plan_report(plan, []).splitlines()]


@pytest.mark.parametrize("group", [None, "courier"])
def test_report_says_once_how_the_table_is_split(tmp_path: Path, group: str | None) -> None:
    lines = report(tmp_path, **({"group": group} if group else {}))
    [split] = [line for line in lines if line.startswith("split: ")]
    [doubt] = [line for line in lines if line.startswith("placed_at: ")]
    if group is None:
        assert split.startswith("split: time")
        assert doubt.endswith("so the split is by time: the test part has the latest rows")
    else:
        assert split == "split: group (each group is in one part only)"
        assert doubt == (
            "placed_at: a datetime, but the split is by group; if it is the time of the row, --time 'placed_at', "
            "without --group, splits by it"
        )


def test_report_names_the_project_and_ends_with_retraining(tmp_path: Path) -> None:
    lines = report(tmp_path)
    assert "name: deliveries (of the project and its model; --name NAME chooses another)" in lines
    checks = lines[lines.index("Please check:") + 1 :]
    later = [number for number, line in enumerate(checks) if "`skline retrain`" in line]
    assert later[0] > checks.index(next(line for line in checks if line.startswith("placed_at: ")))
    assert "name: shop (of the project and its model; --name NAME chooses another)" in report(tmp_path, name="shop")
