"""Settings that other machines could exploit are rejected before the service starts, and secrets are not shown."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skline import api_keys, clock
from skline.errors import SklineError
from skline.serving.server.startup_checks import (
    check_settings,
    describe_settings,
    effective_settings,
    require_safe,
    uvicorn_options,
)
from skline.serving.settings import SecuritySettings, ServiceSettings


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKLINE_LIMITS__RATE")


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    api_keys.add(tmp_path / "keys.json", "a", ["predict"])
    return "keys.json"


PUBLIC_HOSTS = ("0.0.0.0", "::", "", "192.0.2.1", "service.example", "127.0.0.1.example")  # noqa: S104 - never bound
LOCAL_HOSTS = ("127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1")


@pytest.mark.parametrize("host", PUBLIC_HOSTS)
@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_public_address_requires_keys_or_no_auth(host: str, environment: Any, tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="no API keys.*use --no-auth"):
        require_safe(ServiceSettings(host=host, environment=environment))
    no_auth = ServiceSettings(host=host, environment=environment, security=SecuritySettings(no_auth=True))
    assert any("every client that reaches" in warning for warning in require_safe(no_auth))
    api_keys.add(tmp_path / "keys.json", "a", ["predict"])
    require_safe(ServiceSettings(host=host, environment=environment))


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_loopback_requires_no_key_in_development_and_one_in_production(host: str) -> None:
    assert require_safe(ServiceSettings(host=host)) == []
    with pytest.raises(SklineError, match="on loopback too"):
        require_safe(ServiceSettings(host=host, environment="production"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cors": {"origins": ["*"], "credentials": True}}, "list the origins"),
        ({"security": {"trusted_proxies": "10.0.0.1, *"}}, "trusts every X-Forwarded-For"),
    ],
)
def test_rejects_in_production_what_is_allowed_in_development(
    key_file: str, changes: dict[str, Any], message: str
) -> None:
    assert check_settings(ServiceSettings.model_validate(changes)).errors == []
    [error] = check_settings(ServiceSettings.model_validate({"environment": "production", **changes})).errors
    assert message in error


def test_rejects_contradictions_in_every_environment(key_file: str, tmp_path: Path) -> None:
    [error] = check_settings(ServiceSettings(security=SecuritySettings(no_auth=True))).errors
    assert "API keys (keys.json), which --no-auth would disable: remove the option, or the keys" in error
    missing = ServiceSettings(security=SecuritySettings(key_file=tmp_path / "elsewhere.json"))
    assert "elsewhere.json does not exist" in check_settings(missing).errors[0]
    api_keys.revoke(tmp_path / key_file, api_keys.read(tmp_path / key_file).keys[0].id)
    assert "no client can call" in check_settings(ServiceSettings()).errors[0]


def test_rejects_a_key_file_that_others_can_write_in_production(key_file: str) -> None:
    Path(key_file).chmod(0o666)
    [error] = check_settings(ServiceSettings(environment="production")).errors
    assert "chmod 600" in error


def test_explicit_choices_are_warnings(key_file: str) -> None:
    settings: dict[str, Any] = {
        "environment": "production", "host": "0.0.0.0", "security": {"open_metrics": True},  # noqa: S104
        "limits": {"rate": None}, "logging": {"level": "debug"},
    }  # fmt: skip
    result = check_settings(ServiceSettings.model_validate(settings))
    assert result.errors == []
    assert [warning.split(" ")[0] for warning in result.warnings] == ["/metrics", "there", "the", "tls"]


def test_effective_settings_are_shown_with_secrets_masked(key_file: str) -> None:
    values: dict[str, Any] = {
        "log": {"database": "postgresql://log:hunter2@db/log?sslpassword=hunter2"},
        "limits": {"store": "redis://:hunter2@redis:6379"},
        "security": {"api_keys": Path(key_file).read_text()},
    }
    settings = ServiceSettings.model_validate(values)
    lines = effective_settings(settings)
    assert "SKLINE_LIMITS__STORE = **********" in lines
    assert "SKLINE_HOST = 127.0.0.1  (default)" in lines
    assert "SKLINE_CORS__ORIGINS = []  (default)" in lines
    text, safe = describe_settings(settings)
    assert safe
    assert "hunter2" not in text
    assert "sha256" not in text.replace("artifact.sha256", "")
    assert text.endswith("the settings are safe")
    text, safe = describe_settings(ServiceSettings(host="192.0.2.1", security=SecuritySettings(key_file=Path("none"))))
    assert not safe
    assert text.endswith("the service does not start with these settings")
    assert "error: the key file none does not exist" in text


def test_uvicorn_logs_in_the_format_of_the_service_and_sends_no_server_header() -> None:
    options = uvicorn_options(ServiceSettings())
    assert (options["access_log"], options["server_header"]) == (False, False)
    assert options["log_config"]["loggers"]["uvicorn.access"]["handlers"] == []


@pytest.fixture
def replay_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The clock of a replay, seen from its project, which is the current folder."""
    path = tmp_path / "clock"
    clock.SimulatedClock.create(path, dt.datetime(2013, 7, 1, tzinfo=dt.UTC))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv(clock.VARIABLE, str(path))
    clock.simulated_clock.cache_clear()
    yield path
    clock.simulated_clock.cache_clear()


def test_the_service_of_a_replay_warns_that_its_time_is_simulated(replay_clock: Path) -> None:
    [warning] = require_safe(ServiceSettings())
    assert f"simulated clock {replay_clock}" in warning


@pytest.mark.parametrize("changes", [{"host": "192.0.2.1"}, {"environment": "production"}])
def test_a_service_that_others_use_has_no_simulated_clock(replay_clock: Path, changes: dict[str, Any]) -> None:
    settings = ServiceSettings(**changes, security=SecuritySettings(no_auth=True))
    with pytest.raises(SklineError, match="loopback in development only"):
        require_safe(settings)


def test_a_service_outside_of_the_replay_rejects_its_clock(replay_clock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(replay_clock.parent)
    with pytest.raises(SklineError, match="the log of another service would get simulated times"):
        require_safe(ServiceSettings())
