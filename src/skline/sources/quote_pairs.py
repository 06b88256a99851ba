"""Whether the quotes of a CSV file can be pairs: found in its bytes, without parsing them."""

import numpy as np

QUOTE, RETURN, NEWLINE = b'"\r\n'


class QuotePairs:
    """Looks for a cell that opens where the cell before has not closed.

    A quote opens a cell if it is behind a delimiter or a line end, and before text; it closes one if it is before a
    delimiter or a line end. In a valid file no two quotes in succession open a cell, because the one that closes the
    first is between them: inside of cells, quotes are doubled.

    Parameters
    ----------
    delimiter : str

    Attributes
    ----------
    broken : bool
        Whether such a cell has been found.
    """

    def __init__(self, delimiter: str) -> None:
        self.broken = False
        self._delimiter = ord(delimiter) % 256
        self._rest = b"\n"
        self._open = False

    def add(self, chunk: bytes) -> None:
        """Look at the next bytes of the file."""
        text = self._rest + chunk
        self._rest = text[-2:]
        if len(text) < 3:
            return
        codes = np.frombuffer(text, np.uint8)
        quotes = codes == QUOTE
        edges = (codes == self._delimiter) | (codes == NEWLINE) | (codes == RETURN)
        closes = quotes[1:-1] & edges[2:]
        opens = quotes[1:-1] & edges[:-2] & ~(edges | quotes)[2:]
        events = np.compress(opens | closes, opens)
        if events.size:
            self.broken = self.broken or bool((self._open and events[0]) or (events[1:] & events[:-1]).any())
            self._open = bool(events[-1])

    def end(self) -> None:
        """Look at the last bytes; a cell that is still open then is never closed."""
        self.add(b"\n")
        self.broken = self.broken or self._open
