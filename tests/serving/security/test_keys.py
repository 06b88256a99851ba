"""A key opens what it is for and nothing else, and a refusal tells nothing about why."""

import hashlib
import logging
import os
import secrets
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import answer_to
from serving.security import keys as checked
from serving.security.keys import ANYBODY, KeyRing
from serving.security.refusals import Refused
from skline import keys
from skline.errors import SklineError


class Clock:
    """Time that goes on when told."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def refusal(ring: KeyRing, authorization: bytes = b"", api_key: bytes = b"", scope: str = "predict") -> Refused:
    with pytest.raises(Refused) as raised:
        ring.check(authorization, api_key, scope)
    return raised.value


def test_a_key_is_taken_from_either_header_for_its_scopes_only(file: Path) -> None:
    key, token = keys.add(file, "ci", ["predict", "label"])
    ring = KeyRing(file)
    for headers in ((b"Bearer " + token.encode(), b""), (b"bearer  " + token.encode(), b""), (b"", token.encode())):
        caller = ring.check(*headers, "label")
        assert (caller.id, caller.name) == (key.id, "ci")
    refused = refusal(ring, api_key=token.encode(), scope="admin")
    assert refused.status == 403
    assert 'scope="admin"' in refused.headers["www-authenticate"]
    assert ring.refused == {"forbidden": 1}


def wrong_keys(file: Path) -> dict[str, bytes]:
    """One key of every kind that opens nothing, by what is wrong with it."""
    good, token = keys.add(file, "good", ["predict"])
    revoked, revoked_token = keys.add(file, "revoked", ["predict"])
    keys.revoke(file, revoked.id)
    _, expired_token = keys.add(file, "expired", ["predict"], keys.read_expiry("1d"))
    return {
        "unknown id": f"skl_{'0' * 12}_{token[17:]}".encode(),
        "wrong secret": f"skl_{good.id}_{secrets.token_hex(32)}".encode(),
        "last digit": (token[:-1] + ("0" if token[-1] != "0" else "1")).encode(),
        "revoked": revoked_token.encode(),
        "expired": expired_token.encode(),
        "other prefix": b"xyz_" + token[4:].encode(),
        "upper case": token.upper().encode(),
    }


def test_whatever_is_wrong_the_answer_is_the_same(file: Path) -> None:
    clock = Clock()
    wrong = wrong_keys(file)
    clock.now += 2 * 86_400
    ring = KeyRing(file, clock=clock)
    answers = [refusal(ring, api_key=key) for key in wrong.values()]
    answers += [refusal(ring), refusal(ring, b"Basic dXNlcjpwYXNz"), refusal(ring, api_key=b"\xff" * 9_000)]
    assert len({(a.status, bytes(answer_to(a).body), *a.headers.items()) for a in answers}) == 1
    assert answers[0].status == 401
    assert answers[0].headers == {"www-authenticate": 'Bearer realm="skline"'}
    assert ring.refused["unauthorized"] == len(answers)


def test_every_wrong_key_is_hashed_and_compared_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    wrong = wrong_keys(file) | {"none": b"", "short": b"skl_", "long": b"a" * 500}
    clock.now += 2 * 86_400
    ring = KeyRing(file, clock=clock)
    steps: list[tuple[str, Any]] = []

    def compare(left: bytes, right: bytes) -> bool:
        steps.append(("compare", (len(left), len(right))))
        return secrets.compare_digest(left, right)

    class Hashes:
        @staticmethod
        def sha256(data: bytes) -> Any:
            steps.append(("hash", None))
            return hashlib.sha256(data)

    monkeypatch.setattr(checked, "compare_digest", compare)
    monkeypatch.setattr(checked, "hashlib", Hashes)
    for key in wrong.values():
        steps.clear()
        refusal(ring, api_key=key)
        assert steps == [("hash", None), ("compare", (32, 32))]


@pytest.mark.slow
def test_an_unknown_id_takes_as_long_as_a_wrong_secret(file: Path) -> None:
    wrong = wrong_keys(file)
    ring = KeyRing(file, ticks=lambda: 0.0)
    times: dict[str, list[int]] = {name: [] for name in ("unknown id", "wrong secret", "revoked")}
    for _ in range(20_000):  # interleaved, so that what else the machine does falls on all alike
        for name, measured in times.items():
            begin = time.perf_counter_ns()
            try:
                ring.check(b"", wrong[name], "predict")
            except Refused:
                measured.append(time.perf_counter_ns() - begin)
    medians = [statistics.median(measured) for measured in times.values()]
    assert max(medians) < 1.1 * min(medians)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_but_the_key_are_let_in(authorization: bytes, api_key: bytes) -> None:
    inline = b'{"keys": [{"id": "0123456789ab", "name": "a", "scopes": ["admin"], "created": "2026-01-01T00:00:00Z",'
    ring = KeyRing(None, inline + b'"sha256": "%s"}]}' % (b"0" * 64))
    assert refusal(ring, authorization, api_key, "admin").status == 401


def test_a_changed_file_is_in_force_within_two_seconds(file: Path) -> None:
    ticks = Clock()
    first, token = keys.add(file, "first", ["predict"])
    ring = KeyRing(file, ticks=ticks)
    _, second = keys.add(file, "second", ["predict"])
    keys.revoke(file, first.id)
    assert ring.check(b"", token.encode(), "predict").name == "first"
    ticks.now += 1.9
    assert ring.check(b"", second.encode(), "predict").name == "second"
    assert refusal(ring, api_key=token.encode()).status == 401
    assert (ring.reloads, ring.usable) == (1, 1)


def test_a_broken_or_missing_file_leaves_the_last_good_keys(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    ticks = Clock()
    _, token = keys.add(file, "first", ["predict"])
    good = file.read_bytes()
    ring = KeyRing(file, ticks=ticks)
    with caplog.at_level(logging.INFO):
        for number, breaks in enumerate((lambda: file.write_text(f'{{"keys": "{token}"}}'), file.unlink), start=1):
            breaks()
            for _ in range(3):
                ticks.now += 2
                assert ring.check(b"", token.encode(), "predict").name == "first"
                assert refusal(ring).status == 401
            assert ring.reload_failures == number
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert token not in caplog.text
    file.write_bytes(good)
    os.utime(file, ns=(1, 1))
    ticks.now += 2
    assert ring.check(b"", token.encode(), "predict").name == "first"
    assert ring.reloads == 1


def test_without_a_file_everybody_is_let_in_until_there_is_one(file: Path) -> None:
    ticks = Clock()
    ring = KeyRing(file, ticks=ticks)
    assert ring.open
    assert ring.check(b"", b"whatever", "admin") is ANYBODY
    keys.add(file, "first", ["predict"])
    ticks.now += 2
    assert refusal(ring).status == 401
    assert not ring.open


def test_keys_of_the_setting_stand_beside_those_of_the_file(file: Path, tmp_path: Path) -> None:
    _, filed = keys.add(file, "filed", ["predict"])
    _, told = keys.add(tmp_path / "other", "told", ["label"])
    ring = KeyRing(file, (tmp_path / "other").read_bytes())
    assert ring.check(b"", filed.encode(), "predict").name == "filed"
    assert ring.check(b"", told.encode(), "label").name == "told"
    assert not KeyRing(tmp_path / "none", (tmp_path / "other").read_bytes()).open


def test_a_service_does_not_start_with_broken_keys(file: Path) -> None:
    file.write_text("{")
    with pytest.raises(SklineError, match="is no key file"):
        KeyRing(file)
    with pytest.raises(SklineError, match="SKLINE_SECURITY__API_KEYS is no key file"):
        KeyRing(None, b"secret stuff")


def test_no_auth_lets_everybody_in_although_there_are_keys(file: Path) -> None:
    keys.add(file, "first", ["predict"])
    assert KeyRing(file, no_auth=True).check(b"", b"", "admin") is ANYBODY
