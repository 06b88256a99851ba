"""An Iceberg table as a source: `iceberg://CATALOG/NAMESPACE.TABLE`; the catalog is configured as pyiceberg's tools do.

The table's snapshot id is the snapshot.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table.snapshots import Operation, ancestors_of

from skline.clock import to_utc
from skline.errors import SklineError
from skline.sources.lake import (
    LakeRows,
    LakeSource,
    from_milliseconds,
    listing,
    plain_batches,
    selected,
)
from skline.sources.source import Snapshot
from skline.sources.store_errors import StoreErrors, translated_store_errors

PREFIX = "iceberg://"
#: Operations that leave the rows that were there as they are: rows are added, or files are compacted.
KEEPING = {Operation.APPEND, Operation.REPLACE}
ERRORS = StoreErrors(
    absent=(NoSuchTableError, NoSuchNamespaceError),
    absent_text="table {uri} in the catalog",
    advice="the catalog and its credentials are configured in ~/.pyiceberg.yaml or the variables "
    "PYICEBERG_CATALOG__NAME__…",
)


class IcebergSource(LakeSource):
    """A table in a catalog of Iceberg."""

    def snapshot(self) -> Snapshot:
        """Return the table's id and the id of the snapshot that is read."""
        with translated_store_errors(self.source.uri, ERRORS):
            table = self._table()
            return _state(table, self._snapshot_id(table))

    def rows(self, columns: Sequence[str] | None, since: Snapshot | None) -> LakeRows:
        """Open the snapshot that `source.lake` selects; see `LakeSource`."""
        with translated_store_errors(self.source.uri, ERRORS):
            table = self._table()
            number = self._snapshot_id(table)
            options: dict[str, Any] = {} if self.settings.where is None else {"row_filter": self.settings.where}
            whole = table.scan(snapshot_id=number, **options)
            names = [field.name for field in whole.projection().fields]
            chosen = tuple(selected(names, columns))
            if since is None:
                reader = whole.select(*chosen).to_arrow_batch_reader()
            else:
                check_only_added(table, number, since)
                bounds = {"from_snapshot_id_exclusive": since["snapshot"], "to_snapshot_id_inclusive": number}
                reader = table.incremental_append_scan(**bounds, selected_fields=chosen).to_arrow_batch_reader()
        schema = pa.schema([pa.field(field.name, field.type) for field in reader.schema])
        state = _state(table, number)
        lineage: dict[str, object] = {"table": state["table"], "version": number}
        lineage |= {} if since is None else {"added_since": since["snapshot"]}
        return LakeRows(schema, self._read(reader, schema), names, lineage, state)

    def _read(self, reader: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with translated_store_errors(self.source.uri, ERRORS):
            yield from plain_batches(reader, schema)

    def _table(self) -> Any:
        """Load the table from its catalog."""
        catalog, _, name = self.source.uri.removeprefix(PREFIX).partition("/")
        if not catalog or "." not in name:
            raise SklineError(f"source.uri is {self.source.uri!r}; write iceberg://CATALOG/NAMESPACE.TABLE")
        return load_catalog(catalog).load_table(name)

    def _snapshot_id(self, table: Any) -> int:
        """Return the id of the snapshot to read; SklineError if the table does not have it."""
        states = sorted((each.timestamp_ms, each.snapshot_id) for each in table.snapshots())
        shown = listing([(number, from_milliseconds(time)) for time, number in states])
        number = self.settings.version
        if self.settings.as_of is not None:
            moment = to_utc(self.settings.as_of)
            found = table.snapshot_as_of_timestamp(int(moment.timestamp() * 1000))
            if found is None:
                raise SklineError(
                    f"source.lake.as_of: the table has no snapshot of {moment:%Y-%m-%d %H:%M:%S} UTC: none is as old, "
                    f"or it is expired; it has {shown}"
                )
            return int(found.snapshot_id)
        if number is not None and table.snapshot_by_id(number) is None:
            raise SklineError(
                f"source.lake.version: the table has no snapshot {number}, or it is expired; it has {shown}"
            )
        current = table.current_snapshot()
        if number is None and current is None:
            raise SklineError(self.no_rows)
        return int(current.snapshot_id) if number is None else number


def check_only_added(table: Any, number: int, since: Snapshot) -> None:
    """Raise SklineError if rows were changed or removed between an earlier state and a snapshot."""
    if since.get("table") != str(table.metadata.table_uuid):
        raise SklineError(
            "source.uri is another table than the one that the snapshots are of; delete the snapshots to read it"
        )
    for each in ancestors_of(table.snapshot_by_id(number), table.metadata):
        if each.snapshot_id == since["snapshot"]:
            return
        if each.summary is not None and each.summary.operation not in KEEPING:
            raise SklineError(
                f"source.uri: snapshot {each.snapshot_id} of the table ({each.summary.operation.value}) changed or "
                "removed rows, and source.mode is append; set source.mode to full, or delete the snapshots to read the "
                "whole table again"
            )
        if each.parent_snapshot_id == since["snapshot"]:
            return
    raise SklineError(
        f"source.uri: what was added since snapshot {since['snapshot']} is unknown, because snapshots after it are "
        "expired or the table was reset; delete the snapshots to read the whole table again"
    )


def _state(table: Any, number: int) -> Snapshot:
    """Return the table's id, and the last snapshot until `number` that was more than a compaction of files."""
    for each in ancestors_of(table.snapshot_by_id(number), table.metadata):
        number = each.snapshot_id
        if each.summary is None or each.summary.operation is not Operation.REPLACE:
            break
    return {"table": str(table.metadata.table_uuid), "snapshot": number}
