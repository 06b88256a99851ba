"""Read prediction ids from a file: a table with the column prediction_id, or a text with one id a line."""

from pathlib import Path

from skline.contract.cells import read_cells
from skline.contract.spec import CellFormat
from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.dialect import detect_dialect
from skline.sources.tables import header, read_source

COLUMN = "prediction_id"
#: Suffixes of files with one id a line; all others are tables.
LINES = ("", ".txt")
#: Suffixes of text tables; one with a single column has no delimiter, by which tables are recognised.
TEXT_TABLES = (".csv", ".tsv")


def read_ids(path: Path) -> list[str]:
    """Return the ids of a file, each once, in their order; a header `prediction_id` is none.

    Raises
    ------
    SklineError
        If the file cannot be read, lacks the column or has no id.
    """
    if not path.is_file():
        raise SklineError(f"there is no file {str(path)!r} with prediction ids")
    suffix = path.suffix.lower()
    lines = _read_lines(path) if suffix in (*LINES, *TEXT_TABLES) else []
    if lines[:1] == [COLUMN]:
        ids = lines[1:]
    elif suffix in LINES:
        ids = lines
    else:
        ids = _read_table(path)
    if not ids:
        raise SklineError(f"{path} has no prediction id")
    return list(dict.fromkeys(ids))


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise SklineError(f"cannot read {path}: {error}") from None
    return [line.strip().strip('"') for line in lines if line.strip()]


def _read_table(path: Path) -> list[str]:
    source = Source.model_validate({"uri": str(path)} | detect_dialect(path, {}).source)
    columns = header(path, source)
    if COLUMN not in columns:
        raise SklineError(
            f"{path.name} has the columns {columns}; it needs {COLUMN}, or write one id a line in a .txt file"
        )
    table, _ = read_source(path, source, (COLUMN,))
    values, _ = read_cells(table[COLUMN].combine_chunks(), CellFormat("string"))
    return [text for text in values.to_pylist() if text]
