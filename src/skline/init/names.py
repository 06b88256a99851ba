"""A column's name → the name of the attribute that declares it, and its name in words."""

import keyword
import re
import unicodedata
from collections.abc import Iterable

from skline.contract.table import Table

#: Names that the generated module uses itself, and those of every class and table.
TAKEN = {"dt", "column", "int", "float", "bool", "str", *dir(Table), *dir(type(Table))}


def attributes(names: Iterable[str]) -> dict[str, str]:
    """Give every column an attribute name that Python and pandera allow, in lower case, each only once."""
    given: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        stem = slug(name)
        attribute, number = stem, 2
        while attribute in used:
            attribute, number = f"{stem}_{number}", number + 1
        used.add(attribute)
        given[name] = attribute
    return given


def slug(name: str) -> str:
    """Write a name in ASCII as snake_case: "Größe (cm)" as grosse_cm, "class" as class_."""
    text = name.replace("ß", "ss").replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = text.replace("%", " percent ").replace("#", " number ")
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", text)
    text = re.sub(r"\W+|_+", "_", text).strip("_").lower()
    if not text or text[0].isdigit():
        text = f"field_{text}".rstrip("_")
    return f"{text}_" if text in TAKEN or keyword.iskeyword(text) else text


def words(name: str) -> str:
    """Write a name as words for people: "monthly_charges" as "Monthly charges"."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", " ", name)
    text = " ".join(re.sub(r"[_\s]+", " ", text).split())
    return text[:1].upper() + text[1:]


def tokens(name: str) -> set[str]:
    """Return the words of a name in lower case, to look them up."""
    return set(re.findall(r"[^\W\d_]+", words(name).lower()))
