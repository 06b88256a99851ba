"""Objects of S3, Google Cloud Storage and Azure are read like files; versions are the snapshot, failures one line."""

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.kinds import table_source
from tests.fixtures.object_stores import AZURITE, NO_AZURITE, azure_store, google_store

pytestmark = [pytest.mark.objects, pytest.mark.filterwarnings("ignore")]

FILES = {
    "flights/2013-01.csv": b"a;b\n1;x\n",
    "flights/2013-02.csv.gz": gzip.compress(b"a;b\n2;y\n", mtime=0),
    "flights/_SUCCESS": b"done",
    "hive/month=1/t.csv": b"a\n7\n",
}
ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"


class FaultyStore:
    """A WSGI application in front of another one: it answers the next requests for objects with an error."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.faults: list[tuple[str, str, str]] = []
        self.seen = 0

    def fail(self, times: int, status: str, code: str, message: str) -> None:
        self.faults, self.seen = [(status, code, message)] * times, 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.seen += 1
        if not self.faults:
            return self.application(environ, start_response)
        status, code, message = self.faults.pop()
        start_response(status, [("Content-Type", "application/xml")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [ERROR.format(code=code, message=message).encode()]


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[FaultyStore, int]]:
    """An S3 server on loopback, and its port."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    faulty = FaultyStore(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faulty, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield faulty, server.server_port
    server.shutdown()
    thread.join()


@pytest.fixture
def s3(store: tuple[FaultyStore, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A client of the server, whose address and credentials are in the environment."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    client = boto3.client("s3")
    client.create_bucket(Bucket="tables")
    for name, content in FILES.items():
        client.put_object(Bucket="tables", Key=name, Body=content)
    return client


def read(uri: str) -> tuple[dict[str, list[str]], Any, Any]:
    with table_source(Source(uri=uri, delimiter=";")).open() as opened:
        table = pa.Table.from_batches(opened.batches, opened.schema)
    return table.to_pydict(), opened.snapshot, opened.lineage


def read_every_form(scheme: str) -> None:
    """Read one object, a folder, a pattern and partitions."""
    whole = {"a": ["1", "2"], "b": ["x", "y"]}
    one, snapshot, lineage = read(f"{scheme}://tables/flights/2013-01.csv")
    assert one == {"a": ["1"], "b": ["x"]}
    assert list(snapshot["objects"]) == ["tables/flights/2013-01.csv"]
    assert lineage["bytes"] == 8
    for uri in (f"{scheme}://tables/flights", f"{scheme}://tables/flights/", f"{scheme}://tables/flights/2013-*"):
        table, snapshot, lineage = read(uri)
        assert table == whole
        assert snapshot == table_source(Source(uri=uri)).snapshot()
        assert [each["version"] for each in lineage["objects"]] == list(snapshot["objects"].values())
    assert read(f"{scheme}://tables/hive")[0] == {"a": ["7"], "month": ["1"]}
    with table_source(Source(uri=f"{scheme}://tables/flights")).first_of_several() as first:
        assert first is not None
        assert first.read_bytes() == FILES["flights/2013-01.csv"]


def test_objects_of_s3_are_read_like_files(s3: Any) -> None:
    read_every_form("s3")
    before = table_source(Source(uri="s3://tables/flights")).snapshot()
    s3.put_object(Bucket="tables", Key="flights/2013-01.csv", Body=b"a;b\n3;x\n")
    assert table_source(Source(uri="s3://tables/flights")).snapshot() != before


def test_objects_of_google_cloud_storage_are_read_like_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with google_store(monkeypatch, "tables", FILES):
        read_every_form("gs")
        with pytest.raises(SklineError, match="there is no 'gs://tables/absent.csv': no such bucket, folder or object"):
            read("gs://tables/absent.csv")


@pytest.mark.skipif(AZURITE is None, reason=NO_AZURITE)
def test_objects_of_azure_are_read_like_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with azure_store(monkeypatch, "tables", FILES, tmp_path) as container:
        read_every_form("az")
        before = table_source(Source(uri="az://tables/flights")).snapshot()
        container.upload_blob("flights/2013-01.csv", b"a;b\n3;x\n", overwrite=True)
        assert table_source(Source(uri="az://tables/flights")).snapshot() != before
        for uri in ("az://nowhere/t.csv", "az://tables/absent.csv", "az://tables/absent-*.csv"):
            with pytest.raises(SklineError, match=rf"there is no '{uri}'".replace("*", r"\*")):
                read(uri)
        wrong = os.environ["AZURE_STORAGE_CONNECTION_STRING"].replace("AccountKey=", "AccountKey=AAAA")
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", wrong)
        with pytest.raises(
            SklineError, match=r"access to 'az://.*' is denied .*AZURE_STORAGE_CONNECTION_STRING"
        ) as caught:
            read("az://tables/flights")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://nowhere/t.csv", "s3://tables/absent.csv", "s3://tables/absent-*.csv"])
def test_absent_bucket_object_and_pattern_are_one_line(s3: Any, uri: str) -> None:
    with pytest.raises(SklineError, match=f"there is no '{uri}'".replace("*", r"\*")):
        read(uri)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ("400 Bad Request", "ExpiredToken", "The provided token has expired."),
        ("403 Forbidden", "InvalidAccessKeyId", "The AWS Access Key Id does not exist."),
    ],
)
def test_expired_or_wrong_credentials_are_one_line(
    s3: Any, store: tuple[FaultyStore, int], status: str, code: str, message: str
) -> None:
    store[0].fail(1_000, status, code, message)
    try:
        with pytest.raises(SklineError, match=r"access to 's3://.*' is denied .*AWS_PROFILE") as caught:
            read("s3://tables/flights/2013-*")
    finally:
        store[0].faults = []
    assert "\n" not in str(caught.value)


def test_missing_credentials_are_one_line(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SklineError, match=r"is denied .*redentials.*AWS_PROFILE"):
        read("s3://tables/flights/2013-*")


def test_throttled_requests_are_repeated_a_few_times(s3: Any, store: tuple[FaultyStore, int]) -> None:
    faulty = store[0]
    faulty.fail(2, "503 Slow Down", "SlowDown", "Please reduce your request rate.")
    assert read("s3://tables/flights/2013-01.csv")[0] == {"a": ["1"], "b": ["x"]}
    faulty.fail(1_000, "503 Slow Down", "SlowDown", "Please reduce your request rate.")
    try:
        with pytest.raises(SklineError, match=r"cannot read 's3://tables/flights/2013-\*'.*reduce your request rate"):
            read("s3://tables/flights/2013-*")
        assert faulty.seen <= 40
    finally:
        faulty.faults = []


def test_object_that_changes_while_it_is_read_is_an_error(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    get = S3FileSystem.get_file

    def get_and_replace(self: Any, path: str, copy: str) -> None:
        get(self, path, copy)
        s3.put_object(Bucket="tables", Key="flights/2013-01.csv", Body=b"a;b\n9;z\n")

    monkeypatch.setattr(S3FileSystem, "get_file", get_and_replace)
    with pytest.raises(SklineError, match="2013-01.csv was changed while it was read; run it again"):
        read("s3://tables/flights/2013-01.csv")


def test_azure_without_an_account_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SklineError, match=r"source.uri: .*'az://tables/t.csv'"):
        read("az://tables/t.csv")


def test_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(SklineError, match=r"reading from S3 needs its driver: `uv add --group train 'skline\[s3\]'`"):
        table_source(Source(uri="s3://tables/t.csv"))
