"""A batch that is a table gets a table in response, with the predictions, log, errors and limits of JSON."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline.contract.frames import to_json_rows
from skline.serving.errors import RequestError
from skline.serving.tables import media_types
from skline.serving.tables.parquet_sizes import parquet_sizes
from skline.serving.tables.reading import TableLimits, read_table
from tests.fixtures import demo
from tests.fixtures.service import logged_rows, metric, metric_by_label, service_with_log

ARROW, PARQUET = media_types.ARROW.decode(), media_types.PARQUET.decode()
CONTRACT = demo.contract()


def frame(count: int) -> pd.DataFrame:
    """Flights, some with missing values and unknown categories."""
    rows = demo.parts()["live"][CONTRACT.input_names].head(count).copy()
    rows["distance"] = rows["distance"].where(np.arange(count) % 7 != 0)
    rows["dest"] = rows["dest"].where(np.arange(count) % 5 != 0, "ZZZ")
    return rows


def as_arrow(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=100)
    return bytes(sink.getvalue())


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def post(client: httpx.Client, content: bytes, content_type: str, query: str = "") -> httpx.Response:
    return client.post(f"/predict/batch{query}", content=content, headers={"content-type": content_type})


def read(response: httpx.Response) -> pa.Table:
    assert response.status_code == 200, response.text
    if response.headers["content-type"] == PARQUET:
        return pq.read_table(io.BytesIO(response.content))
    with pa.ipc.open_stream(response.content) as reader:
        return reader.read_all()


def comparable(content: dict[str, Any]) -> dict[str, Any]:
    """A response without its id, its numbers as bits."""
    numbers = {name: struct.pack("d", value) for name, value in content["probabilities"].items()}
    return content | {"prediction_id": None, "probabilities": numbers}


def responses(table: pa.Table) -> list[dict[str, Any]]:
    return [comparable(row) for row in table.to_pylist()]


@pytest.mark.parametrize("count", [0, 5, 300])
@pytest.mark.parametrize(("content_type", "write"), [(ARROW, as_arrow), (PARQUET, as_parquet)])
def test_predictions_equal_those_of_json_to_the_last_bit(
    client: httpx.Client, content_type: str, write: Callable[[pa.Table], bytes], count: int
) -> None:
    rows = frame(count)
    expected = client.post("/predict/batch", json=to_json_rows(CONTRACT.inputs, rows)).json()["predictions"]
    got = read(post(client, write(pa.Table.from_pandas(rows, preserve_index=False)), content_type))
    assert responses(got) == list(map(comparable, expected))
    assert len(set(got.column("prediction_id").to_pylist())) == count
    assert got.column_names == ["prediction", "probabilities", "model_version", "prediction_id"]


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_and_encoded_tables_are_read(client: httpx.Client, compression: str) -> None:
    plain = pa.Table.from_pandas(frame(50), preserve_index=False)
    texts = [name for name in plain.column_names if pa.types.is_large_string(plain.column(name).type)]
    assert texts
    encoded = plain
    for name in texts:
        index = encoded.column_names.index(name)
        encoded = encoded.set_column(index, name, encoded.column(name).dictionary_encode())
    views = plain.cast(pa.schema([
        pa.field(f.name, pa.string_view() if f.name in texts else f.type) for f in plain.schema
    ]))  # fmt: skip
    expected = responses(read(post(client, as_arrow(plain), ARROW)))
    for table in (encoded, views):
        assert responses(read(post(client, as_arrow(table, compression), ARROW))) == expected
    assert responses(read(post(client, as_parquet(encoded, compression=compression), PARQUET))) == expected


def test_other_names_of_classes_are_those_of_json(client: httpx.Client) -> None:
    rows = frame(20)
    body = to_json_rows(CONTRACT.inputs, rows)
    expected = client.post("/predict/batch?labels=table", json=body).json()["predictions"]
    got = read(post(client, as_arrow(pa.Table.from_pandas(rows)), ARROW, "?labels=table"))
    assert [str(row["prediction"]).lower() for row in got.to_pylist()] == [
        str(row["prediction"]).lower() for row in expected
    ]
    assert [row["probabilities"] for row in got.to_pylist()] == [row["probabilities"] for row in expected]


CELLS: dict[str, Any] = {
    "distance": st.one_of(st.none(), st.integers(-5, 3000)),
    "carrier": st.sampled_from(["UA", "AA", "united", "", None]),
    "origin": st.sampled_from(["JFK", "EWR", "BOS"]),
    "dest": st.sampled_from(["IAH", "zzz", "ZZZ", None]),
}


@given(st.lists(st.fixed_dictionaries({}, optional=CELLS), min_size=1, max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_is_answered_or_rejected_as_json_is(client: httpx.Client, changes: list[dict[str, Any]]) -> None:
    base = to_json_rows(CONTRACT.inputs, frame(len(changes)))
    rows = [row | change for row, change in zip(base, changes, strict=True)]
    by_json = client.post("/predict/batch", json=rows)
    table = pa.Table.from_pylist(rows)
    for content, content_type in ((as_arrow(table), ARROW), (as_parquet(table), PARQUET)):
        response = post(client, content, content_type)
        assert response.status_code == by_json.status_code, (response.text, by_json.text)
        if response.status_code == 200:
            assert responses(read(response)) == list(map(comparable, by_json.json()["predictions"]))
        else:
            assert response.json() == by_json.json()


def test_log_and_metrics_are_those_of_json(packaged: demo.Packaged, tmp_path: Path) -> None:
    rows = frame(200)
    names = ["skline_input_missing_values_total", "skline_input_unseen_categories_total", "skline_predictions_total"]
    logs, counts = [], []
    for kind in ("json", "table"):
        folder = tmp_path / kind
        folder.mkdir()
        with service_with_log(packaged, folder) as client:
            if kind == "json":
                answer = client.post("/predict/batch", json=to_json_rows(CONTRACT.inputs, rows))
            else:
                answer = post(client, as_arrow(pa.Table.from_pandas(rows, preserve_index=False)), ARROW)
            assert answer.status_code == 200
            log = logged_rows(folder, 200).to_pylist()
            counts.append([metric_by_label(client, name) for name in names])
            assert metric(client, 'skline_batch_rows_sum{source="request"}') == 200
        for row in log:
            for name in ("prediction_id", "time", "latency_us", "request_id"):
                assert row.pop(name) is not None
            row["inputs"] = json.loads(row["inputs"]) if isinstance(row.get("inputs"), str) else row.get("inputs")
        logs.append(log)
    assert logs[0] == logs[1]
    assert counts[0] == counts[1]
    assert sum(counts[0][0].values()) > 0


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    detail = response.json()["detail"][0]
    return response.status_code, detail["type"], detail["msg"]


def test_invalid_tables_are_rejected_with_the_reason(client: httpx.Client) -> None:
    table = pa.Table.from_pandas(frame(20), preserve_index=False)
    status, kind, message = refusal(post(client, as_arrow(table)[:-300], ARROW))
    assert (status, kind) == (422, "table_invalid"), message
    status, kind, message = refusal(post(client, as_parquet(table)[:-30], PARQUET))
    assert (status, kind) == (422, "table_invalid"), message
    assert refusal(post(client, b"[]", ARROW))[:2] == (422, "table_invalid")
    status, kind, message = refusal(post(client, as_parquet(table), ARROW))
    assert (status, kind) == (422, "table_invalid"), message
    response = post(client, as_arrow(table.drop_columns(["dest"]).append_column("to", pa.nulls(20))), ARROW)
    assert {(tuple(each["loc"]), each["type"]) for each in response.json()["detail"]} == {
        (("body", "dest"), "missing"), (("body", "to"), "extra_forbidden"),
    }  # fmt: skip
    nested = table.set_column(0, table.column_names[0], pa.array([[1]] * 20))
    assert refusal(post(client, as_arrow(nested), ARROW))[:2] == (422, "column_type")
    file = pa.BufferOutputStream()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert "send the stream format" in refusal(post(client, bytes(file.getvalue()), ARROW))[2]
    again = client.post("/invocations", content=as_arrow(table), headers={"content-type": ARROW})
    assert again.status_code == 415


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_tables_are_rejected_or_answered(client: httpx.Client, data: st.DataObject) -> None:
    content_type = data.draw(st.sampled_from([ARROW, PARQUET]))
    table = pa.Table.from_pandas(frame(20), preserve_index=False)
    body = bytearray(as_arrow(table, "zstd") if content_type == ARROW else as_parquet(table))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert post(client, bytes(body), content_type).status_code in (200, 413, 422)


def test_tables_that_become_too_large_are_rejected_before_they_do(packaged: demo.Packaged, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(frame(100), preserve_index=False)
    long_text = pa.table({name: table.column(name) for name in table.column_names if name != "dest"})
    bomb = long_text.append_column("dest", pa.array(["x" * 1_000_000] * 100))
    encoded = long_text.append_column("dest", bomb.column("dest").dictionary_encode())
    with service_with_log(packaged, tmp_path, max_table_bytes=2_000_000) as client:
        assert post(client, as_arrow(table), ARROW).status_code == 200
        for content, content_type in (
            (as_arrow(bomb, "zstd"), ARROW),
            (as_arrow(encoded, "zstd"), ARROW),
            (as_parquet(bomb, compression="zstd", use_dictionary=False), PARQUET),
            (as_parquet(encoded, compression="zstd"), PARQUET),
        ):
            assert len(content) < 1_100_000
            assert refusal(post(client, content, content_type))[:2] == (413, "table_too_large")


@given(
    st.integers(1, 3000),
    st.sampled_from(["none", "snappy", "zstd", "gzip"]),
    st.sampled_from(["1.0", "2.0"]),
    st.booleans(),
    st.integers(100, 5000),
)
@settings(max_examples=15, deadline=None)
def test_sizes_of_pages_are_those_of_the_footer(
    count: int, compression: str, version: str, use_dictionary: bool, page: int
) -> None:
    table = pa.table({"a": np.arange(count) * 7 % 11, "b": [f"x{number % 13}" * 3 for number in range(count)]})
    options: dict[str, Any] = {"data_page_version": version, "data_page_size": page, "row_group_size": 1000}
    body = as_parquet(table, compression=compression, use_dictionary=use_dictionary, **options)
    metadata = pq.ParquetFile(io.BytesIO(body)).metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    sizes = parquet_sizes(body, 1 << 30)
    assert sizes.rows == count
    # The footer counts the headers of the pages as well, some 20 to 60 bytes each.
    declared = sum(group.total_byte_size for group in groups)
    group = table.slice(0, 1000)  # a dictionary has each value of a group once
    values = sum(8 for _ in group["a"].unique()) + sum(4 + len(text.as_py()) for text in group["b"].unique())
    assert values <= sizes.page_bytes <= 2 * declared
    assert count < 200 or 0.2 * declared < sizes.page_bytes


def test_parquet_is_measured_by_its_pages_and_not_by_its_footer() -> None:
    body = as_parquet(pa.table({"a": ["x" * 1_000_000]}), compression="zstd", use_dictionary=False)
    assert 1_000_000 < parquet_sizes(body, 1 << 30).page_bytes < 1_000_100
    footer = int.from_bytes(body[-8:-4], "little")
    original = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(0).column(0).total_uncompressed_size
    assert varint(original) in body[-8 - footer :]
    lying = body[: -8 - footer] + body[-8 - footer :].replace(varint(original), varint(70_000))
    assert len(lying) == len(body)
    with pytest.raises(RequestError, match="more than 100000 bytes when it is decompressed"):
        read_table(lying, media_types.PARQUET, TableLimits(10, 100_000))


def varint(number: int) -> bytes:
    """A positive number as Thrift writes it."""
    value, out = 2 * number, b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def test_tables_with_too_many_rows_are_rejected(packaged: demo.Packaged, tmp_path: Path) -> None:
    with service_with_log(packaged, tmp_path, max_batch_rows=10) as client:
        table = pa.Table.from_pandas(frame(11), preserve_index=False)
        for content, content_type in ((as_arrow(table), ARROW), (as_parquet(table), PARQUET)):
            assert refusal(post(client, content, content_type))[:2] == (413, "batch_too_long")


def test_without_pyarrow_the_response_says_what_to_do(
    packaged: demo.Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_types, "find_spec", lambda _: None)
    with service_with_log(packaged, tmp_path) as client:
        status, kind, message = refusal(post(client, b"x", ARROW))
        assert (status, kind) == (415, "unsupported_media_type")
        assert "send application/json or text/csv, or install skline[arrow]" in message


def test_openapi_documents_tables(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/predict/batch"]["post"]
    for content in (operation["requestBody"]["content"], operation["responses"]["200"]["content"]):
        assert {"application/json", ARROW, PARQUET} == set(content)
