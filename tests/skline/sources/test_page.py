"""A table of a web page is read as text; robots.txt is obeyed; what is not there, or has changed, is named."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.sources import http
from skline.sources.html_tables import parse_page, read_table
from skline.sources.kinds import table_source
from tests.fixtures.web import Asked, Reply, web_server

MENU = "<table><tr><td>Home<td>About</table>"
DELAYS = (
    "<table><caption>Delays of <b>2013</b></caption>"
    "<thead><tr><th rowspan=2>Carrier<th colspan=2>Late</tr><tr><th>flights<th>share</thead>"
    "<tfoot><tr><td>all<td>1,241<td></tfoot>"
    "<tr><td>UA<td>1,234<td>NA</tr><tr><td rowspan=99>007<td>7.0<td>1e3</tr>"
    "<tr style='display: none'><td>hidden<td>1<td>2</tr><tr><td> 0 <br>x</tr></table>"
)
HTML = {"Content-Type": "text/html; charset=utf-8"}


def site(page: Any, robots: Reply | None = None) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/robots.txt":
            return robots or Reply(status=404)
        return page if isinstance(page, Reply) else Reply(page, headers=HTML)

    return answer


def section(url: str, section: dict[str, Any] | None = None, **page: Any) -> Any:
    return read_source_section({"uri": f"page+{url}/delays", "page": page} | (section or {}))


def read(source: Any) -> dict[str, list[str]]:
    with table_source(source).open() as opened:
        assert opened.snapshot == table_source(source).snapshot()
        assert opened.lineage["columns"] == opened.columns
        table = pa.Table.from_batches(opened.batches, opened.schema)
    assert set(table.schema.types) == {pa.string()}
    return dict(table.to_pydict())


def failure(answer: Callable[[Asked], Reply], options: dict[str, Any] | None = None, **page: Any) -> str:
    with web_server(answer) as server, pytest.raises(SklineError) as caught:
        read(section(server.url, options, **page))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("choice", [{"table": 2}, {"caption": "delays OF 2013"}])
def test_table_is_read_as_it_is_written(choice: dict[str, Any]) -> None:
    with web_server(site(MENU + DELAYS)) as server:
        table = read(section(server.url, **choice))
        assert all(each.headers["user-agent"].startswith("skline/") for each in server.asked)
    assert table == {
        "Carrier": ["UA", "007", "007", "all"],
        "Late.flights": ["1,234", "7.0", "0 x", "1,241"],
        "Late.share": ["NA", "1e3", "", ""],
    }


@given(st.lists(st.lists(st.text("01,.eE+-NA%ä", min_size=1, max_size=6), min_size=2, max_size=2), min_size=1))
@settings(max_examples=25, deadline=None)
def test_no_cell_is_interpreted(rows: list[list[str]]) -> None:
    text = "".join(f"<tr><td>{row[0]}<td>{row[1]}</tr>" for row in rows)
    page = parse_page(f"<table>{text}</table>".encode(), None)
    assert read_table(1, page.xpath("//table")[0], first_is_header=False).rows == rows


def test_snapshot_changes_with_the_table_alone() -> None:
    pages = [f"<p>{number}</p>{DELAYS}" for number in range(2)] + [DELAYS.replace("7.0", "7.1")]
    with web_server(lambda asked: Reply(pages[int(asked.query.get("n", 0))], headers=HTML)) as server:
        states = [
            table_source(read_source_section({"uri": f"page+{server.url}/t?n={number}"})).snapshot()
            for number in range(3)
        ]
    assert states[0] == states[1] != states[2]


def test_changed_columns_are_named() -> None:
    columns = ["Carrier", "Late.flights", "Late.rate"]
    message = failure(site(DELAYS), columns=columns)
    assert "the columns of table 1 have changed: 'Late.rate' is gone and 'Late.share' is new; correct" in message


@pytest.mark.parametrize(
    ("page", "choice", "message"),
    [
        (MENU + DELAYS, {}, "several tables; name one of them in source.page.table: 1: 1 row, Home, About; 2: 'Delays of 2013', 7 rows"),  # noqa: E501
        (MENU + DELAYS, {"table": 3}, "the page has no table 3, which source.page.table names"),
        (MENU + DELAYS, {"caption": "Gates"}, "no table of the page has 'Gates', source.page.caption, in the caption"),
        (DELAYS + DELAYS, {"caption": "2013"}, "several tables have '2013'"),
        ("<p>nothing</p>", {}, "no table in its HTML; a table that a script draws cannot be read"),
        ("", {}, "the page cannot be read as HTML"),
        ("<table></table>", {}, "table 1 has no rows"),
        ("<table><tr><th>a<th>b</table>", {}, "the table has no rows"),
        ("<table><tr><th>a<th>a<tr><td>1<td>2</table>", {}, "table 1 has more than one column called 'a'"),
        (f"<table>{'<tr><td colspan=999999>1' * 30_000}</table>", {}, "cells with its merged ones, more than"),
        (Reply(DELAYS, headers={"Content-Type": "text/html; charset=klingon"}), {}, "the encoding 'klingon', which is"),
        (Reply(status=404), {}, "/delays: status 404 Not Found; correct source.uri"),
        (DELAYS, {"max_bytes": 100}, r"more than 100 bytes; raise source.page.max_bytes"),
    ],
)  # fmt: skip
def test_what_is_not_there_ends_in_one_line(page: Any, choice: dict[str, Any], message: str) -> None:
    assert message in failure(site(page), **choice)


@pytest.mark.parametrize(
    ("robots", "user_agent", "message"),
    [
        ("User-agent: *\nDisallow: /delays", None, "/robots.txt does not allow 'skline' to read /delays"),
        ("User-agent: skline\nDisallow: /", None, "does not allow 'skline'"),
        ("User-agent: skline\nDisallow: /", "timetable-study/1.0", None),
        ("User-agent: *\nDisallow: /private", None, None),
        ("<!doctype html><p>no such page", None, None),
    ],
)
def test_robots_txt_is_obeyed(robots: str, user_agent: str | None, message: str | None) -> None:
    answer = site(DELAYS, Reply(robots, headers={"Content-Type": "text/plain"}))
    page = {} if user_agent is None else {"user_agent": user_agent}
    if message is not None:
        assert message in failure(answer, **page)
        return
    with web_server(answer) as server:
        assert len(read(section(server.url, **page))) == 3
    assert server.paths[0] == "/robots.txt"


def test_robots_txt_that_fails_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.time, "sleep", lambda _: None)
    assert "/robots.txt: status 503 Service Unavailable, in 5 attempts" in failure(site(DELAYS, Reply(status=503)))


@pytest.mark.parametrize(
    ("headers", "encoding", "declared"),
    [
        ({"Content-Type": "text/html; charset=iso-8859-1"}, "latin-1", ""),
        ({"Content-Type": "text/html"}, "utf-8", ""),
        ({"Content-Type": "text/html"}, "cp1252", ""),
        ({"Content-Type": "text/html"}, "iso-8859-2", "<meta charset=iso-8859-2>"),
    ],
)
def test_encoding_is_that_of_the_page(headers: dict[str, str], encoding: str, declared: str) -> None:
    body = f"{declared}<table><tr><th>ort<tr><td>Köln</table>".encode(encoding)
    with web_server(site(Reply(body, headers=headers))) as server:
        assert read(section(server.url)) == {"ort": ["Köln"]}


def test_names_of_the_columns_may_be_absent() -> None:
    rows = "<table><tr><td>a<td><tr><td>1<td>2</table>"
    with web_server(site(rows)) as server:
        assert read(section(server.url)) == {"a": ["1"], "column_2": ["2"]}
        assert read(section(server.url, {"header": False})) == {"column_1": ["a", "1"], "column_2": ["", "2"]}


def test_table_and_caption_exclude_each_other() -> None:
    with pytest.raises(SklineError, match="name table or caption, not both"):
        section("https://host", table=1, caption="a")
