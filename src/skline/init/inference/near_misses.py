"""Recognize texts that are numbers or dates but for too many cells, so that a person can correct the source."""

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from skline.init.inference.dates import ISO_FORMS, LIKELY_DATE, mixed_formats
from skline.init.inference.numbers import DIGIT, PARTS, PLAIN, WHOLE, number_bodies
from skline.init.inference.profile import Flags, Profile

#: A column is nearly of a kind if this share of its cells is.
NEARLY = 0.8
#: Fewer distinct texts are categories, such as 1st, 2nd and 3rd.
MIN_DISTINCT = 20
#: Distinct texts from which a single form is seen among dates, and among numbers in brackets.
MIN_UNMISTAKABLE = 4
#: Negative numbers of accountants.
NEGATIVE = r"^\(.*[0-9].*\)$|[0-9]-$"
#: Numbers with points for decimals and commas for thousands, and the other way round: no text is both.
POINT_DECIMALS = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+$"
COMMA_DECIMALS = r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+$"
#: Most frequent texts in which forms of dates are searched.
MAX_DATES = 2_000


class NearMiss(NamedTuple):
    """What a column of text nearly is, and the texts that are not."""

    description: str
    odd: Flags


def find_near_miss(profile: Profile) -> NearMiss | None:
    """Return what nearly all texts are, or None: most columns of text are nothing else."""
    if profile.share(profile.matching(DIGIT)) < NEARLY:
        return None
    if len(profile.texts) < MIN_UNMISTAKABLE:
        return _opposite_notations(profile)
    if len(profile.texts) < MIN_DISTINCT:
        return _mixed_dates(profile) or _negatives(profile) or _opposite_notations(profile)
    for name, pattern in (("numbers", PLAIN), ("dates", ISO_FORMS)):
        regular = profile.matching(pattern)
        if NEARLY <= profile.share(regular) < 1 and not (name == "numbers" and _are_codes(profile.keep(regular))):
            count, total = int(profile.counts[regular].sum()), int(profile.counts.sum())
            return NearMiss(f"{count:,} of {total:,} cells are {name}", ~regular)
        if regular.all():
            return None
    return _mixed_dates(profile) or _negatives(profile) or _mixed_notations(profile)


def _are_codes(numbers: Profile) -> bool:
    """Whether numbers are codes: whole, and all of one length, or with leading zeros."""
    if not numbers.matching(WHOLE).all():
        return False
    return len(pc.unique(pc.utf8_length(numbers.texts))) == 1 or bool(numbers.matching("^0[0-9]").any())


def _mixed_dates(profile: Profile) -> NearMiss | None:
    """Recognize dates in several forms; those with a year of two digits count only among others."""
    likely = profile.matching(f"{LIKELY_DATE}|{ISO_FORMS}")
    if profile.share(likely) < NEARLY:
        return None
    frequent = np.zeros(len(likely), dtype=np.bool_)
    frequent[np.argsort(-profile.counts, kind="stable")[:MAX_DATES]] = True
    sample = profile.keep(frequent)
    formats = mixed_formats(sample)
    shares = {form: sample.share(flags) for form, flags in formats.items()}
    full_years = sum(share for (form, _), share in shares.items() if "%Y" in form)
    if len(formats) < 2 or sum(shares.values()) < NEARLY or full_years < 0.5:
        return None
    common = sorted(formats, key=lambda form: -shares[form])
    odd = np.zeros(len(likely), dtype=np.bool_)
    odd[frequent] = ~formats[common[0]]
    examples = " and ".join(repr(sample.examples(formats[form])[0]) for form in common[:2])
    return NearMiss(f"its cells are dates written in different ways, such as {examples}", odd)


def _negatives(profile: Profile) -> NearMiss | None:
    """Recognize numbers of which the negative ones are written as (5) or 5-."""
    negative = profile.matching(NEGATIVE)
    if not negative.any() or negative.all():
        return None
    plain = pc.replace_substring_regex(profile.texts, r"^\((.*)\)$|^(.*)-$", r"\1\2")
    regular = number_bodies(profile._replace(texts=plain))
    if profile.share(regular) < NEARLY:
        return None
    example = profile.examples(negative)[0]
    return NearMiss(f"its cells are numbers, negative ones written as {example!r}", negative)


def _opposite_notations(profile: Profile) -> NearMiss | None:
    """Recognize numbers in two notations of which each text is in one only, however few there are."""
    points, commas = profile.matching(POINT_DECIMALS), profile.matching(COMMA_DECIMALS)
    if not (points.any() and commas.any()) or profile.share(number_bodies(profile)) < NEARLY:
        return None
    examples = " and ".join(repr(profile.examples(flags)[0]) for flags in (points, commas))
    return NearMiss(f"its cells are numbers in two notations, such as {examples}", commas)


def _mixed_notations(profile: Profile) -> NearMiss | None:
    """Recognize numbers with several units, or with several decimal signs."""
    regular = number_bodies(profile)
    if profile.share(regular) < NEARLY:
        return None
    units = pc.extract_regex(profile.texts, PARTS).field("after").to_pylist()
    weights: dict[str, int] = {}
    for unit, count, known in zip(units, profile.counts, regular, strict=True):
        if known:
            weights[unit] = weights.get(unit, 0) + int(count)
    common = sorted(weights, key=lambda unit: -weights[unit])
    if len(common) > 5:
        return None
    other = np.array([unit != common[0] for unit in units])
    if len(common) > 1:
        listed = ", ".join(repr(unit) if unit else "none" for unit in common[:3])
        return NearMiss(f"its cells are numbers with different units ({listed})", other | ~regular)
    comma = pc.match_substring_regex(profile.texts, r",[0-9]{1,2}\D*$|\..*,").to_numpy(zero_copy_only=False)
    return NearMiss("its cells are numbers written in different ways", comma | ~regular) if comma.any() else None
