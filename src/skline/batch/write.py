"""Tables of any length, written part by part."""

from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from skline.errors import SklineError

#: Rows and bytes that a row group of a Parquet file has at most.
GROUP_ROWS = 1 << 20
GROUP_BYTES = 1 << 26
ENDINGS = (".parquet", ".pq", ".csv", ".tsv", ".csv.gz", ".tsv.gz")


def ending_of(path: Path) -> str:
    """Return which of ENDINGS the file's name has; SklineError if none."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return ending
    raise SklineError(f"{path.name} tells no format to write; let its name end in one of {', '.join(ENDINGS)}")


class Output:
    """Writes parts of one table to a path, in the format that an ending names; to be closed by `with`."""

    def __init__(self, path: Path, ending: str) -> None:
        self._path, self._ending = path, ending
        self._waiting: list[pa.RecordBatch] = []
        self._writer: Any = None
        self._sink: Any = None

    def write(self, part: pa.RecordBatch) -> None:
        """Add rows; all parts have the same columns."""
        if self._writer is None:
            self._open(part.schema)
        self._waiting.append(part)
        rows, size = (sum(getattr(p, name) for p in self._waiting) for name in ("num_rows", "nbytes"))
        if self._ending not in (".parquet", ".pq") or rows >= GROUP_ROWS or size >= GROUP_BYTES:
            self._flush()

    def _open(self, schema: pa.Schema) -> None:
        if self._ending in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            # Probabilities hardly repeat: a dictionary of them would be made in vain.
            encoded = [field.name for field in schema if not pa.types.is_floating(field.type)]
            self._writer = pq.ParquetWriter(self._path, schema, use_dictionary=encoded, compression="snappy")
            return
        from pyarrow import csv

        self._sink = pa.OSFile(str(self._path), "wb")
        sink = pa.CompressedOutputStream(self._sink, "gzip") if self._ending.endswith(".gz") else self._sink
        self._sink = sink
        options = csv.WriteOptions(delimiter="\t" if self._ending.startswith(".tsv") else ",")
        try:
            self._writer = csv.CSVWriter(sink, schema, write_options=options)
        except pa.ArrowInvalid as error:
            raise SklineError(f"a CSV cannot hold a column: {error}; write Parquet, or keep fewer columns") from error

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.write_table(pa.Table.from_batches(waiting))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._writer is None:
            return
        if error is None:
            self._flush()
        self._writer.close()
        if self._sink is not None:
            self._sink.close()
