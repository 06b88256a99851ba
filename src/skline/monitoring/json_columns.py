"""JSON objects of the log as one Arrow array for each of their keys."""

import json
from collections.abc import Mapping

import pyarrow as pa

from skline.monitoring.log_tables import quote


class JsonColumns:
    """The keys of the JSON objects in a column, which DuckDB parses to values of given types.

    The field names of DuckDB's structs ignore case: keys that differ only in case are parsed by separate expressions.

    Parameters
    ----------
    column : str
        Name of a column with JSON objects, or null.
    types : mapping of str to str
        Type of DuckDB by key; may be empty.
    """

    def __init__(self, column: str, types: Mapping[str, str]) -> None:
        self._column = column
        self._groups: list[dict[str, str]] = []
        for key, kind in types.items():
            for group in self._groups:
                if key.casefold() not in {each.casefold() for each in group}:
                    group[key] = kind
                    break
            else:
                self._groups.append({key: kind})

    @property
    def expressions(self) -> tuple[str, ...]:
        """The expressions to select, with their aliases; none without keys."""
        return tuple(
            f"json_transform({self._column}, {quote(json.dumps(group))}) AS {self._column}_{number}"
            for number, group in enumerate(self._groups)
        )

    def arrays(self, table: pa.Table) -> dict[str, pa.Array]:
        """Return the values by key, from a result with `expressions`; null where an object lacks the key."""
        return {
            key: structs.field(position)
            for number, group in enumerate(self._groups)
            for structs in [table[f"{self._column}_{number}"].combine_chunks()]
            for position, key in enumerate(group)
        }
