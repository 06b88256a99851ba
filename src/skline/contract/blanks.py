"""Find texts with leading or trailing whitespace, faster than trimming every text."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Whitespace of ASCII, by its byte.
ASCII_BLANK = np.zeros(256, bool)
ASCII_BLANK[[9, 10, 11, 12, 13, 32]] = True
#: Bytes with which a text with leading or trailing whitespace may begin or end: whitespace of ASCII, and the first or
#: the last byte in UTF-8 of the other characters in `skline.contract.notation.WHITESPACE`.
FIRST, LAST = ASCII_BLANK.copy(), ASCII_BLANK.copy()
FIRST[[0xC2, 0xE1, 0xE2, 0xE3]] = True
LAST[np.r_[0x80:0x8B, 0x9F, 0xA0, 0xA8, 0xA9, 0xAF]] = True
#: All bytes from the first to the last of these are characters of ASCII other than whitespace.
FIRST_VISIBLE, LAST_VISIBLE = np.uint8(33), np.uint8(127)


def may_have_blanks(cells: Any) -> bool:
    """Whether some text of an Arrow array may begin or end with whitespace, by its first and its last byte."""
    if isinstance(cells, pa.ChunkedArray):
        return any(may_have_blanks(chunk) for chunk in cells.chunks)
    if pa.types.is_dictionary(cells.type):
        return may_have_blanks(cells.dictionary)
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)) or len(cells) == 0:
        return False
    _, offset_buffer, content = cells.buffers()
    if content is None or content.size == 0:
        return False
    kind = np.int32 if pa.types.is_string(cells.type) else np.int64
    offsets: npt.NDArray[Any] = np.frombuffer(offset_buffer, kind)[cells.offset : cells.offset + len(cells) + 1]
    starts, ends = offsets[:-1], offsets[1:]
    text = np.frombuffer(content, np.uint8)
    if not (text - FIRST_VISIBLE > LAST_VISIBLE - FIRST_VISIBLE).any():  # bytes wrap around below zero
        return False
    filled = ends > starts
    if not filled.all():
        starts, ends = starts[filled], ends[filled]
    return bool(FIRST[text[starts]].any() or LAST[text[ends - 1]].any())
