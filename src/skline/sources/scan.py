"""What the bytes of a text in columns say before it is parsed: its lines, quotes and blanks, and how it ends."""

import codecs
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.settings.source import Source
from skline.sources.encodings import text_codec
from skline.sources.quote_pairs import QuotePairs

#: Bytes that are read at a time. Arrays of more bytes than malloc keeps for reuse (128 KiB) cost page faults each time.
CHUNK_BYTES = 1 << 16
#: The part at the end of a file in which a footer is searched.
TAIL_BYTES = 1 << 16
LINE_FEED, CARRIAGE_RETURN = 10, 13


class Scan(NamedTuple):
    """What a file's bytes say without being parsed.

    Attributes
    ----------
    quoted : bool
        Whether a cell may be in quotes; otherwise each line is a row.
    lines : int
        Number of lines.
    delimiter_lines : bool
        Whether it may have lines of delimiters only.
    blanks : bool
        Whether a cell may begin or end with a blank.
    broken_quotes : bool
        Whether a quote is not closed before the next one opens.
    tail : str
        The last lines; the first of them is whole.
    """

    quoted: bool
    lines: int
    delimiter_lines: bool
    blanks: bool
    broken_quotes: bool
    tail: str


def scan(data: Any, source: Source, width: int) -> Scan:
    """Look through a binary stream once; `width` is the number of columns."""
    delimiters = source.delimiter.encode() * (width - 1)
    blanks = codecs.lookup(source.encoding).name not in ("utf-8", "ascii")
    feeds = returns = size = 0
    quoted = delimiter_lines = False
    tail = head = b""
    pairs = QuotePairs(source.delimiter)
    while chunk := data.read(CHUNK_BYTES):
        head = (head + chunk[:2])[:2]
        size += len(chunk)
        quoted = quoted or (source.quotes and b'"' in chunk)
        if quoted:
            pairs.add(chunk)
        ends = _line_ends(chunk, LINE_FEED)
        feeds += len(ends)
        if not feeds:
            ends = _line_ends(chunk, CARRIAGE_RETURN)
            returns += len(ends)
        delimiter_lines = delimiter_lines or _may_hold_line(chunk, ends, tail, delimiters)
        blanks = blanks or _has_outer_blanks(tail[-2:] or b"\n", chunk, source.delimiter)
        tail = (tail + chunk)[-TAIL_BYTES:] if len(chunk) < TAIL_BYTES else chunk[-TAIL_BYTES:]
    if width > 1 and tail.endswith((b"\n" + delimiters, b"\r" + delimiters)):
        delimiter_lines = True
    blanks = blanks or tail.endswith((b" ", b"\t"))
    pairs.end()
    lines = (feeds or returns) + (tail[-1:] not in (b"\n", b"\r", b""))
    return Scan(
        quoted,
        lines,
        delimiter_lines,
        blanks,
        pairs.broken,
        last_lines(tail, head, source.encoding, cut=size > len(tail)),
    )


def last_lines(tail: bytes, head: bytes, encoding: str, *, cut: bool) -> str:
    """Decode the end of a file.

    Parameters
    ----------
    tail : bytes
    head : bytes
        The first two bytes of the file.
    encoding : str
    cut : bool
        Whether the file begins before the tail, so that the tail's first line may not be whole.
    """
    codec = text_codec(encoding)
    if not cut:
        return tail.decode(codec, errors="replace")
    if codecs.lookup(codec).name == "utf-16":  # its byte order mark is not in the tail
        codec = "utf-16-be" if head == codecs.BOM_UTF16_BE else "utf-16-le"
    return tail.decode(codec, errors="replace").partition("\n")[2]


def _line_ends(chunk: bytes, end: int) -> npt.NDArray[np.intp]:
    """Return the positions of a byte that ends lines."""
    return np.flatnonzero(np.frombuffer(chunk, np.uint8) == end)


def _may_hold_line(chunk: bytes, ends: npt.NDArray[np.intp], before: bytes, content: bytes) -> bool:
    """Whether a line may consist of `content`, which is delimiters.

    Parameters
    ----------
    chunk : bytes
    ends : array
        The positions of the ends of its lines.
    before : bytes
        The end of the text before the chunk.
    content : bytes
    """
    size = len(content)
    if not size or not len(ends):
        return False
    first = (before[-size - 2 :] if before else b"\n") + chunk[: ends[0] + 1][: size + 3]
    if any(start + content in first for start in (b"\n", b"\r")):
        return True
    codes, lengths, starts = np.frombuffer(chunk, np.uint8), np.diff(ends), ends[:-1] + 1
    plain, returned = lengths == size + 1, lengths == size + 2
    returned[returned] = codes[starts[returned] + size] == CARRIAGE_RETURN
    candidates = starts[plain | returned]
    candidates = candidates[codes[candidates] == content[0]]
    return any(chunk.startswith(content, start) for start in candidates.tolist())


def _has_outer_blanks(before: bytes, chunk: bytes, delimiter: str) -> bool:
    """Whether a blank stands next to a delimiter, a quote or a line end.

    The last byte of the chunk is not looked at: it is one of the two bytes `before` the next chunk.
    """
    text = before + chunk
    if not text.isascii() and (b"\xc2\xa0" in text or b"\xe3\x80\x80" in text):  # a no-break and a wide space
        return True
    edges = np.zeros(256, bool)
    edges[[*b'"\n\r', ord(delimiter) % 256]] = True
    codes = np.frombuffer(text, np.uint8)
    for blank in {b" ", b"\t"} - {delimiter.encode()}:
        if blank in text:
            places = np.flatnonzero(codes[1:-1] == ord(blank)) + 1
            if edges[codes[places - 1]].any() or edges[codes[places + 1]].any():
                return True
    return False
