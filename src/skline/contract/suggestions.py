"""Suggest which column an unknown name in a row means: a missing one that is written alike."""

import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

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


def _folded(name: str) -> str:
    """Return a name without case, accents, blanks and punctuation."""
    text = unicodedata.normalize("NFC", name).casefold().translate(AS_TWO_LETTERS)
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text)))
