"""Infer the notation in which nearly all numbers of a column are written: separators, currency, unit, duration."""

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.notation import DURATIONS, MINUS, SIGN, unsigned_pattern
from skline.contract.spec import LARGEST_INTEGER
from skline.contract.values import PLAIN_NUMBER
from skline.init.inference.missing_words import TableEvidence
from skline.init.inference.profile import Flags, Profile

CURRENCY = r"[$€£¥₹₽₩₺]|(?:US|A|C|NZ|HK|S)\$|R\$|USD|EUR|GBP|CHF|JPY|INR|AUD|CAD|CNY|RMB|Rs\.?|kr|zł|Fr\.?"
BLANK = "[ \u00a0\u202f]"
#: A unit follows a number: one or two words, without digits and without the signs of notes and ranges.
NO_UNIT = rf"0-9+,;:()<>=*#&@!?~|_\\\[\]{{}}{MINUS}-"
UNIT = rf"[^\s.'\x{{2019}}{NO_UNIT}][^{NO_UNIT}]{{0,11}}|\+"
DIGIT = "[0-9]"
PLAIN = f"^{PLAIN_NUMBER.pattern}$"
WHOLE = rf"^{SIGN}?[0-9]+(\.0*)?$"
#: Digits, E, digits, without a point or a sign: a program that writes numbers so adds one; codes have none.
EXPONENT_CODE = r"^[0-9]+[eE][0-9]+$"
WRITTEN_EXPONENT = rf"^{SIGN}?[0-9]*\.[0-9]*([eE]|$)|[eE]{SIGN}"
PARTS = (
    rf"^(?P<sign>{SIGN}?)(?:(?P<before>{CURRENCY}){BLANK}?)?(?P<inner>{SIGN}?)"
    rf"(?P<body>[.,]?[0-9](?:[0-9.,'_ \x{{2019}}\x{{A0}}\x{{202F}}]*[0-9])?[.,]?)"
    rf"(?P<gap>{BLANK}?)(?P<after>{CURRENCY}|%|{UNIT})?$"
)
#: Decimal sign → the thousands separators that may occur with it; a blank is any kind of blank.
THOUSANDS_SEPARATORS = {
    ".": ["", ",", " ", "'", "\u2019", "_"],
    ",": ["", ".", " ", "'", "\u2019"],
}
#: With fewer distinct numbers before one unit, "2WD" and "4WD", the texts are categories.
MIN_UNIT_NUMBERS = 3
#: A unit in a smaller share of the cells does not explain the column: the cells with it are odd. A currency is left out
#: of most rows in many reports.
MIN_UNIT_SHARE = 0.5
#: Units that multiply: the same digits without the unit are another number.
MULTIPLIERS = {"k", "K", "M", "B", "T", "m", "bn", "Mio", "Mio.", "Tsd", "Tsd.", "thousand", "million", "billion"}


class NumberForm(NamedTuple):
    """How numbers are written.

    Attributes
    ----------
    read : bool array of shape (n_distinct,)
        The texts that are written so.
    notation : str or None
        A sample for `skline.contract.notation`; None for plain numbers.
    decimal : str
        The decimal sign, if it can be only this one; else empty.
    doubt : str or None
        What a person should check.
    """

    read: Flags
    notation: str | None
    reason: str
    decimal: str = ""
    doubt: str | None = None


def plain_form(profile: Profile, plain: Flags, evidence: TableEvidence) -> NumberForm | None:
    """Return the form of plain numbers; None if their points separate thousands, or they are codes."""
    exponents = profile.matching(EXPONENT_CODE)
    if exponents.any() and not profile.matching(WRITTEN_EXPONENT).any():
        plain = plain & ~exponents
        if not profile.are_nearly_all(plain):
            return None
    numbers = profile.keep(plain)
    points = numbers.matching(r"\.")
    if not points.any():
        return NumberForm(plain, None, "numbers")
    if profile.matching(rf"^{SIGN}?[1-9][0-9]{{0,2}}(\.[0-9]{{3}}){{2,}}$").any():
        return None  # two points in one number part thousands
    if not _could_be_thousands(numbers, "."):
        return NumberForm(plain, None, "numbers", decimal=".")
    if evidence.decimals == {","}:
        return None
    doubt = None if evidence.decimals == {"."} else _both_ways(numbers, points, "decimals", "thousands")
    return NumberForm(plain, None, "numbers", doubt=doubt)


def _could_be_thousands(numbers: Profile, sign: str) -> bool:
    """Whether every sign is followed by groups of three digits, and no number of four digits or more has none."""
    group = re.escape(sign)
    return bool(numbers.matching(rf"^{SIGN}?(0|[1-9][0-9]{{0,2}}({group}[0-9]{{3}})*)$").all())


def _is_single(numbers: Profile, sign: str) -> bool:
    """Whether a sign occurs, and never twice in one number."""
    found = numbers.matching(re.escape(sign))
    return bool(found.any()) and not numbers.matching(rf"{re.escape(sign)}.*{re.escape(sign)}").any()


def _both_ways(numbers: Profile, signs: Flags, chosen: str, other: str) -> str:
    """Say that the separator of a column has two readings."""
    return f"{numbers.examples(signs)[0]!r} could be read both ways; read as {chosen}, not as {other}"


def notation_form(profile: Profile, evidence: TableEvidence) -> NumberForm | None:
    """Return the notation in which nearly all texts are numbers, or None."""
    for notation, pattern in DURATIONS.items():
        durations = profile.matching(pattern)
        if profile.are_nearly_all(durations):
            return NumberForm(durations, notation, f"durations {notation}, in seconds")
    parts = pc.extract_regex(profile.texts, PARTS)
    known = parts.is_valid().to_numpy(zero_copy_only=False)
    if not profile.are_nearly_all(known):
        return None
    before, after = (np.array(parts.field(name).to_pylist(), dtype=object) for name in ("before", "after"))
    prefix, unit = (_majority(profile, signs, known) for signs in (before, after))
    if not re.fullmatch(CURRENCY, unit) and profile.share(known & (after == unit)) < MIN_UNIT_SHARE:
        unit = ""
    written = known & np.isin(before, ["", prefix]) & np.isin(after, ["", unit])
    if unit in MULTIPLIERS:
        written &= after == unit
    is_word = bool(unit) and re.fullmatch(rf"{CURRENCY}|%|\+", unit) is None
    if not profile.are_nearly_all(written) or (is_word and np.count_nonzero(written) < MIN_UNIT_NUMBERS):
        return None
    bodies = profile._replace(texts=parts.field("body"))
    form = _separators(bodies, written, evidence, has_affix=bool(prefix or unit))
    if form is None:
        return None
    gaps = parts.field("gap").filter(pa.array(form.read & (after == unit)))
    gap = " " if unit and pc.any(pc.equal(gaps, " ")).as_py() else ""
    affixes = " and ".join(repr(sign) for sign in (prefix, unit) if sign)
    features = [*form.features, *([f"with {affixes}"] if affixes else [])] or ["in a notation"]
    sample = f"{prefix}{form.sample}{gap}{unit}"
    return NumberForm(form.read, sample, f"numbers, {', '.join(features)}", form.decimal, form.doubt)


def _majority(profile: Profile, signs: "np.ndarray[tuple[int], np.dtype[np.object_]]", known: Flags) -> str:
    """Return the sign that most cells have, of those that are not empty; empty if none has one."""
    weights: dict[str, int] = {}
    for sign, count in zip(signs[known], profile.counts[known], strict=True):
        if sign:
            weights[sign] = weights.get(sign, 0) + int(count)
    return max(weights, key=lambda sign: weights[sign], default="")


class _Separators(NamedTuple):
    """How the digits of numbers are separated.

    Attributes
    ----------
    read : bool array of shape (n_distinct,)
        The texts that are written so.
    sample : str
        A number that shows the separators, such as "1,234.5".
    features : list of str
        The separators in words.
    decimal : str
        The decimal sign, if it can be only this one; else empty.
    doubt : str or None
        What a person should check.
    """

    read: Flags
    sample: str
    features: list[str]
    decimal: str
    doubt: str | None


def _separators(bodies: Profile, written: Flags, evidence: TableEvidence, *, has_affix: bool) -> _Separators | None:
    """Choose the decimal sign and the thousands separator that read most cells; None if they do not read nearly all.

    Parameters
    ----------
    bodies : Profile
        The numbers without sign, currency and unit.
    written : bool array of shape (n_distinct,)
        The texts that are numbers with the same currency and unit.
    evidence : TableEvidence
    has_affix : bool
        Whether the numbers have a currency or a unit.
    """
    best: tuple[float, str, str, Flags] | None = None
    for decimal, groupings in THOUSANDS_SEPARATORS.items():
        for grouping in groupings:
            read = written & bodies.matching(f"^{unsigned_pattern(decimal, grouping)}$")
            share = bodies.share(read)
            if best is None or share > best[0] + 1e-12:
                best = share, decimal, grouping, read
    if best is None or not bodies.are_nearly_all(best[3]):
        return None
    _, decimal, grouping, read = best
    numbers, doubt, certain = bodies.keep(read), None, grouping in (".", ",")
    sign = grouping or decimal
    if sign in ".," and _could_be_thousands(numbers, sign) and _is_single(numbers, sign):
        decimal, grouping, doubt = _resolve(numbers, sign, evidence, has_affix=has_affix)
        certain = False
    fractions = bool(numbers.matching(rf"{re.escape(decimal)}[0-9]").any())
    certain = certain or (fractions and doubt is None)
    plain_group = grouping == "," or (grouping == "" and not fractions)
    sample = f"1{grouping}234" + (f"{decimal}5" if fractions or not plain_group else "")
    features = [f"thousands separator {grouping!r}"] if grouping else []
    features += [f"decimal sign {decimal!r}"] if fractions else []
    return _Separators(read, sample, features, decimal if certain else "", doubt)


def number_bodies(profile: Profile) -> Flags:
    """Return which texts are numbers in any notation, each by itself, with or without a currency or a unit."""
    parts = pc.extract_regex(profile.texts, PARTS)
    patterns = [unsigned_pattern(decimal, sign) for decimal, signs in THOUSANDS_SEPARATORS.items() for sign in signs]
    fits = pc.match_substring_regex(parts.field("body"), f"^(?:{'|'.join(patterns)})$")
    flags: Flags = pc.and_(parts.is_valid(), fits).fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _resolve(numbers: Profile, sign: str, evidence: TableEvidence, *, has_affix: bool) -> tuple[str, str, str | None]:
    """Decide what a sign before three digits is: by the other columns, else it separates thousands.

    A comma of numbers with a currency or a unit leaves no doubt.

    Returns
    -------
    The decimal sign, the thousands separator, and what to check.
    """
    other = "," if sign == "." else "."
    if evidence.decimals == {sign}:
        return sign, "", None
    if evidence.decimals == {other} or (has_affix and sign == ","):
        return other, sign, None
    return other, sign, _both_ways(numbers, numbers.matching(re.escape(sign)), "thousands", "decimals")


def is_code(profile: Profile) -> str | None:
    """Return why whole numbers are codes, or None."""
    if profile.matching(f"^{SIGN}?0[0-9]").any():
        return "a code: digits with leading zeros"
    long = profile.matching(r"[0-9]{16}")
    if not long.any():
        return None
    digits = profile.texts.filter(pa.array(long)).to_pylist()
    large = long.copy()
    large[long] = [int(text.partition(".")[0].lstrip(f"+{MINUS}-")) > LARGEST_INTEGER for text in digits]
    return "a code: too many digits for a number" if not profile.are_nearly_all(~large) else None
