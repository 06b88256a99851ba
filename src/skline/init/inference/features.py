"""Infer what an input has besides its kind: its feature group, its bounds, its closed set of categories."""

import json
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from skline.contract.cells import is_text
from skline.counting import counted
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.names import name_tokens
from skline.init.inference.profile import Flags

#: A set with more categories is not closed: others may follow.
MAX_CHOICES = 20
#: If a category has fewer rows, the set is not considered complete.
MIN_CATEGORY_ROWS = 5
#: A column with more distinct values is in the feature group "many_categories".
MAX_CATEGORIES = 40
#: A column of more distinct values is free text if its cells have this many words on average, and more than this share
#: of them is different; or if they have as many words as sentences.
MIN_TEXT_WORDS, MIN_TEXT_SHARE, MIN_SENTENCE_WORDS = 3, 0.5, 6
#: A column of many categories may be text if its cells have this many words on average, as titles have, and a text is
#: on average in fewer than four rows, of which the mean of the target says little.
MIN_TITLE_WORDS, MIN_TITLE_SHARE = 2, 0.25
#: Cells in which words are counted.
MAX_COUNTED_CELLS = 5_000
#: Columns that a remark names.
MAX_NAMED = 5
#: Distinct numbers that a column needs, so that one of them can be taken for a stand-in.
MIN_STAND_IN_DISTINCT = 10
CODE_WORDS = {
    "code", "codes", "type", "kind", "category", "class", "id", "zip", "zipcode", "plz", "region", "district",
    "zone", "area_code", "department", "dept", "branch", "store", "product", "sku", "cluster", "segment", "group",
    "status", "channel", "mode", "grp",
}  # fmt: skip
AMOUNT_WORDS = {
    "count", "counts", "number", "num", "n", "nr", "no", "qty", "quantity", "total", "visits", "calls", "orders",
    "items", "children", "kids", "dependents", "siblings", "rooms", "bedrooms", "bathrooms", "pages", "clicks",
    "purchases", "logins", "tickets", "years", "months", "days", "hours", "minutes", "tenure", "age", "price",
    "cost", "amount", "salary", "income", "fee", "charge", "charges", "payment", "revenue", "sales", "area",
    "distance", "length", "width", "height", "weight", "size", "duration", "population", "volume", "wage", "rent",
    "fare", "mileage", "horsepower", "speed", "sqft", "surface",
}  # fmt: skip
#: Words in names of things that are counted, or usually measured in whole units.
COUNT_WORDS = {
    "count", "counts", "number", "num", "n", "nr", "no", "qty", "quantity", "visits", "calls", "orders", "items",
    "children", "kids", "dependents", "siblings", "rooms", "bedrooms", "bathrooms", "pages", "clicks", "purchases",
    "logins", "tickets", "year", "years", "month", "months", "day", "days", "hour", "hours", "minute", "minutes", "age",
    "tenure", "population", "rank", "score", "points", "views", "votes", "seats", "doors", "cylinders", "floor",
    "floors", "rating", "week", "weeks", "time", "size", "steps",
}  # fmt: skip
#: Words in names of things that are measured.
MEASURE_WORDS = {
    "weight", "height", "length", "width", "depth", "temperature", "temp", "pressure", "glucose", "insulin",
    "cholesterol", "distance", "speed", "voltage", "current", "power", "energy", "humidity", "rainfall",
    "precipitation", "concentration", "dose", "thickness", "diameter", "radius", "volume", "price", "cost", "amount",
    "salary", "income", "fee", "charge", "charges", "payment", "revenue", "wage", "rent", "fare", "area", "duration",
    "horsepower", "mileage", "bmi", "gewicht", "laenge", "länge", "breite", "höhe", "temperatur", "druck", "preis",
    "kosten", "betrag", "gehalt", "einkommen", "miete", "fläche", "dauer",
}  # fmt: skip
#: Measurements that are whole numbers by chance have more distinct values than this, if their name is not known.
MAX_COUNTED = 40
SHARE_WORDS = {"share", "rate", "ratio", "fraction", "probability", "prob", "proportion", "anteil"}
CODES_DOUBT = "treated as categories; if a larger number means more, remove feature_group"
TITLE_DOUBT = (
    'if single words predict the target, write feature_group="text" in its column() of src/model/contract.py, and add '
    '("text", TextFeatures(), groups["text"]) at the end of the columns in src/model/pipeline.py, with '
    'TextFeatures of skline.features; remove the line of "many_categories" if no other column is in that group'
)
#: Word of a name → the bounds of such a column, used if all values are within them.
KNOWN_BOUNDS: dict[str, dict[str, int]] = {
    "age": {"ge": 0, "le": 120},
    "alter": {"ge": 0, "le": 120},
    "latitude": {"ge": -90, "le": 90},
    "lat": {"ge": -90, "le": 90},
    "longitude": {"ge": -180, "le": 180},
    "lon": {"ge": -180, "le": 180},
    "lng": {"ge": -180, "le": 180},
    "month": {"ge": 1, "le": 12},
    "hour": {"ge": 0, "le": 23},
    "percent": {"ge": 0, "le": 100},
    "percentage": {"ge": 0, "le": 100},
    "humidity": {"ge": 0, "le": 100},
}


def describe_input(guess: ColumnGuess) -> None:
    """Set the feature group, the bounds and the choices of an input."""
    if guess.kind in ("integer", "number"):
        _describe_number(guess)
    elif guess.kind == "string":
        _describe_text(guess)


def _describe_number(guess: ColumnGuess) -> None:
    """Tell codes from amounts, and set the natural bounds of amounts."""
    values = guess.values.dropna()
    name = name_tokens(guess.name)
    distinct = guess.n_distinct if guess.kind == "integer" else None
    if distinct is not None and name & CODE_WORDS and 2 < distinct <= max(len(values) / 10, 3):
        guess.reasons.append(f"a code: {distinct} distinct numbers, and its name says so")
        guess.doubts.append(CODES_DOUBT)
        guess.feature_group = "category" if distinct <= MAX_CATEGORIES else "many_categories"
        guess.choices = closed_set(guess)
        return
    if distinct is not None and 3 <= distinct <= MAX_CATEGORIES and _are_spread_codes(guess.counts):
        guess.reasons.append(f"a code: only {distinct} distinct numbers, far apart and of the same length")
        guess.doubts.append(CODES_DOUBT)
        guess.feature_group = "category"
        return
    if guess.kind == "integer" and guess.with_point and (not guess.nullable or is_measurement(guess.name)):
        # pandas writes whole numbers with a point only in columns with missing cells.
        guess.kind, guess.values = "number", guess.values.astype("float64")
        guess.reasons.append("with a decimal point, so that fractions are possible")
    low, high = values.min(), values.max()
    for word in name:
        bounds = KNOWN_BOUNDS.get(word)
        if bounds and low >= bounds["ge"] and high <= bounds["le"]:
            guess.bounds = dict(bounds)
            guess.reasons.append(f"from {bounds['ge']} to {bounds['le']}, by its name")
            return
    if name & SHARE_WORDS and low >= 0 and high <= 1:
        guess.bounds = {"ge": 0, "le": 1}
    elif low >= 0 and (name & AMOUNT_WORDS or (guess.kind == "integer" and low == 0 and guess.n_distinct > 2)):
        guess.bounds = {"ge": 0}


def is_measurement(name: str) -> bool:
    """Whether a column is named like a measurement, which may have a fraction."""
    tokens = name_tokens(name)
    return bool(tokens & MEASURE_WORDS) and not tokens & COUNT_WORDS


def whole_number_remarks(guesses: Sequence[ColumnGuess]) -> list[str]:
    """Name the inputs that are whole numbers in this table and are likely measurements; empty if there are none."""
    likely = [guess for guess in guesses if guess.role == "input" and _may_have_fractions(guess)]
    if not likely:
        return []
    names, values = [guess.name for guess in likely], likely[0].values.dropna()
    example = min(int(values.median()), int(values.max()) - 1) + 0.5  # within the bounds, as all values are
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    listed = ", ".join(map(repr, names[:MAX_NAMED])) + more
    verb = "has" if len(names) == 1 else "have"
    remark = (
        f"{listed} {verb} whole numbers only, and requests with a fraction, such as {example}, are rejected; where one "
        "is possible, write `float` in place of `int` in src/model/contract.py"
    )
    return [remark]


def stand_in_remarks(guesses: Sequence[ColumnGuess], cells: pa.Table) -> list[str]:
    """Name the inputs of numbers with a value that may stand for missing, and how to declare it.

    `cells` has the columns of the guesses, as they are written or stored.
    """
    remarks = []
    for guess in guesses:
        if guess.role != "input" or guess.kind not in ("integer", "number"):
            continue
        if (number := find_stand_in(guess.values)) is None:
            continue
        is_stand_in = (guess.values == number).to_numpy()
        others = guess.values[~is_stand_in]
        remarks.append(
            f"{guess.name!r} is {_plain(number)} in {counted(int(is_stand_in.sum()), 'row')}, "
            f"{_plain(others.min())} to {_plain(others.max())} in all others; if it stands for missing, "
            + _how_to_declare(guess, number, cells.column(guess.name), is_stand_in)
        )
    return remarks


def _how_to_declare(guess: ColumnGuess, number: float, cells: pa.ChunkedArray, is_stand_in: Flags) -> str:
    """Say how a number is declared as missing: words for missing values are texts, which stored numbers are not."""
    column, nullable = "its column of src/model/contract.py", "" if guess.nullable else ", nullable=True"
    if not is_text(cells.type):
        also = f", and write `{nullable.removeprefix(', ')}` in {column}" if nullable else ""
        return f"replace {_plain(number)} by NaN in prepare() of src/model/source.py{also}"
    if guess.missing is not None:
        return f"add {', '.join(map(json.dumps, _texts(cells, is_stand_in)))} to `missing` of {column}"
    # The argument replaces the usual words, of which the column may have some.
    words = _texts(cells, is_stand_in | guess.values.isna().to_numpy())
    return f"write `missing={json.dumps(words, ensure_ascii=False)}{nullable}` in {column}"


def _texts(cells: pa.ChunkedArray, chosen: Flags) -> list[str]:
    """Return the different texts of some cells, without blanks around them."""
    texts = cells.filter(pa.array(chosen)).unique().cast(pa.string()).to_pylist()
    return sorted({text.strip() for text in texts if text is not None} - {""})


def _plain(number: float) -> str:
    """Write a number with all of its digits, a whole one without a point."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def find_stand_in(values: pd.Series) -> float | None:
    """Return a repeated extreme number that may stand for missing, such as -999; None if there is none.

    It is farther from the next number than all others are from one another, and in at least ten rows and 0.5 % of them.
    """
    filled, least = values.dropna().to_numpy(dtype=np.float64), max(10, 0.005 * len(values))
    for number in (filled.min(), filled.max()) if len(filled) else ():
        others = filled[filled != number]
        if not len(others) or len(filled) - len(others) < least:
            continue
        low, high = others.min(), others.max()
        if min(abs(low - number), abs(high - number)) > high - low:
            return float(number) if values.nunique() >= MIN_STAND_IN_DISTINCT else None
    return None


def _may_have_fractions(guess: ColumnGuess) -> bool:
    """Whether an input of whole numbers is likely a measurement: by its name, or by its many distinct values."""
    if guess.kind != "integer" or guess.feature_group is not None or guess.notation is not None or guess.doubts:
        return False
    if name_tokens(guess.name) & COUNT_WORDS:
        return False
    return is_measurement(guess.name) or guess.n_distinct > MAX_COUNTED


def _are_spread_codes(counts: "pd.Series[int]") -> bool:
    """Whether few whole numbers recur and have the same length, three digits or more, with wide gaps."""
    if counts.min() < MIN_CATEGORY_ROWS or counts.index.min() < 100:
        return False
    seen = np.sort(counts.index.to_numpy(dtype=np.float64))
    if len({len(str(int(value))) for value in seen}) != 1 or (seen[0] >= 1900 and seen[-1] <= 2100):
        return False
    steps = np.diff(seen)
    return bool(
        steps.max() > 1 and len(np.unique(steps)) > 1 and not (seen % 10 == 0).all() and not (seen % 25 == 0).all()
    )


def _describe_text(guess: ColumnGuess) -> None:
    """Tell free text, many categories and few categories apart, and close a set that is complete."""
    values, distinct = guess.values.dropna(), guess.n_distinct
    words = 0.0
    if distinct > min(MAX_CATEGORIES, len(values) / 4):
        words = values.head(MAX_COUNTED_CELLS).str.count(r"\S+").mean()
        is_different = distinct > MIN_TEXT_SHARE * len(values)
        if words >= MIN_TEXT_WORDS and (is_different or words >= MIN_SENTENCE_WORDS):
            guess.feature_group = "text"
            guess.reasons.append(f"free text of {words:.0f} words on average")
            return
    if distinct > MAX_CATEGORIES:
        guess.feature_group = "many_categories"
        guess.reasons.append(f"many categories ({distinct:,})")
        if words >= MIN_TITLE_WORDS and distinct > MIN_TITLE_SHARE * len(values) and not guess.near_miss:
            guess.doubts.append(f"{words:.1f} words on average, {distinct:,} different texts; {TITLE_DOUBT}")
        if distinct > 0.9 * len(values) and not guess.near_miss:
            guess.doubts.append(
                "almost every row has a different text; remove it from Inputs if it only identifies the row"
            )
        return
    guess.choices = closed_set(guess)
    openness = "a closed set: requests with another are rejected (422)" if guess.choices else "an open set"
    guess.reasons.append(f"{distinct} categories, {openness}")


def closed_set(guess: ColumnGuess) -> list[object] | None:
    """Return the sorted categories if they are few, and each has so many rows that no other is expected; else None."""
    counts, min_rows = guess.counts, max(MIN_CATEGORY_ROWS, 0.002 * len(guess.values))
    if len(counts) > MAX_CHOICES or len(counts) < 2 or counts.min() < min_rows:
        return None
    choices = sorted(value.item() if hasattr(value, "item") else value for value in counts.index)
    if guess.values.dtype.kind in "if":
        return [int(value) for value in choices]
    return None if any(re.search(r"[\r\n]", str(choice)) for choice in choices) else list(choices)
