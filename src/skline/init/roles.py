"""Which columns are no inputs: constants, copies, ids; and which tell the time of a row or its group."""

import re

import numpy as np
import pandas as pd

from skline.init.guess import Guess
from skline.init.names import tokens

#: Words of a name that an id may have.
ID_WORDS = {"id", "ids", "uuid", "guid", "key", "index", "idx", "identifier", "rowid", "row", "reference", "ref"}
#: The end of a name that counts things: an order number, but not a number of orders.
NUMBERED = re.compile(r"(^|[\W_])(no|nr|num|number|nummer)\W*$|^unnamed", re.IGNORECASE)
#: Whom several rows may be about.
WHO = {
    "patient", "customer", "user", "subject", "client", "household", "person", "member", "account", "device",
    "machine", "driver", "employee", "student", "participant", "group", "visitor", "session", "kunde", "kunden",
}  # fmt: skip
TIME_WORDS = {
    "date", "time", "datetime", "timestamp", "day", "created", "at", "when", "dt", "datum", "zeit", "month", "week",
    "event", "order", "transaction", "dteday",
}  # fmt: skip
#: Dates about somebody, not about the row.
OTHER_DATES = {
    "birth", "dob", "birthday", "birthdate", "born", "geburt", "geburtsdatum", "expiry", "expires", "expiration",
}  # fmt: skip


def leave_out_useless(guesses: list[Guess], target: Guess) -> None:
    """Leave out columns that hold one value, none, or the same as an earlier column."""
    seen: dict[tuple[str, int], list[Guess]] = {}
    for guess in guesses:
        if guess.part != "input":
            continue
        distinct = guess.values.nunique()
        if distinct == 0:
            guess.leave_out("left out", "empty in every row")
        elif distinct == 1 and not guess.nullable:
            guess.leave_out("left out", f"always {guess.values.iloc[0]!s}")
        else:
            key = _fingerprint(guess.values)
            twin = next((other for other in seen.get(key, []) if _equal(guess.values, other.values)), None)
            if twin is not None:
                if _equal(guess.values, target.values):
                    continue  # both are copies of the target: leaks
                guess.leave_out("left out", f"the same as {twin.name!r} in every row")
            else:
                seen.setdefault(key, []).append(guess)


def _fingerprint(values: pd.Series) -> tuple[str, int]:
    """A number that equal columns share, whatever holds their numbers."""
    plain = values.astype("float64") if values.dtype.kind in "bif" else values
    return plain.dtype.kind, int(pd.util.hash_pandas_object(plain, index=False).to_numpy(dtype=np.uint64).sum())


def _equal(a: pd.Series, b: pd.Series) -> bool:
    """Whether two columns hold the same cells, missing ones included."""
    if a.dtype.kind in "bif" and b.dtype.kind in "bif":
        return bool(np.array_equal(a.astype("float64"), b.astype("float64"), equal_nan=True))
    return a.dtype == b.dtype and bool(((a == b) | (a.isna() & b.isna())).all())


def find_ids(guesses: list[Guess], wanted: str | None, repeated: frozenset[str]) -> None:
    """Give the first column that names each row the role "id", leave others like it out."""
    for guess in guesses:
        if guess.name == wanted:
            guess.leave_out("id", "asked for")
            guess.feature_group = None
    chosen = wanted is not None
    candidates = [(guess, why) for guess in guesses if guess.part == "input" and (why := id_reason(guess))]
    for guess, why in candidates:
        unique = guess.name not in repeated and not guess.nullable
        if unique and not chosen:
            guess.leave_out("id", why)
            chosen = True
        else:
            guess.leave_out("left out", f"{why}: nothing to learn from")


def names_rows(name: str) -> bool:
    """Whether a column is called as ids are."""
    return bool(tokens(name) & ID_WORDS or NUMBERED.search(name) or re.search(r"(?<![A-Z])ID$|[a-z]Id$", name))


def id_reason(guess: Guess) -> str | None:
    """Say why a column is an id, or return None if it is none."""
    values = guess.values.dropna()
    if guess.kind not in ("integer", "string") or len(values) < 20:
        return None
    share = values.nunique() / len(values)
    named = names_rows(guess.name)
    if guess.kind == "integer":
        steps = np.diff(values.to_numpy(dtype=np.float64))
        counts = share == 1 and (bool((steps == 1).all()) or bool((steps == -1).all()))
        span = values.max() - values.min() + 1
        if counts and (named or values.iloc[0] in (0, 1)):
            return "counts the rows"
        if share == 1 and (named or span == len(values)):
            return "another number in every row" + (", and its name says so" if named else "")
        return "nearly another number in every row, and its name says so" if named and share > 0.98 else None
    return _code_reason(values, share, named=named)


def _code_reason(values: pd.Series, share: float, *, named: bool) -> str | None:
    """Say why texts are ids: another in every row, and codes, not words."""
    sample = values.head(2000)
    lengths = sample.str.len()
    words = sample.str.contains(r"\s", regex=True).mean() >= 0.05
    coded = not words and sample.str.contains(r"\d|@", regex=True).mean() > 0.5
    alike = lengths.nunique() <= 4 or sample.str.contains("@").all() or lengths.min() >= 8
    if share == 1 and ((named and not words) or (coded and alike)):
        return "another code in every row"
    return "nearly another code in every row, and its name says so" if share > 0.98 and named and not words else None


def find_group(guesses: list[Guess], wanted: str | None) -> Guess | None:
    """Find whom several rows are about: a repeated key of persons or things that has their name."""
    for guess in guesses:
        if guess.name == wanted:
            guess.leave_out("group", "asked for")
            return guess
    for guess in guesses:
        if guess.part != "input" or guess.kind not in ("integer", "string") or guess.nullable:
            continue
        name = tokens(guess.name)
        keyed = names_rows(guess.name)
        distinct, rows = guess.values.nunique(), len(guess.values)
        many = distinct >= 10 and 1.5 <= rows / distinct <= max(rows / 10, 2)
        known = bool(name & WHO) or any(guess.name.lower().startswith(who) for who in WHO)
        if keyed and known and many:
            guess.leave_out("group", f"names {distinct:,} of whom {rows / distinct:.1f} rows each are about")
            guess.looks.append("rows of one group stay together in the split; say --group if it is another column")
            return guess
    return None


def find_time(guesses: list[Guess], wanted: str | None) -> Guess | None:
    """Find when a row happened; it may be an input as well."""
    dates = [g for g in guesses if g.kind in ("date", "datetime")]
    if wanted is not None:
        return next((g for g in dates if g.name == wanted), None)
    dates = [g for g in dates if g.part == "input" and not g.nullable and not tokens(g.name) & OTHER_DATES]
    for guess in dates:
        stamps = guess.values
        distinct = stamps.nunique()
        in_order = bool(stamps.is_monotonic_increasing or stamps.is_monotonic_decreasing)
        if in_order and distinct >= 20:
            guess.looks.append("the rows are in its order: the split is by time, and tests on the latest rows")
            return guess
    named = [g for g in dates if tokens(g.name) & TIME_WORDS or re.search(r"date|time", g.name.lower())]
    if len(named) == 1 and named[0].values.nunique() >= 20:
        named[0].looks.append(
            "the only date: the split is by time, and tests on the latest rows; is it when a row happened?"
        )
        return named[0]
    return None
