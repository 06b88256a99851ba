"""Tell what was guessed: a table of the columns, and what a person must look at."""

from skline.init.guess import Guess

WIDEST = 40
PARTS = {"left out": "left out", "leak": "LEAK", "input": "input"}


def columns_table(guesses: list[Guess]) -> str:
    """Return a line a column: name, kind, role, reason; "!" marks those to look at."""
    rows = [("", "column", "kind", "role", "because")]
    for guess in guesses:
        mark = "!" if guess.looks or guess.part == "leak" else ""
        part = (
            guess.part if guess.part != "input" else f"input, {guess.feature_group}" if guess.feature_group else "input"
        )
        rows.append((mark, guess.name, guess.kind, "LEAK" if guess.part == "leak" else part, "; ".join(guess.reasons)))
    widths = [min(max(len(row[index]) for row in rows), WIDEST) for index in range(4)]
    return "\n".join(
        "  ".join([*(_cell(cell, width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def _cell(text: str, width: int) -> str:
    """Bring a text to a width."""
    text = " ".join(text.split())
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)


def to_look_at(guesses: list[Guess], remarks: list[str]) -> str:
    """List what a person must look at."""
    lines = [f"  {remark}" for remark in remarks]
    for guess in guesses:
        lines += [f"  {guess.name}: {look}" for look in guess.looks]
        if guess.part == "leak":
            lines.append(
                f"  {guess.name}: left out as a leak ({guess.reasons[-1]}); if it is known in time, move it to Inputs"
            )
    return "\n".join(["Look at:", *lines]) if lines else "Nothing is in doubt."
