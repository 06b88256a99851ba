"""Read structs in Thrift's compact protocol, in which Parquet writes its footer and the headers of its pages."""

from typing import Any

#: Types of fields; a boolean's type is its value.
STOP, TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
INTEGERS = (4, 5, 6)
#: Values within values; Parquet's have fewer.
MAX_DEPTH = 12


class CompactReader:
    """Reads values from bytes.

    Parameters
    ----------
    data : bytes
    position : int
        Where the first value begins; afterwards where the last one that was read ends.
    """

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Read a struct.

        Returns
        -------
        Its fields by number: integers, structs, lists of them; None for booleans, texts and fractions.

        Raises
        ------
        ValueError
            If it does not end within the data, or has a value of another type.
        """
        if depth > MAX_DEPTH:
            raise ValueError("its structure is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) & 15 != STOP:
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in INTEGERS:
            return self._integer()
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._list(depth + 1)
        if kind == BINARY:
            self._advance(self._unsigned())
        elif kind in (BYTE, DOUBLE):
            self._advance(1 if kind == BYTE else 8)
        elif kind not in (TRUE, FALSE):
            raise ValueError("its structure has a value of an unknown type")
        return None

    def _list(self, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise ValueError("its structure is nested too deeply")
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._unsigned()
        if size > len(self.data) - self.position:  # each element has at least a byte
            raise ValueError("its structure does not end within the file")
        if head & 15 in (TRUE, FALSE):
            self._advance(size)
            return []
        return [self._value(head & 15, depth) for _ in range(size)]

    def _byte(self) -> int:
        if not 0 <= self.position < len(self.data):
            raise ValueError("its structure does not end within the file")
        self.position += 1
        return self.data[self.position - 1]

    def _advance(self, count: int) -> None:
        self.position += count
        if self.position > len(self.data):
            raise ValueError("its structure does not end within the file")

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("its structure has too long a number")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
