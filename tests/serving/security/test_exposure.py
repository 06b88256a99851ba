"""What others can reach is refused without keys, unless told in so many words; secrets are not shown."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr, ValidationError

from serving.security.exposure import in_force, judge, refuse_unsafe, report, uvicorn_options
from serving.security.settings import (
    CorsSettings,
    LayeredSettings,
    LimitSettings,
    LoggingSettings,
    SecuritySettings,
)
from skline import keys
from skline.errors import SklineError


class Service(LayeredSettings):
    """A service's settings with this package's sections."""

    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    log_database: SecretStr | None = None
    security: SecuritySettings = SecuritySettings()
    limits: LimitSettings = LimitSettings()
    cors: CorsSettings = CorsSettings()
    logging: LoggingSettings = LoggingSettings()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made(tmp_path: Path) -> str:
    keys.add(tmp_path / "keys.json", "a", ["predict"])
    return "keys.json"


OPEN_HOSTS = ("0.0.0.0", "::", "", "192.0.2.1", "service.example", "127.0.0.1.example")  # noqa: S104 - judged, not bound
LOCAL_HOSTS = ("127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1")


@pytest.mark.parametrize("host", OPEN_HOSTS)
@pytest.mark.parametrize("environment", ["development", "production"])
def test_an_address_that_others_reach_needs_keys_or_no_auth(host: str, environment: Any, tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="no API keys.*say --no-auth"):
        refuse_unsafe(Service(host=host, environment=environment))
    told = Service(host=host, environment=environment, security=SecuritySettings(no_auth=True))
    assert any("whoever reaches" in note for note in refuse_unsafe(told))
    keys.add(tmp_path / "keys.json", "a", ["predict"])
    refuse_unsafe(Service(host=host, environment=environment))


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_loopback_needs_no_key_in_development_and_one_in_production(host: str) -> None:
    assert refuse_unsafe(Service(host=host)) == []
    with pytest.raises(SklineError, match="on loopback too"):
        refuse_unsafe(Service(host=host, environment="production"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"cors": {"origins": ["*"], "credentials": True}}, "name the origins"),
        ({"security": {"trusted_proxies": "10.0.0.1, *"}}, "believes any X-Forwarded-For"),
    ],
)
def test_what_only_a_developer_may_do(made: str, changes: dict[str, Any], fault: str) -> None:
    assert judge(Service.model_validate(changes)).faults == []
    [found] = judge(Service.model_validate({"environment": "production", **changes})).faults
    assert fault in found


def test_contradictions_are_refused_everywhere(made: str, tmp_path: Path) -> None:
    [fault] = judge(Service(security=SecuritySettings(no_auth=True))).faults
    assert "drop one of the two" in fault
    missing = Service(security=SecuritySettings(key_file=tmp_path / "elsewhere.json"))
    assert "elsewhere.json is not there" in judge(missing).faults[0]
    keys.revoke(tmp_path / made, keys.read(tmp_path / made).keys[0].id)
    assert "nobody could call" in judge(Service()).faults[0]


def test_keys_that_others_may_write_are_refused_in_production(made: str) -> None:
    Path(made).chmod(0o666)
    [fault] = judge(Service(environment="production")).faults
    assert "chmod 600" in fault


def test_what_was_chosen_is_noted(made: str) -> None:
    chosen: dict[str, Any] = {
        "environment": "production", "host": "0.0.0.0", "security": {"open_metrics": True},  # noqa: S104
        "limits": {"rate": None}, "logging": {"level": "debug"},
    }  # fmt: skip
    found = judge(Service.model_validate(chosen))
    assert found.faults == []
    assert [note.split(" ")[0] for note in found.notes] == ["/metrics", "there", "the", "tls"]


def test_settings_come_from_environment_and_secret_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKLINE_LIMITS__RATE", "5/minute")
    monkeypatch.setenv("SKLINE_CORS__ORIGINS", '["https://a.example"]')
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "skline_limits__store").write_text("redis://:hunter2@redis:6379\n")
    (folder / "skline_limits__rate").write_text("1/minute")
    monkeypatch.setenv("SKLINE_SECRETS_DIR", str(folder))
    settings = Service()
    assert settings.limits.rate == "5/minute"
    assert settings.limits.store is not None
    assert settings.limits.store.get_secret_value() == "redis://:hunter2@redis:6379"
    assert settings.cors.origins == ("https://a.example",)


@pytest.mark.parametrize(
    "change",
    [
        {"limits": {"rate": "often"}}, {"limits": {"store": "memcached://hunter2"}}, {"limits": {"concurrent": 0}},
        {"cors": {"origins": ["https://a.example/"]}}, {"cors": {"origins": ["a.example"]}}, {"security": {"nope": 1}},
        {"logging": {"level": "loud"}},
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused_without_being_quoted(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        Service.model_validate(change)
    assert "hunter2" not in str(error.value)


def test_what_is_in_force_is_shown_with_secrets_masked(made: str) -> None:
    told: dict[str, Any] = {
        "log_database": "postgresql://log:hunter2@db/log",
        "limits": {"store": "redis://:hunter2@redis:6379"},
        "security": {"api_keys": Path(made).read_text()},
    }
    settings = Service.model_validate(told)
    lines = in_force(settings)
    assert "SKLINE_LIMITS__STORE = **********" in lines
    assert "SKLINE_HOST = 127.0.0.1  (default)" in lines
    assert "SKLINE_CORS__ORIGINS = []  (default)" in lines
    text, good = report(settings)
    assert good
    assert "hunter2" not in text
    assert "sha256" not in text
    text, good = report(Service(host="192.0.2.1", security=SecuritySettings(key_file=Path("none"))))
    assert not good
    assert text.endswith("these settings are refused")
    assert "refused: the key file none is not there" in text


def test_uvicorn_logs_as_the_service_does_and_tells_no_name() -> None:
    options = uvicorn_options(Service())
    assert (options["access_log"], options["server_header"], options["forwarded_allow_ips"]) == (
        False, False, "",
    )  # fmt: skip
    assert options["log_config"]["loggers"]["uvicorn.access"]["handlers"] == []
