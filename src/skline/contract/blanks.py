"""Find texts with blanks around them, faster than trimming every text."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Bytes that a text with blanks around it may begin or end with: those of ASCII, and the first and the last of
#: the no-break space and of wider ones in UTF-8.
BLANK = np.zeros(256, bool)
BLANK[[9, 10, 11, 12, 13, 32]] = True
#: All bytes between are signs of ASCII that are no blanks.
FIRST_VISIBLE, LAST_VISIBLE = np.uint8(33), np.uint8(127)
FIRST, LAST = BLANK.copy(), BLANK.copy()
FIRST[[0xC2, 0xE2, 0xE3, 0xE1]] = True
LAST[np.r_[0x80:0x8B, 0xA0, 0xA8, 0xA9, 0xAF, 0x9F]] = True


def may_have_blanks(cells: Any) -> bool:
    """Whether some text of an Arrow array may begin or end with a blank, by two bytes of each."""
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
