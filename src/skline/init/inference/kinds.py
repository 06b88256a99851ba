"""Infer what a column holds: what nearly all of its cells are. The others are named, and count as missing."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.cells import is_text
from skline.contract.column_parsing import parse_column
from skline.contract.spec import Kind
from skline.contract.values import BOOLEAN_WORDS
from skline.init.inference.dates import infer_date_format
from skline.init.inference.missing_words import (
    NO_EVIDENCE,
    TableEvidence,
    are_missing_words,
    describe_missing,
    missing_among_texts,
    spreadsheet_errors,
)
from skline.init.inference.names import name_tokens
from skline.init.inference.near_misses import find_near_miss
from skline.init.inference.numbers import DIGIT, PLAIN, WHOLE, is_code, notation_form, plain_form
from skline.init.inference.profile import Flags, Profile

#: Words for true and false besides those that `skline.contract.values` accepts by itself.
OTHER_BOOLEAN_WORDS = [
    ("ja", "nein"), ("j", "n"), ("oui", "non"), ("o", "n"), ("si", "no"), ("sí", "no"), ("sì", "no"), ("s", "n"),
    ("sim", "não"), ("sim", "nao"), ("vrai", "faux"), ("wahr", "falsch"), ("verdadero", "falso"), ("on", "off"),
    ("да", "нет"), ("tak", "nie"), ("ano", "ne"), ("x", "-"), ("是", "否"),
]  # fmt: skip
#: A text besides yes and no that is in more rows is a third answer.
MAX_ODD_ANSWERS, MAX_ODD_ANSWER_SHARE = 4, 0.01
#: More different odd texts than this are a part of what the column holds.
MAX_ODD_TEXTS = 20
#: Rows by which a column of numbers with a decimal sign is recognized; the others are verified by a cast.
FIRST_ROWS = 1_000
#: Names and values of times that are written as one number.
EPOCH_WORDS = {"time", "timestamp", "ts", "epoch", "unix", "date", "datetime", "created", "updated", "at", "when"}
EPOCH_SECONDS = (946_684_800, 2_051_222_400)
#: One or two digits behind a decimal sign, as prices have.
FRACTION = r"[.,][0-9]{1,2}([^0-9.,]|$)"


@dataclass(frozen=True)
class ParsedColumn:
    """A column's kind and parsed values.

    Attributes
    ----------
    missing : frozenset of str
        Texts that count as missing; `odd` ones among them are not known to mean it.
    odd : frozenset of str
        Texts that are not of the kind, and errors of a spreadsheet.
    categories : frozenset of str
        Categories that look like words for a missing value.
    decimal : str
        The decimal sign of its numbers, if it can be only this one.
    near_miss : str
        What a column of text nearly is, of which the `odd` texts are not; else empty.
    labels : str or None
        How a column of booleans writes true and false in words, such as "Yes/No".
    with_point : bool
        Whether whole numbers are written or stored as numbers that may have a fraction, such as `127.0`.
    """

    kind: Kind
    values: pd.Series
    reason: str
    notation: str | None = None
    missing: frozenset[str] = frozenset()
    odd: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    doubts: list[str] = field(default_factory=list)
    decimal: str = ""
    near_miss: str = ""
    labels: str | None = None
    with_point: bool = False


@dataclass
class _Candidate:
    """A kind that nearly all texts of a column may have; `read` are those texts."""

    kind: Kind
    read: Flags
    reason: str
    notation: str | None = None
    doubts: list[str] = field(default_factory=list)
    decimal: str = ""
    labels: str | None = None
    with_point: bool = False


def infer_column(name: str, cells: pa.Array, evidence: TableEvidence = NO_EVIDENCE) -> ParsedColumn | None:
    """Infer what a column holds; None if no contract supports its type (lists, bytes).

    Parameters
    ----------
    name : str
    cells : Array of shape (n_rows,)
        Text of a CSV file, or the stored type of a Parquet file.
    evidence : TableEvidence
        What other columns say.

    Returns
    -------
    ParsedColumn or None
        Its `values` are what `skline.contract.column_parsing` returns.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if not is_text(cells.type):
        return _stored(cells)
    return _plain_decimals(name, cells) or infer_text(Profile.of(name, cells), evidence)


def _plain_decimals(name: str, cells: pa.Array) -> ParsedColumn | None:
    """Read a column of plain numbers of which some have a decimal point; None if it is, or may be, another column.

    `infer_text` infers the same from the number of cells with each text, which is slow to count, as most texts of such
    a column are different. The first rows rule out that points separate thousands, that all numbers are whole, and that
    two of them mean true and false; no further row can bring that back. Arrow casts no other texts than plain numbers
    to finite ones, so that the cast verifies all rows.
    """
    first = Profile.of(name, cells[:FIRST_ROWS])
    plain = first.matching(PLAIN)
    if not plain.all() or len(first.texts) <= 2 * MAX_ODD_TEXTS or first.matching(WHOLE).all():
        return None
    form = plain_form(first, plain, NO_EVIDENCE)
    if form is None or not form.decimal:
        return None
    try:
        numbers = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    if not pc.all(pc.is_finite(numbers)).as_py():
        return None
    return ParsedColumn("number", parse_column(numbers, "number")[0], form.reason, decimal=form.decimal)


def infer_text(profile: Profile, evidence: TableEvidence) -> ParsedColumn:
    """Infer what a column of text holds."""
    if not len(profile.texts):
        return ParsedColumn("string", parse_column(profile.cells, "string")[0], "empty")
    plain = profile.matching(PLAIN)
    suspects = _not_plain(profile, plain)
    rest = profile.keep(~suspects)
    if len(rest.texts):
        zero_or_one = _booleans(rest) if plain.any() else None
        candidate = zero_or_one or _numbers_or_dates(rest, evidence)
        if candidate is not None and (parsed := _parse(profile, suspects, candidate)) is not None:
            return parsed
    words = missing_among_texts(profile, evidence)
    missing = pc.is_in(profile.texts, value_set=pa.array(sorted(words.missing), pa.string()))
    marked = missing.to_numpy(zero_copy_only=False)
    rest = profile.keep(~marked)
    if (booleans := _booleans(rest)) is not None and (parsed := _parse(profile, marked, booleans)) is not None:
        return parsed
    cells = _without(profile.cells, words.missing)
    near_miss = find_near_miss(rest)
    odd = spreadsheet_errors(words.missing)
    if near_miss is not None:
        odd = frozenset(rest.examples(near_miss.odd)[:MAX_ODD_TEXTS])
    return ParsedColumn(
        "string",
        parse_column(cells, "string")[0],
        "; ".join(filter(None, ["text" if len(rest.texts) else "empty", describe_missing(profile, marked)])),
        missing=words.missing,
        categories=words.categories,
        doubts=list(words.doubts),
        odd=odd,
        near_miss="" if near_miss is None else near_miss.description,
    )


def _not_plain(profile: Profile, plain: Flags) -> Flags:
    """Return the words for a missing value among the texts that are no plain numbers: mostly these are few."""
    flags = ~plain
    if flags.any():
        flags[flags] = are_missing_words(profile.keep(flags))
    return flags


def _without(cells: pa.Array, texts: frozenset[str]) -> pa.Array:
    """Replace texts by nulls."""
    if not texts:
        return cells
    return pc.if_else(pc.is_in(cells, value_set=pa.array(sorted(texts), pa.string())), None, cells)


def _parse(profile: Profile, missing: Flags, candidate: _Candidate) -> ParsedColumn | None:
    """Parse a column as a kind that nearly all of its texts have; None if too many different texts do not have it."""
    words = frozenset(profile.texts.filter(pa.array(missing)).to_pylist())
    odd = _odd_texts(profile, missing, candidate.read)
    cells = _without(profile.cells, words | odd)
    values, bad = parse_column(cells, candidate.kind, candidate.notation)
    if candidate.kind == "number":
        bad = bad | np.isinf(values.to_numpy(dtype=np.float64))
    if bad.any():
        odd |= frozenset(pc.unique(cells.filter(pa.array(bad))).to_pylist())
        values, bad = parse_column(_without(cells, odd), candidate.kind, candidate.notation)
    if len(odd) > MAX_ODD_TEXTS or bad.any() or not _are_few(profile, missing, odd):
        return None
    return ParsedColumn(
        candidate.kind,
        values,
        "; ".join(filter(None, [candidate.reason, describe_missing(profile, missing)])),
        candidate.notation,
        missing=words | odd,
        odd=odd | spreadsheet_errors(words),
        doubts=candidate.doubts,
        decimal=candidate.decimal,
        labels=candidate.labels,
        with_point=candidate.with_point,
    )


def _odd_texts(profile: Profile, missing: Flags, read: Flags) -> frozenset[str]:
    """Return the texts that are neither missing nor read; `read` is about those that are not missing."""
    odd = ~missing
    odd[odd] = ~read
    return frozenset(profile.texts.filter(pa.array(odd)).to_pylist()) if odd.any() else frozenset()


def _are_few(profile: Profile, missing: Flags, odd: frozenset[str]) -> bool:
    """Whether nearly all texts that are not missing are regular."""
    if not odd:
        return True
    rest = profile.keep(~missing)
    regular = ~pc.is_in(rest.texts, value_set=pa.array(sorted(odd), pa.string())).to_numpy(zero_copy_only=False)
    return rest.are_nearly_all(regular)


def _numbers_or_dates(rest: Profile, evidence: TableEvidence) -> _Candidate | None:
    """Recognize numbers and dates, of which none is without a digit."""
    if not rest.are_nearly_all(rest.matching(DIGIT)):
        return None
    return _numbers(rest, evidence) or _dates(rest)


def _numbers(rest: Profile, evidence: TableEvidence) -> _Candidate | None:
    """Recognize numbers, plain or in a notation."""
    plain = rest.matching(PLAIN)
    if rest.are_nearly_all(plain):
        if (dates := _compact_dates(rest)) is not None:
            return dates
        form = plain_form(rest, plain, evidence)
        if form is not None:
            numbers = rest.keep(form.read)
            if numbers.matching(WHOLE).all():
                return None if is_code(numbers) else _whole_numbers(rest, form.read)
            return _Candidate("number", form.read, form.reason, None, _listed(form.doubt), form.decimal)
    form = notation_form(rest, evidence)
    if form is None:
        return None
    values, _ = parse_column(rest.texts.filter(pa.array(form.read)), "number", form.notation)
    kind: Kind = "number" if (values.dropna() % 1).any() else "integer"
    with_point = bool(form.decimal) and bool(rest.keep(form.read).matching(FRACTION).any())
    return _Candidate(
        kind, form.read, form.reason, form.notation, _listed(form.doubt), form.decimal, with_point=with_point
    )


def _listed(doubt: str | None) -> list[str]:
    return [] if doubt is None else [doubt]


def _whole_numbers(rest: Profile, read: Flags) -> _Candidate:
    """Return whole numbers; those that may be times are to be checked."""
    numbers = rest.keep(read)
    doubts = []
    if name_tokens(rest.name) & EPOCH_WORDS and numbers.matching(r"^([0-9]{10}|[0-9]{13})$").all():
        first = int(numbers.texts[0].as_py()) // (1000 if len(numbers.texts[0].as_py()) == 13 else 1)
        if EPOCH_SECONDS[0] <= first <= EPOCH_SECONDS[1]:
            doubts = ["the numbers may count seconds since 1970; convert them to datetimes in src/model/source.py"]
    with_point = bool(numbers.matching(r"\.").all())
    return _Candidate("integer", read, "whole numbers", doubts=doubts, with_point=with_point)


def _dates(rest: Profile) -> _Candidate | None:
    """Recognize dates and datetimes."""
    match = infer_date_format(rest, in_order=rest.cells.drop_null()[:5000].to_pylist())
    if match is None:
        return None
    return _Candidate(match.kind, match.read, match.reason, match.notation, _listed(match.doubt))


def _compact_dates(rest: Profile) -> _Candidate | None:
    """Recognize dates of 8 digits and datetimes of 14; fewer than 20 distinct ones only under the name of a date."""
    named = name_tokens(rest.name) & {"date", "day", "dt", "datum", "ymd", "time"}
    if len(rest.texts) < (1 if named else 20):
        return None
    forms: list[tuple[str, Kind, str]] = [(r"^(19|20)[0-9]{6}$", "date", "%Y%m%d")]
    forms.append((r"^(19|20)[0-9]{12}$", "datetime", "%Y%m%d%H%M%S"))
    for pattern, kind, notation in forms:
        read = rest.matching(pattern)
        if read.all():
            _, bad = parse_column(rest.texts, kind, notation)
            if not bad.any():
                return _Candidate(kind, read, f"{kind}s as {8 if kind == 'date' else 14} digits", notation)
    return None


def _booleans(rest: Profile) -> _Candidate | None:
    """Recognize two words that mean true and false."""
    lower = pc.utf8_lower(rest.texts).to_pylist() if len(rest.texts) <= 2 * MAX_ODD_TEXTS else []
    lower = [{"1.0": "1", "0.0": "0"}.get(text, text) for text in lower]
    weights: dict[str, int] = {}
    for text, count in zip(lower, rest.counts, strict=False):
        weights[text] = weights.get(text, 0) + int(count)
    pair = sorted(weights, key=lambda text: -weights[text])[:2]
    others = [weights[text] for text in weights if text not in pair]
    if len(pair) < 2 or max(others, default=0) > MAX_ODD_ANSWERS:
        return None
    if others and sum(others) > max(1, MAX_ODD_ANSWER_SHARE * sum(weights.values())):
        return None
    are_numbers = all(text.replace(".", "").isdigit() for text in pair)
    if are_numbers and any(text.isdigit() for text in set(weights) - set(pair)):
        return None  # 0, 1 and a rare 2 are counts
    read = np.isin(np.array(lower, dtype=object), pair)
    words = " and ".join(sorted(text for text, known in zip(rest.texts.to_pylist(), read, strict=True) if known))
    if {BOOLEAN_WORDS.get(word) for word in pair} == {True, False}:
        no, yes = sorted(pair, key=lambda word: BOOLEAN_WORDS[word])
        labels = None if are_numbers else f"{_as_written(rest, lower, yes)}/{_as_written(rest, lower, no)}"
        return _Candidate("boolean", read, f"only {words}", labels=labels)
    for yes, no in OTHER_BOOLEAN_WORDS:
        if set(pair) == {yes, no}:
            labels = f"{_as_written(rest, lower, yes)}/{_as_written(rest, lower, no)}"
            return _Candidate("boolean", read, f"only {words}", f"{yes}/{no}", labels=labels)
    return None


def _as_written(rest: Profile, lower: list[str], word: str) -> str:
    """Return the most frequent spelling of a word, which is in lower case."""
    texts = zip(rest.texts.to_pylist(), lower, rest.counts, strict=True)
    return max((int(count), str(text)) for text, folded, count in texts if folded == word)[1]


def _stored(cells: pa.Array) -> ParsedColumn | None:
    """Read the stored types of a Parquet file."""
    kind: Kind | None = None
    if pa.types.is_boolean(cells.type):
        kind = "boolean"
    elif pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type):
        candidates: tuple[Kind, ...] = ("boolean", "integer", "number")
        for candidate in candidates:
            values, bad = parse_column(cells, candidate)
            if not bad.any() and not (candidate == "boolean" and values.nunique() < 2):
                with_point = not pa.types.is_integer(cells.type) and getattr(cells.type, "scale", 1) > 0
                return ParsedColumn(candidate, values, _stored_reason(candidate, cells), with_point=with_point)
        values, _ = parse_column(cells, "number")
        return ParsedColumn("number", values, f"stored as {cells.type}", doubts=["infinite values count as missing"])
    elif pa.types.is_date(cells.type):
        kind = "date"
    elif pa.types.is_timestamp(cells.type):
        kind = "date" if not parse_column(cells, "date")[1].any() else "datetime"
    if kind is None:
        return None
    return ParsedColumn(kind, parse_column(cells, kind)[0], f"stored as {cells.type}")


def _stored_reason(kind: Kind, cells: pa.Array) -> str:
    """Return why numbers of a Parquet file are of this kind."""
    return {"boolean": "only 0 and 1", "integer": "whole numbers"}.get(kind, f"stored as {cells.type}")
