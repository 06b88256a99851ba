"""Decide which texts of a column stand for a missing value, and which are categories that look like it."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.init.inference.profile import Flags, Profile

#: What spreadsheets write where a formula fails, in lower case. They are missing wherever they occur, and reported.
SPREADSHEET_ERRORS = {
    "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#spill!", "#calc!", "#error!",
    "#wert!", "#bezug!", "#zahl!", "#valeur!", "#nombre!", "#nom?", "#valor!", "#¡valor!", "#¡ref!", "#¡div/0!",
}  # fmt: skip
#: Texts that mean a missing value among numbers and dates, in lower case.
MISSING_WORDS = SPREADSHEET_ERRORS | {
    "?", "-", "--", "---", ".", "..", "...", "*", "**", "#", "#n/a", "#na", "#nv", "<na>", "n.a.",
    "na", "n/a", "nat", "nil", "none", "null", "nan", "missing", "unknown", "not available", "unk", "k.a.",
    "keine angabe", "undefined", "(null)", "\\n", "_", "—", "\u2013",
}  # fmt: skip
#: Those that mean it among any texts.
MISSING_SIGNS = {
    "?", "#n/a", "#na", "<na>", "(null)", "\\n", "NaN", "nan", "NaT", "null", "NULL", "N/A", "n/a", "<NA>",
    "#N/A", "#NA", "(NULL)", "\\N",
}  # fmt: skip
#: Those that are as often a category: Namibia, no garage, a blood group.
AMBIGUOUS = ("NA", "None", "-", "--", "---")
#: "None" in a larger share of the cells is more likely an answer than a gap, where nothing else decides.
MAX_NONE_SHARE = 0.05


class TableEvidence(NamedTuple):
    """What other columns say about how the program that wrote the table writes.

    Attributes
    ----------
    missing : frozenset of str
        Texts that stand for a missing value among numbers and dates, where they cannot be anything else.
    has_blanks : bool
        Whether a cell of the table is empty.
    decimals : frozenset of str
        Decimal signs of the numbers that can be read in one way only.
    """

    missing: frozenset[str] = frozenset()
    has_blanks: bool = False
    decimals: frozenset[str] = frozenset()


NO_EVIDENCE = TableEvidence()


class MissingWords(NamedTuple):
    """The texts of a text column that are missing, the categories that look like it, and what to check."""

    missing: frozenset[str]
    categories: frozenset[str]
    doubts: tuple[str, ...]


def are_missing_words(profile: Profile) -> Flags:
    """Return which texts mean a missing value if all others are numbers or dates."""
    lower = pc.utf8_lower(profile.texts)
    flags: Flags = pc.is_in(lower, value_set=pa.array(sorted(MISSING_WORDS))).to_numpy(zero_copy_only=False)
    return flags


def missing_among_texts(profile: Profile, evidence: TableEvidence) -> MissingWords:
    """Decide about the texts of a column of categories or free text."""
    suspects = are_missing_words(profile)
    if not suspects.any():
        return MissingWords(frozenset(), frozenset(), ())
    counts = dict(zip(profile.texts.filter(pa.array(suspects)).to_pylist(), profile.counts[suspects], strict=True))
    rest = profile.texts.filter(pa.array(~suspects)).to_pylist()
    missing, categories, doubts = set(), set(), []
    for word, count in counts.items():
        if word in MISSING_SIGNS or word.lower() in SPREADSHEET_ERRORS or (word in AMBIGUOUS and not rest):
            missing.add(word)
        elif word in AMBIGUOUS and {text.lower() for text in rest} in ({"x"}, {"o"}, {"+"}):
            categories.add(word)
        elif word in AMBIGUOUS:
            is_category, reason = _is_category(word, float(count / profile.counts.sum()), rest, evidence)
            (categories if is_category else missing).add(word)
            if reason is not None:
                doubts.append(_doubt(word, int(count), reason, is_category=is_category))
    return MissingWords(frozenset(missing), frozenset(categories), tuple(doubts))


def _is_category(word: str, share: float, rest: list[str], evidence: TableEvidence) -> tuple[bool, str | None]:
    """Return whether a word is a category, and why; no reason if there is no doubt."""
    codes = sum(len(text) == 2 and text.isalpha() and text.isupper() for text in rest)
    if word == "NA" and len(rest) >= 2 and codes >= 0.9 * len(rest):
        return True, "the others are codes of two letters too"
    if word in evidence.missing:
        return False, None
    if word.startswith("-"):
        return False, "it is a dash"
    if evidence.has_blanks:
        return True, "the table leaves missing cells empty"
    if word == "None" and share >= MAX_NONE_SHARE:
        return True, f"it is in {share:.0%} of the cells"
    return False, "nothing in the table says that it is a category"


def _doubt(word: str, count: int, reason: str, *, is_category: bool) -> str:
    """Say what a word was taken for, and how to change it."""
    cells = f"{count:,} cell{'s' * (count != 1)}"
    if is_category:
        return f"{word!r} is read as a category ({cells}; {reason}); if it means a missing value, add it to missing="
    return f"{word!r} is read as missing ({cells}; {reason}); if it is a category, set missing=[] in contract.py"


def spreadsheet_errors(words: frozenset[str]) -> frozenset[str]:
    """Return the words that a spreadsheet writes where a formula fails."""
    return frozenset(word for word in words if word.lower() in SPREADSHEET_ERRORS)


def describe_missing(profile: Profile, missing: Flags) -> str:
    """Describe the missing words of a column: "'NA' and '?' are missing (12 cells)"; empty if there are none."""
    if not missing.any():
        return ""
    words = [repr(text) for text in profile.examples(missing)[:3]]
    more = ", …" if int(np.count_nonzero(missing)) > len(words) else ""
    count = int(profile.counts[missing].sum())
    return f"{', '.join(words)}{more} {'means' if len(words) == 1 else 'mean'} missing ({count:,})"
