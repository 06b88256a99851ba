"""A count with its noun, for messages: "1 row", "1,234 rows"."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with a noun in the singular or the plural, which by default is the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
