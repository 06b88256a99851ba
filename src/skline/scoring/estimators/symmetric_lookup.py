"""Lookup tables of symmetric trees, which split all nodes of a level alike, as CatBoost's do.

The side on which a row passes each level is a bit of its leaf's number. A leaf's position is therefore a sum over the
columns, and takes 16 or 32 bits a tree instead of one bit a leaf.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, CodeWriter, Expression
from skline.scoring.estimators.column_tables import ColumnTable, ColumnTables, Positions, tables_fit
from skline.scoring.estimators.trees import Tree
from skline.scoring.expressions import LookupTable
from skline.scoring.scores import FloatArray


@dataclass(frozen=True)
class LevelSplit:
    """The split of one level of one tree: a value above the threshold adds `step` to the leaf's position."""

    tree: int
    threshold: float
    missing_left: bool
    step: int


class SymmetricLookup(ColumnTables):
    """Tables whose words, added, are the positions of leaves."""

    operator = "+"
    join = np.add

    @override
    def positions(self, words: Array) -> Positions:
        return words

    @override
    def positions_source(self, writer: CodeWriter, words: str) -> str:
        return words


def build_symmetric_lookup(trees: Sequence[Tree], expressions: Sequence[Expression]) -> SymmetricLookup | None:
    """Return the lookup tables, or None where a tree is not symmetric or the tables would be too large."""
    levels_of_trees = [levels for levels in map(_read_levels, trees) if levels is not None]
    dtype = np.dtype("<u2" if sum(tree.leaves for tree in trees) <= 2**16 else "<u4")
    if len(levels_of_trees) < len(trees) or not tables_fit(trees, expressions, dtype.itemsize):
        return None
    splits: dict[int, list[LevelSplit]] = {}
    values: list[Array] = []
    offsets = []
    for index, (tree, levels) in enumerate(zip(trees, levels_of_trees, strict=True)):
        nodes, leaves = levels
        for level, node in enumerate(nodes):
            step = 2 ** (len(nodes) - 1 - level)
            split = LevelSplit(index, tree.threshold[node], tree.missing_left[node], step)
            splits.setdefault(tree.feature[node], []).append(split)
        offsets.append(len(values))
        values.extend(tree.values[leaves])
    start = np.array(offsets, dtype)
    return SymmetricLookup(_column_tables(splits, expressions, start), start, np.array(values))


def _column_tables(
    splits: Mapping[int, Sequence[LevelSplit]], expressions: Sequence[Expression], start: Array
) -> list[ColumnTable]:
    """Return the tables of all columns that are split on; lookup tables over the same index share one."""
    by_index: dict[int, ColumnTable] = {}
    tables: list[ColumnTable] = []
    for feature in sorted(splits):
        expression = expressions[feature]
        thresholds, words = _interval_words(splits[feature], start)
        if isinstance(expression, LookupTable):
            index = expression.index
            empty = ColumnTable(index, None, np.zeros((index.size, len(start)), start.dtype))
            shared = by_index.setdefault(id(index), empty).words
            intervals = np.searchsorted(thresholds, expression.entries, side="left")
            intervals[np.isnan(expression.entries)] = len(words) - 1
            np.add(shared, words[intervals], out=shared)
        else:
            tables.append(ColumnTable(expression, thresholds, words))
    tables += by_index.values()
    if tables:
        np.add(tables[0].words, start, out=tables[0].words)
    return tables


def _interval_words(splits: Sequence[LevelSplit], start: Array) -> tuple[FloatArray, Array]:
    """Return a feature's thresholds, and what each interval between them and, last, NaN adds to the positions."""
    thresholds = np.unique([split.threshold for split in splits])
    words = np.zeros((len(thresholds) + 2, len(start)), start.dtype)
    for split in splits:
        interval = np.searchsorted(thresholds, split.threshold)
        words[interval + 1 : -1, split.tree] += split.step
        words[-1, split.tree] += 0 if split.missing_left else split.step
    return thresholds, words


def _read_levels(tree: Tree) -> tuple[list[int], list[int]] | None:
    """Return one node of each level of splits, and the leaves by number; None if the tree is not symmetric."""
    splits: list[int] = []
    nodes = [0]
    while tree.feature[nodes[0]] >= 0:
        kinds = {(tree.feature[node], tree.threshold[node], tree.missing_left[node]) for node in nodes}
        if len(kinds) > 1 or any(node in tree.categories for node in nodes):
            return None
        splits.append(nodes[0])
        nodes = [child for node in nodes for child in (tree.left[node], tree.right[node])]
    return (splits, nodes) if all(tree.feature[node] < 0 for node in nodes) else None
