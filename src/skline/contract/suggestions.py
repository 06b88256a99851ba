"""Suggest which column an unknown name in a row means, and how a missing value is given for an absent one."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from skline.contract.spec import Contract

Location = tuple[int | str, ...]
#: Letters that the Python attribute of a column writes as two.
AS_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
#: From which similarity on (`difflib`) a name is taken for a misspelt one.
MIN_SIMILARITY = 0.75


class Suggestions:
    """The missing columns of the rows that are described by the errors of a pydantic.ValidationError."""

    def __init__(self, details: Iterable[Mapping[str, Any]]) -> None:
        self._missing: dict[Location, dict[str, Location]] = {}
        for detail in details:
            if detail["type"] == "missing" and detail["loc"]:
                *row, name = detail["loc"]
                self._missing.setdefault(tuple(row), {})[_folded(str(name))] = detail["loc"]

    def same_name(self, location: Location) -> Location | None:
        """Return the location of the missing column with the same name but for case, blanks and punctuation.

        A column and its Python attribute have the same name in this sense.
        """
        return self._missing.get(location[:-1], {}).get(_folded(str(location[-1]))) if location else None

    def similar_name(self, location: Location) -> Location | None:
        """Return the location of the missing column whose name is the same or similar; it takes longer."""
        missing = self._missing.get(location[:-1], {}) if location else {}
        close = get_close_matches(_folded(str(location[-1])), missing, n=1, cutoff=MIN_SIMILARITY) if missing else []
        return missing[close[0]] if close else None


def absence_hints(contract: Contract, write: Callable[[str], str]) -> dict[str, str]:
    """Return what to say of an absent input, by the inputs that may be missing.

    `write` says for the name of an input how a missing value is given: "send null".
    """
    return {column.name: f"; {write(column.name)} if it is unknown" for column in contract.inputs if column.nullable}


def json_absence_hints(contract: Contract) -> dict[str, str]:
    """Return what to say of an input that a JSON object lacks, by the inputs that may be missing."""
    return absence_hints(contract, lambda _: "send null")


def absence_hint(detail: Mapping[str, Any], hints: Mapping[str, str]) -> str:
    """Return the hint of an error of a pydantic.ValidationError; empty unless a field is absent that has one."""
    return hints.get(str(detail["loc"][-1]), "") if detail["type"] == "missing" and detail["loc"] else ""


def _folded(name: str) -> str:
    """Return a name without case, accents, blanks and punctuation."""
    text = unicodedata.normalize("NFC", name).casefold().translate(AS_TWO_LETTERS)
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text)))
