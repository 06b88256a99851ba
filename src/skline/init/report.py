"""The text that `skline init` prints: the inferred columns, what to check by hand, what was done, what to do next."""

from skline.counting import counted
from skline.init.inference.column_guess import ColumnGuess
from skline.init.plan import InitPlan

MAX_COLUMN_WIDTH = 40
#: No statistic of a table answers it.
INPUTS_QUESTION = (
    "Of every input: is its value known when a prediction is requested? If not, remove it from Inputs of "
    "src/model/contract.py."
)


def plan_report(plan: InitPlan, actions: list[str]) -> str:
    """Return the report of a plan that was carried out by `actions`."""
    inputs = sum(guess.role == "input" for guess in plan.guesses)
    return "\n".join(
        [
            columns_table(plan.guesses),
            "",
            f"{counted(plan.n_rows, 'row')}, {counted(inputs, 'input')}",
            f"name: {plan.name} (of the project and its model; --name NAME chooses another)",
            f"task: {plan.task.task} ({plan.task.reason})",
            f"split: {plan.split}",
            *([] if plan.retraining is None else [f"retraining: {plan.retraining}"]),
            *plan.estimator,
            "",
            review_notes(plan.guesses, plan.remarks, plan.retraining_remarks),
            INPUTS_QUESTION,
            "",
            *(actions or ["Nothing changed: the project already has these files."]),
            "Next: read src/model/contract.py, then run `uv run dvc repro` and `uv run skline serve`",
        ]
    )


def columns_table(guesses: list[ColumnGuess]) -> str:
    """Return one line for each column: name, kind, role, reason; "!" marks a column to check."""
    rows = [("", "column", "kind", "role", "because")]
    for guess in guesses:
        mark = "!" if guess.doubts or guess.role == "leak" else ""
        role = f"input, {guess.feature_group}" if guess.role == "input" and guess.feature_group else guess.role
        rows.append((mark, guess.name, guess.kind, "LEAK" if role == "leak" else role, "; ".join(guess.reasons)))
    widths = [min(max(len(row[index]) for row in rows), MAX_COLUMN_WIDTH) for index in range(4)]
    return "\n".join(
        "  ".join([*(_cell(cell, width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def review_notes(guesses: list[ColumnGuess], remarks: list[str], later: list[str]) -> str:
    """Return the list of what a person has to check: the table, its columns, and what matters `later`."""
    lines = [f"  {remark}" for remark in remarks]
    for guess in guesses:
        lines += [f"  {guess.name}: {doubt}" for doubt in guess.doubts]
        if guess.role == "leak":
            lines.append(
                f"  {guess.name}: excluded as a leak; if its value is known before the target is, move it from LEAKS "
                "to Inputs"
            )
    lines += [f"  {remark}" for remark in later]
    return "\n".join(["Please check:", *lines]) if lines else "Nothing is in doubt."


def _cell(text: str, width: int) -> str:
    """Pad or shorten a text to `width` characters."""
    text = " ".join(text.split())
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)
