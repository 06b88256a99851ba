"""Patterns of strings without the words for a missing value, for pydantic's engine."""

import re
import string
from collections.abc import Collection

#: ASCII literals, sets and counts only: no class such as \\d, no group, no anchor.
SIMPLE = re.compile(r"(?:(?:[A-Za-z0-9 _]|\[(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _])+\])(?:[?*+]|\{\d+(?:,\d*)?\})?)+")
ELEMENT = re.compile(r"(\[[^\]]+\]|.)(?:\{(\d+)\})?")
#: Characters of the longest strings whose pattern is written out set by set.
MAX_LENGTH = 16
ALPHABET = string.ascii_letters + string.digits + " _"


def without_words(pattern: str, words: Collection[str]) -> str | None:
    """Return a simple pattern of a fixed length that no longer matches `words`; None for other patterns.

    "[A-Z0-9]{2}" without "NA" is "N[B-Z0-9]" or another first character: "(?:N[BC…]|[AB…][A-Z0-9])".
    """
    if not SIMPLE.fullmatch(pattern) or re.search("[?*+,]", pattern):
        return None
    sets = [
        [char for char in ALPHABET if re.fullmatch(element, char)]
        for element, count in ELEMENT.findall(pattern)
        for _ in range(int(count or 1))
    ]
    if len(sets) > MAX_LENGTH:
        return None
    matching = {word for word in words if re.fullmatch(pattern, word)}
    return _without(matching, sets) if all(len(chars) > len(matching) for chars in sets) else None


def of_all_but(words: Collection[str]) -> str:
    """Return a pattern for Rust's engine, which pydantic uses: it is found in every text but `words`.

    It compares the first characters only: for "NA" and the empty text it is "^(?:[^N]|N(?:[^A]|$|A[\\s\\S]))".
    """
    return f"^{_follows_none(frozenset(words))}" if words else ""


def _follows_none(words: Collection[str]) -> str:
    """Return the pattern of the beginning of all texts but `words`."""
    rests = {first: [word[1:] for word in words if word[:1] == first] for first in sorted({w[0] for w in words if w})}
    if not rests:
        return r"[\s\S]"
    branches = [f"[^{''.join(map(_literal, rests))}]", *([] if "" in words else ["$"])]
    branches += [_literal(first) + _follows_none(rest) for first, rest in rests.items()]
    return f"(?:{'|'.join(branches)})"


def _literal(char: str) -> str:
    """Write a character as its code point, so that it has no other meaning."""
    return rf"\x{{{ord(char):X}}}"


def _without(words: set[str], sets: list[list[str]]) -> str:
    """Return the pattern of a sequence of sets of characters without `words`, which it matches."""
    if not words:
        return "".join(f"[{''.join(chars)}]" for chars in sets)
    firsts = {word[0] for word in words}
    others = "".join(char for char in sets[0] if char not in firsts)
    branches = [f"[{others}]{_without(set(), sets[1:])}"] if others else []
    if len(sets) > 1:
        rests = {first: {word[1:] for word in words if word[0] == first} for first in sorted(firsts)}
        branches += [first + _without(rest, sets[1:]) for first, rest in rests.items()]
    return f"(?:{'|'.join(branches)})"
