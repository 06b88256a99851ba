"""The distinct texts of a column with their counts: all that its kind depends on, apart from the order of the rows."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.notation import WHITESPACE

Flags = npt.NDArray[np.bool_]

#: A column is of a kind if this share of its filled cells is: fewer odd cells than one in twenty are errors or notes
#: among values; more are a part of what the column holds.
NEARLY_ALL = 0.95
#: With fewer regular cells, every cell has to be regular: one text among ten numbers is no accident.
MIN_REGULAR_CELLS = 20


class Profile(NamedTuple):
    """The filled cells of a text column, without the blanks around them.

    Attributes
    ----------
    cells : StringArray of shape (n_rows,)
        Null where a cell is empty or blank.
    texts : StringArray of shape (n_distinct,)
    counts : int64 array of shape (n_distinct,)
    """

    name: str
    cells: pa.Array
    texts: pa.Array
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, name: str, cells: pa.Array) -> "Profile":
        """Count the texts of a column."""
        trimmed = pc.utf8_trim(cells.cast(pa.string()), characters=WHITESPACE)
        counted = pc.value_counts(trimmed)
        texts, counts = counted.field("values"), counted.field("counts").to_numpy()
        filled = pc.greater(pc.utf8_length(texts), 0).fill_null(False)
        if pc.any(pc.equal(texts, "")).as_py():
            trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
        return cls(name, trimmed, texts.filter(filled), counts[filled.to_numpy(zero_copy_only=False)])

    def matching(self, pattern: str) -> Flags:
        """Return which distinct texts match a regular expression of RE2."""
        flags: Flags = pc.match_substring_regex(self.texts, pattern).to_numpy(zero_copy_only=False)
        return flags

    def share(self, chosen: Flags) -> float:
        """Return the share of the filled cells that hold one of the chosen texts."""
        return float(self.counts[chosen].sum() / max(self.counts.sum(), 1))

    def are_nearly_all(self, chosen: Flags) -> bool:
        """Whether the chosen texts are those of all cells, or of nearly all of them."""
        return bool(chosen.all()) or (
            self.share(chosen) >= NEARLY_ALL and int(self.counts[chosen].sum()) >= MIN_REGULAR_CELLS
        )

    def keep(self, chosen: Flags) -> "Profile":
        """Return a profile of the chosen texts alone; its cells are those of this one."""
        return (
            self
            if chosen.all()
            else self._replace(texts=self.texts.filter(pa.array(chosen)), counts=self.counts[chosen])
        )

    def examples(self, chosen: Flags) -> list[str]:
        """Return the chosen texts, the most frequent first."""
        order = np.argsort(-self.counts[chosen], kind="stable")
        return list(np.array(self.texts.filter(pa.array(chosen)).to_pylist(), dtype=object)[order])
