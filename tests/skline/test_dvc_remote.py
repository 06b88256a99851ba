"""The remote of DVC: its address, its settings, what is missing there; on a path and in object stores."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from skline import dvc_remote
from skline.commands.remote import described
from skline.doctor import remote as doctor_check
from skline.dvc_remote import CloudState, Remote
from skline.errors import SklineError
from tests.fixtures.object_stores import AZURITE, NO_AZURITE, azure_store, google_store, s3_store


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("az://tables/shop", "azure://tables/shop"),
        ("gcs://tables/shop", "gs://tables/shop"),
        ("s3://tables/shop", "s3://tables/shop"),
        ("ssh://ann@host/shop", "ssh://ann@host/shop"),
        ("/mnt/tables", "/mnt/tables"),
    ],
)
def test_address_is_written_as_dvc_knows_it(url: str, expected: str) -> None:
    assert dvc_remote.dvc_address(url) == expected


@pytest.mark.parametrize("url", ["s3://ann:secret@host/tables", "azure://tables?sig=secret"])
def test_address_with_a_secret_is_rejected_without_repeating_it(url: str) -> None:
    with pytest.raises(SklineError, match=r"holds a password, a token or a signature.*--local") as caught:
        dvc_remote.dvc_address(url)
    assert "secret@" not in str(caught.value)
    assert "sig=" not in str(caught.value)


def test_kind_that_is_not_known_is_named() -> None:
    with pytest.raises(SklineError, match=r"ftp:// is no remote that skline adds \(s3://, gs://"):
        dvc_remote.dvc_address("ftp://host/tables")


def test_settings_of_the_default_remote_are_read() -> None:
    text = "core.remote=b\nremote.a.url=/mnt\nremote.b.url=s3://t/x?y=1\nremote.b.endpointurl=http://h\ncore.analytics=false\n"
    remote = dvc_remote.parse_config(text)
    assert remote == Remote("b", {"url": "s3://t/x?y=1", "endpointurl": "http://h"}, ("a",))
    assert dvc_remote.parse_config("remote.a.url=/mnt\n") is None
    assert dvc_remote.parse_config("core.remote=gone\n") is None


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [("s3://t", "dvc_s3", "s3"), ("gs://t", "dvc_gs", "gs"), ("azure://t", "dvc_azure", "azure"),
     ("ssh://h/t", "dvc_ssh", "ssh")],
)  # fmt: skip
def test_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert dvc_remote.missing_plugin(url) == f"uv add --group train 'dvc[{extra}]'"
    assert dvc_remote.missing_plugin("/mnt/tables") is None


def test_states_are_described_with_their_remedies() -> None:
    state = CloudState([f"file{number}" for number in range(7)], ["models"], ["data"])
    lines = described(state)
    assert lines[0] == "not there: file0, file1, file2, file3, file4 and 2 more; `uv run dvc push` stores them"
    assert [line.partition(":")[0] for line in lines[1:]] == ["only there", "outputs neither here nor there"]
    assert described(CloudState([], [], ["models"], ("t.csv",))) == [
        "tables neither here nor there: t.csv; run `uv run dvc push` where they are",
        "outputs neither here nor there: models; `uv run dvc repro` makes them again, once the tables are here",
    ]
    assert described(CloudState([], [], [])) == [
        "content   everything that dvc.lock and the .dvc files record is there"
    ]


def test_doctor_warns_of_what_was_not_pushed() -> None:
    remote = Remote("storage", {"url": "/mnt"})
    found = doctor_check.diagnose(remote, CloudState(["artifact"], [], []))
    assert (found.level, found.remedy) == ("warning", "uv run dvc push")
    found = doctor_check.diagnose(remote, CloudState([], [], ["artifact"]))
    assert (found.level, found.message) == ("warning", "neither here nor in the remote /mnt: artifact")
    found = doctor_check.diagnose(remote, CloudState([], [], ["artifact"], ("t.csv",)))
    assert (found.message, found.remedy) == (
        "tables neither here nor in the remote /mnt: t.csv", "uv run dvc push where they are"
    )  # fmt: skip
    assert found.details[0].startswith("nor are outputs: artifact; uv run dvc repro makes")
    assert doctor_check.diagnose(remote, CloudState([], ["data"], [])).level == "ok"


def test_tables_and_directories_that_are_nowhere_are_listed_by_name(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  train: {cmd: 'true', outs: [models, b.txt, a.txt], metrics: [{plots: {cache: false}}]}\n"
    )
    outs = [f"{{path: {name}, hash: md5, md5: {digit * 32}.dir}}" for name, digit in (("models", "a"), ("plots", "b"))]
    outs += [f"{{path: {name}, hash: md5, md5: {digit * 32}}}" for name, digit in (("b.txt", "c"), ("a.txt", "d"))]
    (tmp_path / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  train: {{cmd: 'true', outs: [{', '.join(outs)}]}}\n")
    (tmp_path / "data").mkdir()
    for name, digest in (("t.csv", "e" * 32), ("days", "f" * 32 + ".dir")):
        (tmp_path / f"data/{name}.dvc").write_text(f"outs:\n- {{path: {name}, hash: md5, md5: {digest}}}\n")
    (tmp_path / "storage").mkdir()
    dvc_remote.add_remote(tmp_path, "storage", str(tmp_path / "storage"))
    assert dvc_remote.cloud_state(tmp_path) == CloudState(
        [], [], ["a.txt", "b.txt", "models"], ("data/days", "data/t.csv")
    )


def repository(folder: Path, url: str) -> Path:
    """Make a repository of DVC with one tracked file, one output of dvc.lock, and a default remote."""
    folder.mkdir()
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (folder / "table.csv").write_text("a\n1\n")
    dvc_remote.run_dvc(folder, "add", "table.csv")
    dvc_remote.add_remote(folder, "storage", dvc_remote.dvc_address(url))
    return folder


def push_and_pull(folder: Path, url: str) -> None:
    """Push a file, find it in the remote, and pull it into another repository."""
    origin = repository(folder / "origin", url)
    remote = dvc_remote.default_remote(origin)
    assert remote is not None
    assert dvc_remote.cloud_state(origin) == CloudState(["table.csv"], [], [])
    dvc_remote.check_writable(remote)
    dvc_remote.run_dvc(origin, "push")
    assert dvc_remote.cloud_state(origin) == CloudState([], [], [])
    clone = folder / "clone"
    (clone / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", "table.csv.dvc"):
        (clone / name).write_text((origin / name).read_text())
    assert dvc_remote.cloud_state(clone) == CloudState([], ["table.csv"], [])
    dvc_remote.run_dvc(clone, "pull")
    assert (clone / "table.csv").read_text() == "a\n1\n"


@pytest.mark.slow
def test_path_is_pushed_to_and_pulled_from(tmp_path: Path) -> None:
    push_and_pull(tmp_path, str(tmp_path / "storage"))
    assert [path.name for path in (tmp_path / "storage").iterdir()] == ["files"], "the check left nothing"
    with pytest.raises(SklineError, match="`dvc remote` failed: .*remote 'storage' already exists"):
        dvc_remote.add_remote(tmp_path / "origin", "storage", "/mnt")


def stores(kind: str, patch: pytest.MonkeyPatch, folder: Path) -> AbstractContextManager[Any]:
    if kind == "s3":
        return s3_store(patch, "tables", {})
    return google_store(patch, "tables", {}) if kind == "gs" else azure_store(patch, "tables", {}, folder / "azurite")


@pytest.mark.objects
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind", ["s3", "gs", pytest.param("az", marks=pytest.mark.skipif(AZURITE is None, reason=NO_AZURITE))]
)
def test_object_store_is_pushed_to_and_pulled_from(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stores(kind, monkeypatch, tmp_path) as store:
        push_and_pull(tmp_path, f"{kind}://tables/shop")
        if kind == "s3":
            names = [each["Key"] for each in store.list_objects_v2(Bucket="tables")["Contents"]]
            assert all(name.startswith("shop/files/md5/") for name in names), "the check left nothing"


@pytest.mark.objects
@pytest.mark.filterwarnings("ignore")
def test_remote_that_denies_or_lacks_the_bucket_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_store(monkeypatch, "tables", {}):
        origin = repository(tmp_path / "origin", "s3://absent/shop")
        remote = dvc_remote.default_remote(origin)
        assert remote is not None
        with pytest.raises(SklineError, match=r"`dvc push` failed: .*(absent|bucket)") as caught:
            dvc_remote.check_writable(remote)
        assert "\n" not in str(caught.value)
    with pytest.raises(SklineError, match="`dvc status` failed: .*Could not connect to the endpoint"):
        dvc_remote.cloud_state(origin)


@pytest.fixture(autouse=True)
def _without_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
