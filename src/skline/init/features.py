"""What is to be said about an input beside its kind: its group, its bounds, its closed set of categories."""

import re

import numpy as np
import pandas as pd

from skline.init.guess import Guess
from skline.init.names import tokens

#: A set of categories with more members is open.
MOST_CHOICES = 20
#: A category that was seen less often does not prove that the set is complete.
LEAST_SEEN = 5
#: More different texts than this are many.
MANY = 40
CODES = {
    "code", "codes", "type", "kind", "category", "class", "id", "zip", "zipcode", "plz", "region", "district",
    "zone", "area_code", "department", "dept", "branch", "store", "product", "sku", "cluster", "segment", "group",
    "status", "channel", "mode", "grp",
}  # fmt: skip
COUNTS = {
    "count", "counts", "number", "num", "n", "nr", "no", "qty", "quantity", "total", "visits", "calls", "orders",
    "items", "children", "kids", "dependents", "siblings", "rooms", "bedrooms", "bathrooms", "pages", "clicks",
    "purchases", "logins", "tickets", "years", "months", "days", "hours", "minutes", "tenure", "age", "price",
    "cost", "amount", "salary", "income", "fee", "charge", "charges", "payment", "revenue", "sales", "area",
    "distance", "length", "width", "height", "weight", "size", "duration", "population", "volume", "wage", "rent",
    "fare", "mileage", "horsepower", "speed", "sqft", "surface",
}  # fmt: skip
SHARES = {"share", "rate", "ratio", "fraction", "probability", "prob", "proportion", "anteil"}
#: Word of a name → the bounds it has, where all values keep them.
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


def describe(guess: Guess) -> None:
    """Fill in the feature group, the bounds and the choices."""
    if guess.kind in ("integer", "number"):
        _number(guess)
    elif guess.kind == "string":
        _text(guess)


def _number(guess: Guess) -> None:
    """Tell codes from amounts, and give amounts the bounds that they have by what they are."""
    values = guess.values.dropna()
    name = tokens(guess.name)
    distinct = values.nunique()
    if guess.kind == "integer" and name & CODES and 2 < distinct <= max(len(values) / 10, 3):
        guess.reasons.append(f"a code: {distinct} different numbers that its name does not call an amount")
        guess.looks.append("numbers as categories; take feature_group away if more means more")
        guess.feature_group = "category" if distinct <= MANY else "many_categories"
        guess.choices = closed_set(values, len(guess.values))
        return
    if guess.kind == "integer" and _spread_codes(values):
        guess.reasons.append(f"a code: only {distinct} different numbers, far apart and of one length")
        guess.looks.append("numbers as categories; take feature_group away if more means more")
        guess.feature_group = "category" if distinct <= MANY else "many_categories"
        return
    low, high = values.min(), values.max()
    for word in name:
        known = KNOWN_BOUNDS.get(word)
        if known and low >= known["ge"] and high <= known["le"]:
            guess.bounds = dict(known)
            return
    if name & SHARES and low >= 0 and high <= 1:
        guess.bounds = {"ge": 0, "le": 1}
    elif low >= 0 and (name & COUNTS or (guess.kind == "integer" and low == 0 and distinct > 2)):
        guess.bounds = {"ge": 0}


def _spread_codes(values: pd.Series) -> bool:
    """Whether few whole numbers of one length, three digits or more, recur with wide gaps, as codes do."""
    counts = values.value_counts()
    if not 3 <= len(counts) <= MANY or counts.min() < LEAST_SEEN or values.min() < 100:
        return False
    seen = np.sort(counts.index.to_numpy(dtype=np.float64))
    if len({len(str(int(value))) for value in seen}) != 1 or (seen[0] >= 1900 and seen[-1] <= 2100):
        return False
    steps = np.diff(seen)
    return bool(
        steps.max() > 1 and len(np.unique(steps)) > 1 and not (seen % 10 == 0).all() and not (seen % 25 == 0).all()
    )


def _text(guess: Guess) -> None:
    """Tell free text from many categories from few, and close the set where it is complete."""
    values = guess.values.dropna()
    distinct = values.nunique()
    sample = values.head(5000)
    words = sample.str.count(r"\S+")
    if (
        distinct > min(MANY, len(values) / 4)
        and words.mean() >= 3
        and (distinct > 0.5 * len(values) or words.mean() >= 6)
    ):
        guess.feature_group = "text"
        guess.reasons.append(f"free text, {words.mean():.0f} words on average")
        return
    if distinct > MANY:
        guess.feature_group = "many_categories"
        guess.reasons.append(f"many categories: {distinct:,} different")
        if distinct > 0.9 * len(values):
            guess.looks.append("nearly another text in every row: leave it out of Inputs if it only names the row")
        return
    guess.choices = closed_set(values, len(guess.values))
    told = "a closed set" if guess.choices else "others may come"
    guess.reasons.append(f"{distinct} categories, {told}")


def closed_set(values: pd.Series, n_rows: int) -> list[object] | None:
    """Return the sorted categories if they are few and each was seen often enough that no other is to be expected."""
    counts = values.value_counts()
    often = max(LEAST_SEEN, 0.002 * n_rows)
    if len(counts) > MOST_CHOICES or len(counts) < 2 or counts.min() < often:
        return None
    choices = sorted(value.item() if hasattr(value, "item") else value for value in counts.index)
    if values.dtype.kind in "if":
        return [int(value) for value in choices]
    return None if any(re.search(r"[\r\n]", str(choice)) for choice in choices) else list(choices)
