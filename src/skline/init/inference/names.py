"""Derive the attribute name, the words and the search tokens of a column's name."""

import keyword
import re
import unicodedata
from collections.abc import Iterable

from skline.contract.table import Table

#: Names that the generated module uses, and the attributes of every table class.
RESERVED_NAMES = {"dt", "column", "DEFAULT_MISSING", "int", "float", "bool", "str", *dir(Table), *dir(type(Table))}


def attribute_names(names: Iterable[str]) -> dict[str, str]:
    """Return a unique lower-case attribute name for every column that Python and pandera allow."""
    attributes: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        stem = to_snake_case(name)
        attribute, number = stem, 2
        while attribute in used:
            attribute, number = f"{stem}_{number}", number + 1
        used.add(attribute)
        attributes[name] = attribute
    return attributes


def to_snake_case(name: str) -> str:
    """Convert a name to ASCII snake_case: "Größe (cm)" as grosse_cm, "class" as class_."""
    text = name.replace("ß", "ss").replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = text.replace("%", " percent ").replace("#", " number ")
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", text)
    text = re.sub(r"\W+|_+", "_", text).strip("_").lower()
    if not text or text[0].isdigit():
        text = f"field_{text}".rstrip("_")
    return f"{text}_" if text in RESERVED_NAMES or keyword.iskeyword(text) else text


def to_words(name: str) -> str:
    """Convert a name to words: "monthly_charges" to "Monthly charges"."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", " ", name)
    text = " ".join(re.sub(r"[_\s]+", " ", text).split())
    return text[:1].upper() + text[1:]


def name_tokens(name: str) -> set[str]:
    """Return the words of a name in lower case."""
    return set(re.findall(r"[^\W\d_]+", to_words(name).lower()))
