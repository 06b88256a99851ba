"""A REST API is read page by page, within bounds; each way in which it can misbehave ends in one clear line."""

import datetime as dt
import gzip
from collections.abc import Callable
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.settings.source_http import HttpSettings, Pagination
from skline.sources import http
from skline.sources.appended import add_snapshot
from skline.sources.http import retry_after
from skline.sources.kinds import table_source
from skline.sources.pagination import ABSENT, Pager, PageResponse, find
from tests.fixtures.web import Asked, Reply, web_server

ROWS: list[dict[str, Any]] = [
    {"id": number, "delay": None if number == 3 else number * 1.5, "plane": {"tail": f"N{number}"}, "tags": [number]}
    for number in range(1, 8)
]
SECRET = "s3cr3t-token"  # noqa: S105


def pages_of(rows: list[dict[str, Any]], size: int = 3) -> Callable[[Asked], Reply]:
    """An API with every kind of pagination."""

    def answer(asked: Asked) -> Reply:
        start = (int(asked.query["page"]) - 1) * size if "page" in asked.query else 0
        start = int(asked.query.get("offset", asked.query.get("cursor", start)))
        end = start + size
        more = end < len(rows)
        body = {"data": {"items": rows[start:end]}, "meta": {"next": str(end) if more else None}}
        if more:
            body["next_url"] = f"/flights?cursor={end}"
        link = {"Link": f'</flights?cursor={end}>; rel="next", </flights>; rel="first"'} if more else {}
        return Reply(body, headers=link)

    return answer


def section(url: str, **rest: Any) -> Any:
    return read_source_section({"uri": f"rest+{url}/flights", "rest": {"rows": "/data/items", **rest}})


def read(source: Any, since: Any = None) -> list[dict[str, Any]]:
    with table_source(source).open(since=since) as opened:
        return list(pa.Table.from_batches(opened.batches, opened.schema).to_pylist())


def failure(answer: Callable[[Asked], Reply], **rest: Any) -> str:
    """The message with which reading ends."""
    with web_server(answer) as server, pytest.raises(SklineError) as caught:
        read(section(server.url, **rest))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before repetitions, none of which is really made."""
    made: list[float] = []
    monkeypatch.setattr(http.time, "sleep", made.append)
    return made


@pytest.mark.parametrize(
    "pagination",
    [
        {"kind": "page"},
        {"kind": "offset"},
        {"kind": "cursor", "path": "/meta/next"},
        {"kind": "link"},
        {"kind": "link", "path": "/next_url"},
    ],
)
def test_every_kind_of_pagination_gives_all_rows(pagination: dict[str, Any]) -> None:
    with web_server(pages_of(ROWS)) as server:
        source = section(server.url, pagination=pagination, query={"year": 2013, "late": True})
        rows = read(source)
        by_page = section(server.url, pagination={"kind": "page"})
        assert table_source(source).snapshot() == table_source(by_page).snapshot()
    assert [row["id"] for row in rows] == list(range(1, 8))
    assert rows[2] == {"id": 3, "delay": None, "plane.tail": "N3", "tags": "[3]"}
    assert server.asked[0].query.items() >= {"year": "2013", "late": "true"}.items()


def test_lineage_and_snapshot_of_pages_hold_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    (tmp_path / "key").write_text("k3y\n")
    credentials = {
        "headers": {"Authorization": {"variable": "API_TOKEN", "prefix": "Bearer "}},
        "secret_query": {"api_key": {"file": str(tmp_path / "key")}},
    }
    with web_server(pages_of(ROWS)) as server:
        source = section(server.url, pagination={"kind": "link"}, query={"year": 2013}, **credentials)
        with table_source(source).open() as opened:
            assert SECRET not in str(opened.lineage) + str(opened.snapshot)
            assert opened.lineage["pages"] == 3
            assert opened.lineage["query"] == {"year": 2013}
    for each in server.asked:
        assert each.headers["authorization"] == f"Bearer {SECRET}"
        assert each.query["api_key"] == "k3y"
        assert each.headers["user-agent"].startswith("skline/")


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_version_of_a_single_answer_is_the_snapshot(name: str) -> None:
    with web_server(lambda _: Reply({"data": {"items": ROWS}}, headers={name: '"7"'})) as server:
        source = table_source(section(server.url))
        with source.open() as opened:
            assert opened.snapshot == source.snapshot() == {name.lower().replace("-", "_"): '"7"'}


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.data())
@settings(max_examples=8, deadline=None)
def test_any_split_into_pages_gives_the_same_table(sizes: list[int], data: st.DataObject) -> None:
    value = st.one_of(st.none(), st.integers(-(2**60), 2**60), st.text(max_size=3), st.floats(allow_nan=False))
    rows = [
        {"id": number} | data.draw(st.dictionaries(st.sampled_from("abc"), value, max_size=3))
        for number in range(sum(sizes))
    ]
    ends = [sum(sizes[:index]) for index in range(len(sizes) + 1)]

    def split(asked: Asked) -> Reply:
        page = int(asked.query.get("cursor", 0))
        body = {"data": {"items": rows[ends[page] : ends[page + 1]]}, "next": page + 1 if page + 2 < len(ends) else ""}
        return Reply(body)

    def outcome(answer: Callable[[Asked], Reply], **rest: Any) -> Any:
        with web_server(answer) as server:
            try:
                with table_source(section(server.url, **rest)).open() as opened:
                    table = pa.Table.from_batches(opened.batches, opened.schema)
                    return table.schema, table.to_pylist(), opened.snapshot
            except SklineError as error:
                assert "the types have nothing in common" in str(error)  # noqa: PT017
                return "types"

    whole = outcome(lambda _: Reply({"data": {"items": rows}}))
    assert outcome(split, pagination={"kind": "cursor", "path": "/next"}) == whole
    assert outcome(pages_of(rows, sizes[0]), pagination={"kind": "offset"}) == whole


def test_failures_are_repeated_with_pauses_that_grow(pauses: list[float]) -> None:
    statuses = [503, 500, 429, 200]

    def answer(_: Asked) -> Reply:
        status = statuses.pop(0)
        return Reply({"data": {"items": ROWS}}, status, {"Retry-After": "7"} if status == 429 else {})

    with web_server(answer) as server:
        assert len(read(section(server.url))) == 7
    assert pauses == [1, 2, 7]


@pytest.mark.parametrize(
    ("reply", "rest", "message"),
    [
        (Reply(status=503), {}, "status 503 Service Unavailable, in 5 attempts; run it again later"),
        (Reply(status=429), {"retries": 0}, "status 429 Too Many Requests, in 1 attempts"),
        (Reply(status=429, headers={"Retry-After": "3600"}), {}, r"after 3,600 s; source\.rest\.max_wait is 60"),
        (Reply(status=429, headers={"Retry-After": "50"}), {"max_seconds": 40}, r"raise source\.rest\.max_seconds"),
        (Reply(status=401), {}, r"status 401 Unauthorized; check the credentials in source\.rest\.headers"),
        (Reply(status=404), {}, "status 404 Not Found; correct source.uri"),
        (Reply("<!doctype html><title>Log in</title>"), {}, "page 1 is a web page, not JSON .*Log in.*credentials"),
        (Reply("{}", headers={"Content-Type": "text/html"}), {}, "page 1 is a web page, not JSON"),
        (Reply('{"data": {"items": [{"id": 1}, {"i'), {}, "page 1 is not valid JSON .*34 bytes.*cut off"),
        (Reply(b"\xff\xfe\xfd"), {}, "page 1 is not valid JSON"),
        (Reply("[" * 100_000), {}, "page 1 is not valid JSON"),
        (Reply('{"data"', length=999), {}, "RemoteProtocolError: .*without sending complete.*in 5 attempts"),
        (Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), {}, "the response cannot be read"),
        (Reply({"items": []}), {}, r"page 1 has nothing at source\.rest\.rows '/data/items'; its keys are items; set it to /items\?"),  # noqa: E501
        (Reply({"data": {"items": {"a": 1}}}), {}, "page 1 has an object, not a list of rows, at"),
        (Reply({"data": {"items": [{"a": 1}, 2]}}), {}, r"row 1 \(counted from 0\) of page 1 is a number; rows are"),
        (Reply({"data": {"items": []}}), {}, r"the API returned no rows; check source\.rest\.query"),
        (Reply(gzip.compress(b" " * 1_000_000), headers={"Content-Encoding": "gzip"}), {"max_bytes": 10_000}, r"more than 10,000 bytes; raise source\.rest\.max_bytes"),  # noqa: E501
        (Reply(status=302, headers={"Location": "/flights"}), {}, "more than 5 redirects"),
    ],
)  # fmt: skip
def test_misbehaviour_ends_in_one_line(reply: Reply, rest: dict[str, Any], message: str, pauses: list[float]) -> None:
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(failure(lambda _: reply, **rest))
    assert sum(pauses) <= 60


def test_nobody_at_the_address_ends_in_one_line(pauses: list[float]) -> None:
    with web_server(lambda _: Reply()) as server:
        pass
    with pytest.raises(SklineError, match="/flights: ConnectError: .*in 5 attempts"):
        read(section(server.url))
    assert pauses == [1, 2, 4, 8]


def test_cursor_that_repeats_or_never_ends_is_an_error() -> None:
    cursor = {"kind": "cursor", "path": "/next"}
    names = {"": "a", "a": "b", "b": "a"}

    def circle(asked: Asked) -> Reply:
        name = asked.query.get("cursor", "")
        return Reply({"data": {"items": [{"cursor": name}]}, "next": names[name]})

    assert "page 3 leads to 'cursor=a' again, which was page 2: the pages never end" in failure(
        circle, pagination=cursor
    )

    def endless(asked: Asked) -> Reply:
        number = int(asked.query.get("cursor", 0)) + 1
        return Reply({"data": {"items": [{"id": number}]}, "next": number})

    message = failure(endless, pagination=cursor, max_pages=20)
    assert "there are more than 20 pages; raise source.rest.max_pages" in message
    message = failure(lambda _: Reply({"data": {"items": ROWS}}), pagination={"kind": "page"})
    assert "3 pages in a row, up to page 3, have the same rows" in message
    message = failure(lambda _: Reply({"data": {"items": ROWS}, "next": [1]}), pagination=cursor)
    assert "a list at '/next', not a text" in message


def test_page_whose_types_differ_is_an_error_that_names_both_values() -> None:
    rows = [*ROWS[:4], {"id": 5, "delay": "late"}]
    paged = {"pagination": {"kind": "page"}}
    message = failure(pages_of(rows), **paged)
    assert "the column 'delay' has 1.5 (number) on page 1, and 'late' (text) on page 2" in message
    assert "add delay to source.rest.as_text" in message
    with web_server(pages_of(rows)) as server:
        read_rows = read(section(server.url, as_text=["delay"], **paged))
    assert [row["delay"] for row in read_rows] == ["1.5", "3", None, "6", "late"]


def test_first_page_without_a_cursor_is_remarked() -> None:
    remarks: list[str] = []
    with web_server(pages_of(ROWS)) as server:
        source = section(server.url, pagination={"kind": "cursor", "path": "/meta/nxt"})
        with table_source(source, remarks.append).open():
            pass
    assert "the first page does not say what comes next" in remarks[0]


def test_redirect_to_another_host_needs_to_be_allowed_and_gets_no_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    credentials: dict[str, Any] = {
        "headers": {"X-Token": {"variable": "API_TOKEN"}}, "secret_query": {"key": {"variable": "API_TOKEN"}},
    }  # fmt: skip
    with web_server(pages_of(ROWS)) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost") + "/flights"

        def redirect(asked: Asked) -> Reply:
            return Reply(status=307, headers={"Location": "/moved" if asked.path == "/flights" else elsewhere})

        message = failure(redirect, **credentials)
        assert "leads to http://localhost:" in message
        assert "add localhost to source.rest.other_hosts" in message
        with web_server(redirect) as server:
            assert len(read(section(server.url, other_hosts=["localhost"], **credentials))) == 3
    assert [each.headers.get("x-token") for each in server.asked] == [SECRET, SECRET]
    assert [(each.headers.get("x-token"), each.query) for each in other.asked] == [(None, {})]


def test_credentials_reach_no_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    headers = {"headers": {"X-Token": {"variable": "API_TOKEN"}}}
    with pytest.raises(AssertionError, match="X-Token: the environment variable API_TOKEN is not set"):
        raise AssertionError(failure(lambda _: Reply(), **headers))
    monkeypatch.setenv("API_TOKEN", f"{SECRET}\n")
    message = failure(lambda _: Reply(), **headers)
    assert "has characters that no header can have" in message
    assert SECRET not in message
    message = failure(lambda _: Reply(), headers={"X-Token": {"file": str(tmp_path / "absent")}})
    assert "cannot be read (FileNotFoundError)" in message
    monkeypatch.setenv("API_TOKEN", SECRET)
    message = failure(lambda asked: Reply(f"<p>{asked.headers['x-token']}"), **headers)
    assert "'<p>***'" in message
    literal = {"X-Token": SECRET}, {"X-Token": {"value": SECRET}}
    for rest in (*({"headers": each} for each in literal), {"query": {"api_key": SECRET}}):
        with pytest.raises(SklineError) as caught:
            section("https://host", **rest)
        assert SECRET not in str(caught.value)
    with pytest.raises(SklineError, match=r"give it in source\.rest\.headers") as caught:
        section(f"https://me:{SECRET}@host")
    assert SECRET not in str(caught.value)


def test_settings_of_an_api_need_its_address() -> None:
    with pytest.raises(SklineError, match=r"address of files; remove source\.rest, or .* source\.uri \(rest\+https"):
        read_source_section({"uri": "https://host/flights", "rest": {"rows": "/data"}})
    for pagination, message in (
        ({"kind": "cursor"}, "the kind cursor needs path"),
        ({"kind": "page", "path": "/next"}, "path is for the kinds cursor and link"),
        ({"kind": "link", "parameter": "page"}, "parameter is for the kinds page, offset and cursor"),
    ):
        with pytest.raises(SklineError, match=message):
            section("https://host", pagination=pagination)
    with pytest.raises(SklineError, match="name a variable or a file"):
        section("https://host", headers={"X-Token": {}})
    with pytest.raises(SklineError, match="not valid"):
        section("https://host:port")


def test_new_rows_are_requested_by_the_watermark(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "at": "2024-01-01T10:00:00Z"},
        {"id": 2, "at": "2024-01-01T10:00:00.500+00:00"},
        {"id": 3, "at": None},
    ]

    def answer(asked: Asked) -> Reply:
        since = asked.query.get("since")
        return Reply([row for row in rows if since is None or (row["at"] or "") >= since])

    with web_server(answer) as server:
        source = read_source_section(
            {
                "uri": f"rest+{server.url}/t",
                "mode": "append",
                "rest": {"since": {"parameter": "since", "column": "at"}},
            }
        )
        first = add_snapshot(table_source(source), tmp_path)
        assert first is not None
        assert pa.parquet.read_table(first).column("id").to_pylist() == [1, 2, 3]
        assert add_snapshot(table_source(source), tmp_path) is None
        rows.append({"id": 4, "at": "2024-01-02T00:00:00Z"})
        second = add_snapshot(table_source(source), tmp_path)
        assert second is not None
        assert pa.parquet.read_table(second).column("id").to_pylist() == [4]
        assert server.asked[-1].query == {"since": "2024-01-01T10:00:00.500+00:00"}
        rows.append({"id": 5, "at": "yesterday"})
        with pytest.raises(SklineError, match="'at' is 'yesterday', neither a number nor a time in ISO 8601"):
            add_snapshot(table_source(source), tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0001.parquet", "0002.parquet"]


def test_requests_keep_their_rate(pauses: list[float]) -> None:
    with web_server(pages_of(ROWS)) as server:
        read(section(server.url, pagination={"kind": "page"}, per_second=0.1))
    assert len(pauses) == 3
    assert all(5 < pause <= 10 for pause in pauses)


def test_pause_that_the_server_asks_for() -> None:
    now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    moment = format_datetime(now + dt.timedelta(seconds=90), usegmt=True)
    for value, seconds in (("5", 5), (moment, 90), ("", None), ("soon", None), ("-1", None)):
        assert retry_after({"Retry-After": value}, now) == seconds
    assert retry_after({"Retry-After": format_datetime(now - dt.timedelta(1), usegmt=True)}, now) == 0


def test_credentials_over_http_are_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    remarks: list[str] = []
    configured = HttpSettings.model_validate({"headers": {"X-Token": {"variable": "API_TOKEN"}}})
    with http.HttpReader("http://example.invalid/", configured, "source.rest", remarks.append):
        pass
    assert remarks == ["example.invalid gets credentials over http, which is not encrypted; use https if it has it"]


def test_json_pointer() -> None:
    document = {"a": {"b/c": [{"~": 1}]}}
    assert find(document, "") is document
    assert find(document, "/a/b~1c/0/~0") == 1
    assert find(document, "/a/x") is find(document, "/a/b~1c/7") is find(None, "/a") is ABSENT


@given(st.integers(1, 20), st.integers(0, 60))
def test_pages_by_offset_cover_all_rows_whatever_their_size(size: int, n_rows: int) -> None:
    pager = Pager(Pagination(kind="offset"), 100)
    position, seen = pager.first(), list[int]()
    for _ in range(100):
        offset = int(dict(position.query)["offset"])
        rows = range(n_rows)[offset : offset + size]
        seen += rows
        following = pager.following(position, PageResponse(None, None, str(offset), len(rows)))
        if following is None:
            break
        position = following
    assert seen == list(range(n_rows))
