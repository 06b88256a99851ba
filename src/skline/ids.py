"""Ids of predictions and requests: random hexadecimal digits, drawn from the operating system in bulk.

One system call for a few bytes takes several microseconds, one for thousands of bytes hardly longer.
"""

import os
import sys
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from skline.clock import now_us

#: Strings that `RandomHex` draws at once.
BUFFER_SIZE = 512
#: Characters of a prediction id.
PREDICTION_ID_LENGTH = 32
#: Sets the two upper bits of a hexadecimal digit to 10, the variant of RFC 9562, and keeps its two lower bits.
_VARIANT = {f"{digit:x}": f"{digit % 4 + 8:x}" for digit in range(16)}
#: The same mapping from ASCII code to ASCII code.
_VARIANT_CODES = np.frombuffer(bytes(ord(_VARIANT.get(chr(code), "\0")) for code in range(128)), dtype=np.uint8)


class RandomHex:
    """Generator of strings of random hexadecimal digits. Thread-safe and fork-safe.

    Parameters
    ----------
    size : int
        Random bytes of a string, which has twice as many digits.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer: deque[str] = deque()
        # Without this a forked child would return the same strings as its parent.
        if sys.platform != "win32":
            os.register_at_fork(after_in_child=self._buffer.clear)

    def __call__(self) -> str:
        """Return a random string that this generator has not returned before."""
        try:
            return self._buffer.pop()
        except IndexError:
            text, width = os.urandom(self._size * BUFFER_SIZE).hex(), 2 * self._size
            self._buffer.extend(text[start : start + width] for start in range(width, len(text), width))
            return text[:width]


_RANDOM = RandomHex(10)


def new_prediction_id() -> str:
    """Return a UUID of version 7 (RFC 9562) as 32 hexadecimal digits.

    It starts with the time, so that a database's index grows at its end: with 100,000 rows stored, inserting one
    took half as long as with random ids.
    """
    random = _RANDOM()
    return f"{now_us() // 1000:012x}7{random[:3]}{_VARIANT[random[3]]}{random[4:19]}"


def new_prediction_ids(count: int) -> list[str]:
    """Return `count` ids like those of `new_prediction_id`, all with the same time."""
    text = concatenated_prediction_ids(count).decode("ascii")
    return [text[start : start + PREDICTION_ID_LENGTH] for start in range(0, len(text), PREDICTION_ID_LENGTH)]


def concatenated_prediction_ids(count: int) -> bytes:
    """Return `count` ids like those of `new_prediction_ids`, one after the other, in ASCII."""
    digits = np.empty((count, PREDICTION_ID_LENGTH), dtype=np.uint8)
    digits[:, :12] = np.frombuffer(f"{now_us() // 1000:012x}".encode(), dtype=np.uint8)
    digits[:, 12:] = np.frombuffer(os.urandom(count * 10).hex().encode(), dtype=np.uint8).reshape(count, 20)
    digits[:, 12] = ord("7")
    digits[:, 16] = _VARIANT_CODES[digits[:, 16]]
    return digits.tobytes()


def message_prediction_ids(
    topic: str, partitions: Sequence[int], offsets: Sequence[int], timestamps: Sequence[int]
) -> list[str]:
    """Return the ids of the predictions for messages: always the same, so that repeated answers are recognised.

    Parameters
    ----------
    topic : str
    partitions, offsets : sequence of int of length n
    timestamps : sequence of int of length n
        Of the messages, in milliseconds since 1970; a topic that is created anew has the same offsets at other times.

    Returns
    -------
    list of str of length n
        UUIDs of version 8 (RFC 9562) as 32 hexadecimal digits. They start with the time, as those of
        `new_prediction_id` do. Two messages of a partition never have the same one.
    """
    names, positions = np.unique(np.asarray(partitions, np.int64), return_inverse=True)
    digests = b"".join(blake2b(f"{topic}/{name}".encode(), digest_size=16).digest() for name in names.tolist())
    seeds = np.frombuffer(digests, "<u8").reshape(-1, 2)[positions]
    mixed = _mix(np.asarray(offsets, np.int64).astype("<u8") ^ seeds[:, 0]).view(np.uint8).reshape(-1, 8)
    moments = np.maximum(np.asarray(timestamps, np.int64), 0).astype(">u8").view(np.uint8).reshape(-1, 8)
    content = np.empty((len(positions), 16), np.uint8)
    content[:, :6], content[:, 7], content[:, 9:] = moments[:, 2:], mixed[:, 0], mixed[:, 1:]
    content[:, 6] = (seeds[:, 1] & 0x0F) | 0x80  # the version
    content[:, 8] = ((seeds[:, 1] >> 8) & 0x3F) | 0x80  # the variant
    text = content.tobytes().hex()
    return [text[start : start + PREDICTION_ID_LENGTH] for start in range(0, len(text), PREDICTION_ID_LENGTH)]


def _mix(numbers: "np.ndarray[Any, np.dtype[np.uint64]]") -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """Mix the bits of numbers; different ones stay different. It is the last step of the generator SplitMix64."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
