"""Records of several lines in a CSV file, found in its bytes: only they can hold rows that a quote swallowed."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.settings.source import Source

#: Bytes that are read at a time.
CHUNK_BYTES = 1 << 16
#: The longest record that is found in the bytes, and the size of all that are kept.
LONGEST_RECORD, MAX_KEPT = 1 << 22, 1 << 26
QUOTE, NEWLINE = b'"\n'


class LongRecord(NamedTuple):
    """A record of several lines: the number of its first line, from 1, and its bytes."""

    line: int
    content: bytes


def long_records(data: Any, source: Source, skip: int, width: int, n_records: int) -> list[LongRecord] | None:
    """Find the records of several lines that may hold a row, by their number of delimiters.

    A line break is inside of a cell if the number of quotes before it is odd. That holds for a file whose quotes all
    enclose cells; it is verified by the number of records.

    Parameters
    ----------
    data : binary stream
        Seekable.
    source : Source
    skip : int
        Lines above the first record.
    width : int
        Number of columns.
    n_records : int
        Records that the file has if its quotes are read so.

    Returns
    -------
    list of LongRecord, or None
        None if the bytes do not say which lines belong together.
    """
    data.seek(0)
    for _ in range(skip):
        data.readline()
    splitter = _Splitter(ord(source.delimiter) % 256, width, skip + 1)
    while chunk := data.read(CHUNK_BYTES):
        splitter.add(chunk)
        if len(splitter.rest) > LONGEST_RECORD or splitter.kept > MAX_KEPT:
            return None
    if splitter.rest:
        splitter.add(b"\n")
    if splitter.rest or splitter.returns_alone or splitter.n_records != n_records:
        return None
    return splitter.found


class _Splitter:
    """Splits bytes into records."""

    def __init__(self, delimiter: int, width: int, line: int) -> None:
        self.found: list[LongRecord] = []
        self.n_records = self.kept = 0
        self.rest = b""
        self.returns_alone = False
        self._delimiter, self._least = delimiter, 2 * (width - 1)
        self._line = line

    def add(self, chunk: bytes) -> None:
        """Add the next bytes; what does not end with them remains in `rest`."""
        text = self.rest + chunk
        codes = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(codes == NEWLINE)
        outside = np.searchsorted(np.flatnonzero(codes == QUOTE), ends) % 2 == 0
        last_lines = np.flatnonzero(outside)
        if not last_lines.size:
            self.rest = text
            return
        stops = ends[last_lines] + 1
        starts = np.concatenate(([0], stops[:-1]))
        self._add_records(text, codes, starts, stops, last_lines)
        self.rest = text[stops[-1] :]
        self._line += int(last_lines[-1]) + 1

    def _add_records(
        self,
        text: bytes,
        codes: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.intp],
        stops: npt.NDArray[np.intp],
        last_lines: npt.NDArray[np.intp],
    ) -> None:
        """Count records, and keep those of several lines with the delimiters of two rows."""
        if b"\r" in text:
            content = text[: stops[-1]]
            self.returns_alone = self.returns_alone or content.count(b"\r") != content.count(b"\r\n")
        first_lines = np.concatenate(([0], last_lines[:-1] + 1))
        sizes = stops - starts
        blank = (sizes == 1) | ((sizes == 2) & (codes[starts] == ord("\r")))
        self.n_records += len(stops) - int(blank.sum())
        long = np.flatnonzero(last_lines > first_lines)
        if long.size:
            delimiters = np.flatnonzero(codes == self._delimiter)
            counts = np.searchsorted(delimiters, stops[long]) - np.searchsorted(delimiters, starts[long])
            for index in long[counts >= self._least].tolist():
                line = self._line + int(first_lines[index])
                self.found.append(LongRecord(line, text[starts[index] : stops[index]]))
                self.kept += len(self.found[-1].content)
