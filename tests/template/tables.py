"""Small sample tables of every kind that users have."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class SampleTable:
    """A table, its target, and the roles that `skline init` should infer."""

    frame: pd.DataFrame
    target: str
    leaks: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    useless: tuple[str, ...] = ()
    task: str = "binary"
    split: str = "random"
    csv: dict[str, object] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        self.frame.to_csv(path, **({"index": False} | self.csv))  # type: ignore[call-overload]
        return path


def make_columns(n: int, seed: int, columns: int = 3) -> tuple[pd.DataFrame, np.ndarray, np.random.Generator]:
    """Return columns of numbers and a category, a score computed from them and noise, and the random generator."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(n, columns)).round(3), columns=[f"x{i}" for i in range(columns)])
    frame["colour"] = random.choice(["red", "green", "blue"], n)
    score = frame["x0"] + 0.5 * frame["x1"] + (frame["colour"] == "red") + random.normal(size=n)
    return frame, score.to_numpy(), random


def binary() -> SampleTable:
    frame, score, random = make_columns(300, 1)
    frame.insert(0, "customer_id", [f"C{i:05d}" for i in random.permutation(300)])
    return SampleTable(frame.assign(churned=np.where(score > 0.5, "Yes", "No")), "churned", ids=("customer_id",))


def three_classes() -> SampleTable:
    frame, score, _ = make_columns(300, 2)
    grade = np.digitize(score, np.quantile(score, [0.4, 0.7]))
    return SampleTable(frame.assign(grade=np.array(["low", "middle", "high"])[grade]), "grade", task="multiclass")


def regression() -> SampleTable:
    frame, score, _ = make_columns(300, 3)
    price = [f"{value:,.2f} €".translate(str.maketrans(",.", ".,")) for value in 4000 + 1500 * score]
    return SampleTable(frame.assign(price=price), "price", task="regression", csv={"sep": ";", "encoding": "cp1252"})


def time_ordered() -> SampleTable:
    frame, score, _ = make_columns(300, 4)
    when = pd.date_range("2023-01-01", periods=300, freq="D").strftime("%Y-%m-%d")
    return SampleTable(
        frame.assign(day=when, sold=(20 + 5 * score).round().astype(int)), "sold", task="regression", split="time"
    )


def grouped() -> SampleTable:
    frame, score, random = make_columns(400, 5)
    frame["patient_id"] = random.integers(1000, 1060, 400)
    return SampleTable(frame.assign(ill=(score > 0).astype(int)), "ill", split="group")


def missing_everywhere() -> SampleTable:
    frame, score, random = make_columns(300, 6)
    frame["paid"] = random.choice(["y", "n"], 300)
    frame["rooms"] = random.integers(1, 9, 300).astype(object)
    frame["since"] = pd.date_range("2020-01-01", periods=300, freq="3D").strftime("%d.%m.%Y")[random.permutation(300)]
    holes = random.random(frame.shape) < 0.15
    frame = frame.astype(object).where(~holes, random.choice(np.array(["", "?", "NA"], dtype=object), frame.shape))
    frame["bad"] = pd.Series(score > 0).map({True: "yes", False: "no"}).where(random.random(300) > 0.05)
    return SampleTable(frame, "bad")


def dates() -> SampleTable:
    frame, score, random = make_columns(300, 7)
    days = pd.Series(pd.Timestamp("2019-03-01") + pd.to_timedelta(random.integers(0, 1500, 300), unit="D"))
    frame["german"], frame["english"] = (
        days.dt.strftime("%d.%m.%Y"),
        days.sample(frac=1, random_state=1).dt.strftime("%m/%d/%Y").to_numpy(),
    )
    frame["named"] = days.sample(frac=1, random_state=2).dt.strftime("%d %b %Y").to_numpy()
    frame["to_the_minute"] = (
        (days + pd.to_timedelta(random.integers(0, 1440, 300), unit="min")).dt.strftime("%Y-%m-%d %H:%M").to_numpy()
    )
    return SampleTable(frame.assign(y=score > 0), "y")


def leak() -> SampleTable:
    frame, score, random = make_columns(400, 8)
    alive = score > 0
    frame["alive"] = np.where(alive, "yes it is", "not any more")
    frame["closed_because"] = np.where(~alive & (random.random(400) < 0.7), "death", None)
    return SampleTable(frame.assign(survived=alive.astype(int)), "survived", leaks=("alive", "closed_because"))


def sum_leak() -> SampleTable:
    frame, score, random = make_columns(400, 9)
    casual, registered = random.poisson(np.exp(3 + 0.3 * score)), random.poisson(np.exp(5 + 0.3 * frame["x1"]))
    frame = frame.assign(casual=casual, registered=registered, rides=casual + registered)
    return SampleTable(frame, "rides", leaks=("casual", "registered"), task="regression")


def unicode_names() -> SampleTable:
    frame, score, _ = make_columns(300, 10)
    frame.columns = ["Größe", "年齢", "Цена", "couleur préférée"]
    return SampleTable(frame.assign(**{"Абонент ушёл": np.where(score > 0, "да", "нет")}), "Абонент ушёл")


def several_scripts() -> SampleTable:
    """Names and categories with letters that are two columns wide, or that look like Latin ones."""
    frame, score, random = make_columns(300, 15)
    frame.columns = ["顧客の年間購入金額" * 5, "Ηλικία πελάτη", "Сумма покупок", "Категория клиента"]
    frame["Категория клиента"] = random.choice(["постоянный", "случайный", "новый"], 300)
    frame["商品カテゴリー"] = random.choice(
        ["食料品と飲料のまとめ買いセット", "家電製品", "書籍・雑誌", "衣料品"] * 2, 300
    )
    frame["всегда одно"] = "да"
    frame["離反"] = np.where(score > 0, "はい", "いいえ")
    return SampleTable(frame, "離反", useless=("всегда одно",))


def punctuation() -> SampleTable:
    frame, score, random = make_columns(300, 11)
    frame.columns = ["Price ($)", "share, %", 'the "best" one', "what's/that?"]
    frame["a.b[0]"] = random.normal(size=300).round(2)
    frame["A.B(0)"] = random.normal(size=300).round(2)
    frame[" x "] = random.normal(size=300).round(2)
    frame["{curly}\\"] = random.choice(["a,b", "c;d", 'e"f'], 300)
    return SampleTable(frame.assign(**{"sold?": np.where(score > 0, "Y", "N")}), "sold?")


def keywords() -> SampleTable:
    frame, score, random = make_columns(300, 12)
    frame.columns = ["class", "lambda", "None", "import"]
    for name in (
        "copy",
        "json",
        "schema",
        "model_config",
        "validate",
        "str",
        "Config",
        "_private",
        "1st",
        "rows",
        "columns",
        "index",
        "self",
    ):
        frame[name] = random.normal(size=300).round(3)
    return SampleTable(frame.assign(**{"def": (score > 0).astype(int)}), "def")


def wide() -> SampleTable:
    frame, score, _ = make_columns(400, 13, columns=300)
    return SampleTable(frame.assign(y=score > 0), "y")


def fifty_rows() -> SampleTable:
    frame, _, _ = make_columns(50, 14)
    # Without noise: of noise, so few rows teach a model no more than a constant, which a gate rejects.
    return SampleTable(frame.assign(won=np.where(frame["x0"] > frame["x0"].quantile(0.8), "win", "loss")), "won")


TABLES: dict[str, Callable[[], SampleTable]] = {
    make.__name__: make
    for make in (
        binary, three_classes, regression, time_ordered, grouped, missing_everywhere, dates, leak, sum_leak,
        unicode_names, several_scripts, punctuation, keywords, wide, fifty_rows,
    )
}  # fmt: skip
