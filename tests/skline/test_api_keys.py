"""Tests of the key file and of `skline key`."""

import datetime as dt
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from skline import api_keys
from skline.errors import SklineError


def skline(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    (cwd / "dvc.yaml").touch()
    command = [sys.executable, "-m", "skline.cli", "key", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_key_is_printed_once_listed_by_its_id_and_revoked(tmp_path: Path) -> None:
    created = skline("new", "--name", "billing", "--scopes", "predict,label", "--expires", "90d", cwd=tmp_path)
    assert created.returncode == 0, created.stderr
    token = created.stdout.splitlines()[-1]
    file = tmp_path / "keys.json"
    assert len(token) == api_keys.KEY_LENGTH
    assert file.stat().st_mode & 0o777 == 0o600
    stored = file.read_text()
    assert token not in stored
    assert token.rpartition("_")[2] not in stored
    [key] = json.loads(stored)["keys"]
    assert key["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert (key["name"], key["scopes"]) == ("billing", ["predict", "label"])

    listed = skline("list", cwd=tmp_path).stdout
    assert f"{key['id']}  valid" in listed
    assert token not in listed
    assert skline("revoke", key["id"], cwd=tmp_path).returncode == 0
    assert f"{key['id']}  revoked" in skline("list", cwd=tmp_path).stdout
    first = api_keys.read(file)
    assert skline("revoke", key["id"], cwd=tmp_path).returncode == 0
    assert api_keys.read(file) == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", "--name", "a", "--scopes", "everything"), "scopes are predict, label, admin"),
        (("new", "--name", "a", "--scopes", ","), "scopes are predict, label, admin"),
        (("new", "--name", ""), "name of the new key"),
        (("new", "--name", "a", "--expires", "tomorrow"), "write 2027-01-31"),
        (("new", "--name", "a", "--expires", "2020-01-01"), "choose a later time"),
        (("list",), "keys.json cannot be read"),
        (("revoke", "0123456789ab"), "keys.json cannot be read"),
    ],
)
def test_error_is_one_line_and_creates_no_file(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = skline(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert not (tmp_path / "keys.json").exists()


def test_error_for_an_unknown_id_lists_the_existing_ones(tmp_path: Path) -> None:
    key, _ = api_keys.add(tmp_path / "k", "one", ["predict"])
    with pytest.raises(SklineError, match=rf"{key.id} \(one\)"):
        api_keys.revoke(tmp_path / "k", "000000000000")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{"id": "hunter2"}]}', '{"format": 2}', "\x00"])
def test_rejects_an_invalid_file_without_quoting_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "k"
    file.write_text(content)
    for use in (
        lambda: api_keys.read(file),
        lambda: api_keys.add(file, "a", ["predict"]),
        lambda: api_keys.revoke(file, "a"),
    ):
        with pytest.raises(SklineError, match="is not a valid key file") as error:
            use()
        assert "hunter2" not in str(error.value)
    assert file.read_text() == content


def test_rejects_a_file_with_two_keys_of_the_same_id(tmp_path: Path) -> None:
    api_keys.add(tmp_path / "k", "one", ["predict"])
    content = json.loads((tmp_path / "k").read_text())
    with pytest.raises(SklineError, match="same id"):
        api_keys.parse(json.dumps({"keys": content["keys"] * 2}), "it")


def test_concurrent_changes_are_all_kept(tmp_path: Path) -> None:
    script = (
        "from skline import api_keys; from pathlib import Path; import sys\n"
        "for n in range(15): api_keys.add(Path('k'), sys.argv[1] + str(n), ['predict'])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, name], cwd=tmp_path) for name in "ab"]
    assert [process.wait(60) for process in processes] == [0, 0]
    names = {key.name for key in api_keys.read(tmp_path / "k").keys}
    assert names == {f"{name}{number}" for name in "ab" for number in range(15)}


def test_time_without_a_zone_is_utc() -> None:
    assert api_keys.parse_expiry("2090-01-31") == dt.datetime(2090, 1, 31, tzinfo=dt.UTC)
    assert api_keys.parse_expiry("2090-01-31T12:00:00+02:00") == dt.datetime(2090, 1, 31, 10, tzinfo=dt.UTC)
