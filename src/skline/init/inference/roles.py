"""Find the columns that are not inputs: constants, copies, ids, groups; and the column with the time of a row."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.names import name_tokens

#: Words in the names of ids.
ID_WORDS = {"id", "ids", "uuid", "guid", "key", "index", "idx", "identifier", "rowid", "row", "reference", "ref"}
#: The end of a name of running numbers: "order number" and "Kundennummer", but not "number of orders".
NUMBER_SUFFIX = re.compile(r"((^|[\W_])(no|nr|num|number)|[^\W\d_]{3,}nr|nummer)\W*$|^unnamed", re.IGNORECASE)
#: Largest probability that rows with the same key are alike by chance; small, because many columns are compared.
MAX_P_VALUE = 1e-8
#: A date may be missing in this share of the rows and still split them by time: these rows go to quarantine.
MAX_MISSING_TIMES = 0.005
#: A date with fewer distinct values is no time of the rows.
MIN_TIMES = 20
#: In a column of ids, a larger share of the values is distinct.
MIN_ID_SHARE = 0.98
#: Words for entities that several rows may be about.
ENTITY_WORDS = {
    "patient", "customer", "user", "subject", "client", "household", "person", "member", "account", "device",
    "machine", "driver", "employee", "student", "participant", "group", "visitor", "session", "respondent",
    "citizen", "worker", "kunde", "kunden", "mitarbeiter", "nutzer", "haushalt", "paciente", "usuario", "utilisateur",
}  # fmt: skip
TIME_WORDS = {
    "date", "time", "datetime", "timestamp", "day", "created", "at", "when", "dt", "datum", "zeit", "month", "week",
    "event", "order", "transaction", "dteday",
}  # fmt: skip
#: Words for dates of a person or a contract, not of the row.
OTHER_DATE_WORDS = {
    "birth", "dob", "birthday", "birthdate", "born", "geburt", "geburtsdatum", "expiry", "expires", "expiration",
}  # fmt: skip


def exclude_useless(guesses: list[ColumnGuess], target: ColumnGuess, time: ColumnGuess | None = None) -> None:
    """Exclude columns that are empty, constant, or equal to an earlier column; of equal ones `time` is kept."""
    seen: dict[tuple[str, int], list[ColumnGuess]] = {}
    for guess in sorted(guesses, key=lambda each: each is not time):
        if guess.role != "input":
            continue
        if guess.values.isna().all():
            guess.assign_role("excluded", "empty in every row")
        elif (guess.values == guess.values.iloc[0]).all():
            guess.assign_role("excluded", f"{guess.values.iloc[0]!s} in every row")
        else:
            key = _fingerprint(guess)
            twin = next((other for other in seen.get(key, []) if _equal(guess.values, other.values)), None)
            if twin is not None:
                if _equal(guess.values, target.values):
                    continue  # copies of the target are reported as leaks
                guess.assign_role("excluded", f"equal to {twin.name!r} in every row")
            else:
                seen.setdefault(key, []).append(guess)


def _fingerprint(guess: ColumnGuess) -> tuple[str, int]:
    """Return a hash that is the same for equal columns, also for numbers of different dtypes."""
    if guess.kind == "string":  # its values are counted anyway, and to hash each text would take longer
        return "string", hash((guess.counts.index[0], guess.counts.to_numpy().tobytes()))
    values = guess.values.astype("float64") if guess.values.dtype.kind in "bif" else guess.values
    return values.dtype.kind, int(pd.util.hash_pandas_object(values, index=False).to_numpy(dtype=np.uint64).sum())


def _equal(a: pd.Series, b: pd.Series) -> bool:
    """Whether two columns have the same cells, including missing ones."""
    if a.dtype.kind in "bif" and b.dtype.kind in "bif":
        return bool(np.array_equal(a.astype("float64"), b.astype("float64"), equal_nan=True))
    return a.dtype == b.dtype and bool(((a == b) | (a.isna() & b.isna())).all())


def assign_ids(guesses: list[ColumnGuess], requested: str | None, repeated: frozenset[str]) -> None:
    """Give the role "id" to the requested or else the first identifying column, and exclude the others.

    `repeated` are the columns, of those that may be ids, in which a value occurs twice in the whole table.
    """
    for guess in guesses:
        if guess.name == requested:
            guess.assign_role("id", "set by --id")
            guess.feature_group = None
    chosen = requested is not None
    candidates = [(guess, reason) for guess in guesses if guess.role == "input" and (reason := id_reason(guess))]
    for guess, reason in candidates:
        unique = guess.name not in repeated and not guess.nullable
        if unique and not chosen:
            guess.assign_role("id", reason)
            chosen = True
        else:
            guess.assign_role("excluded", f"{reason}; a model cannot learn from it")
            copies = 0 if unique or guess.nullable or chosen else count_copies(guesses, guess)
            if copies:
                what = "row is an exact copy" if copies == 1 else "rows are exact copies"
                guess.doubts.append(
                    f"would be the id, but {copies:,} {what} of another row; remove the copies from the table and run "
                    "init again, so that a row and its copy are not in two parts of the split"
                )


def count_copies(guesses: list[ColumnGuess], key: ColumnGuess) -> int:
    """Return the number of rows that equal an earlier one in all columns, if `key` repeats in no others; or 0."""
    rows = pd.DataFrame({index: guess.values.to_numpy() for index, guess in enumerate(guesses)})
    is_copy = rows.duplicated().to_numpy()
    return 0 if key.values[~is_copy].duplicated().any() else int(is_copy.sum())


def is_id_name(name: str) -> bool:
    """Whether a column is named like an id."""
    return bool(
        name_tokens(name) & ID_WORDS
        or NUMBER_SUFFIX.search(name)
        or re.search(r"(?<![A-Z])ID$|[a-z]Id$", name)
        or name.lower().removesuffix("id") in ENTITY_WORDS - {name.lower()}
    )


def id_reason(guess: ColumnGuess) -> str | None:
    """Return why a column is an id, or None if it is not."""
    if guess.kind not in ("integer", "string") or len(values := guess.values.dropna()) < 20:
        return None
    share = guess.n_distinct / len(values)
    named = is_id_name(guess.name)
    if guess.kind == "integer":
        steps = np.diff(values.to_numpy(dtype=np.float64))
        counts = share == 1 and (bool((steps == 1).all()) or bool((steps == -1).all()))
        span = values.max() - values.min() + 1
        if counts and (named or values.iloc[0] in (0, 1)):
            return "numbers the rows"
        if share == 1 and (named or span == len(values)):
            return "a different number in every row" + (", and named like an id" if named else "")
        return (
            "a different number in almost every row, and named like an id" if named and share > MIN_ID_SHARE else None
        )
    return _text_id_reason(values, share, named=named)


def _text_id_reason(values: pd.Series, share: float, *, named: bool) -> str | None:
    """Return why texts are ids: all different, and codes rather than words."""
    if share <= MIN_ID_SHARE:
        return None
    sample = values.head(2000)
    lengths = sample.str.len()
    words = sample.str.contains(r"\s", regex=True).mean() >= 0.05
    coded = not words and sample.str.contains(r"\d|@", regex=True).mean() > 0.5
    alike = lengths.nunique() <= 4 or sample.str.contains("@").all() or lengths.min() >= 8
    if share == 1 and ((named and not words) or (coded and alike)):
        return "a different code in every row"
    return "a different code in almost every row, and named like an id" if named and not words else None


def is_complete(time: ColumnGuess) -> bool:
    """Whether so few rows lack a time that the others can be split by it."""
    return bool(time.values.isna().mean() <= MAX_MISSING_TIMES)


def find_group(guesses: list[ColumnGuess], requested: str | None) -> ColumnGuess | None:
    """Find the group column: the requested one, or else a repeated id of a person or thing."""
    for guess in guesses:
        if guess.name == requested:
            guess.assign_role("group", "set by --group")
            return guess
    for guess in guesses:
        if guess.role != "input" or guess.kind not in ("integer", "string") or guess.nullable:
            continue
        name = name_tokens(guess.name)
        keyed = is_id_name(guess.name)
        distinct, rows = guess.n_distinct, len(guess.values)
        many = distinct >= 10 and 1.5 <= rows / distinct <= max(rows / 10, 2)
        is_entity = bool(name & ENTITY_WORDS) or any(guess.name.lower().startswith(word) for word in ENTITY_WORDS)
        alike = None if not (keyed and many) or is_entity or not name <= ID_WORDS else _alike_within(guess, guesses)
        if keyed and many and (is_entity or alike is not None):
            guess.assign_role(
                "group",
                f"id of {distinct:,} groups with {rows / distinct:.1f} rows on average"
                + (f", which are alike in {alike!r}" if alike is not None else ""),
            )
            guess.doubts.append(
                "the split keeps the rows of a group together; use --group if the group is in another column"
            )
            return guess
    return None


def _alike_within(key: ColumnGuess, guesses: list[ColumnGuess]) -> str | None:
    """Return the first column in which rows with the same key are alike by more than chance, by an F test; or None."""
    groups = pd.factorize(key.values)[0]
    n_groups, n_rows = int(groups.max()) + 1, len(groups)
    sizes = np.bincount(groups)
    for guess in guesses:
        if guess is key or guess.kind in ("date", "datetime") or guess.nullable:
            continue
        text = guess.values.dtype.kind not in "bif"
        values = (pd.factorize(guess.values)[0] if text else guess.values.to_numpy()).astype(np.float64)
        values = values - values.mean()
        between = float((np.bincount(groups, values) ** 2 / sizes).sum())
        within = float((values**2).sum()) - between
        if between + within == 0:
            continue
        ratio = (between / (n_groups - 1)) / max(within / (n_rows - n_groups), 1e-300)
        if stats.f.sf(ratio, n_groups - 1, n_rows - n_groups) < MAX_P_VALUE:
            return guess.name
    return None


class FoundTime(NamedTuple):
    """The column with the time of each row, and why it is taken for that; None if a person named it."""

    column: ColumnGuess
    reason: str | None


def find_time(guesses: list[ColumnGuess], requested: str | None) -> FoundTime | None:
    """Find the column with the time of each row: the requested one, or else a date by its order or its name."""
    if requested is not None:
        named = (g for g in guesses if g.name == requested and g.kind in ("date", "datetime"))
        return next((FoundTime(guess, None) for guess in named), None)
    dates = [guess for guess in guesses if _may_be_time(guess)]
    for guess in dates:
        stamps = guess.values.dropna()
        in_order = bool(stamps.is_monotonic_increasing or stamps.is_monotonic_decreasing)
        if in_order and stamps.nunique() >= MIN_TIMES:
            return FoundTime(guess, "the rows are sorted by it")
    by_name = [g for g in dates if name_tokens(g.name) & TIME_WORDS or re.search(r"date|time", g.name.lower())]
    if len(by_name) == 1 and by_name[0].n_distinct >= MIN_TIMES:
        return FoundTime(by_name[0], _why_time(by_name[0], guesses))
    return None


def _why_time(chosen: ColumnGuess, guesses: list[ColumnGuess]) -> str:
    """Say why a date is taken for the time of the row, and how another one is."""
    others = [each.name for each in guesses if each.kind in ("date", "datetime") and each is not chosen]
    if not others:
        return "taken for the time of the row, because it is the only date"
    return (
        f"taken for the time of the row because of its name, and not {', '.join(others)} (--time NAME chooses another)"
    )


def doubt_time(time: FoundTime | None, split: str) -> None:
    """Say of the column that was taken for the time of the row that the split is by it, if it is."""
    if time is not None and time.reason is not None and split == "time":
        time.column.doubts.append(f"{time.reason}, so the split is by time: the test part has the latest rows")


def doubt_other_split(guesses: list[ColumnGuess], split: str) -> None:
    """Say of every input that may be the time of the row that the split is not by it, and how it would be.

    Parameters
    ----------
    guesses : list of ColumnGuess
    split : "random" or "group"
    """
    option = "" if split == "random" else ", without --group,"
    for guess in guesses:
        if _may_be_time(guess) and guess.n_distinct >= MIN_TIMES:
            by = "random" if split == "random" else "by group"
            guess.doubts.append(
                f"a {guess.kind}, but the split is {by}; if it is the time of the row, --time {guess.name!r}{option} "
                "splits by it"
            )


def _may_be_time(guess: ColumnGuess) -> bool:
    """Whether an input can be the time of the row: a date in every row that is not, by its name, one of a person."""
    return (
        guess.role == "input"
        and guess.kind in ("date", "datetime")
        and is_complete(guess)
        and not name_tokens(guess.name) & OTHER_DATE_WORDS
    )
