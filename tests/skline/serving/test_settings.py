"""Settings come from the environment and from secret files, and invalid ones are rejected without being quoted."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from skline.serving.settings import ServiceSettings


def test_settings_come_from_environment_and_secret_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKLINE_LIMITS__RATE", "5/minute")
    monkeypatch.setenv("SKLINE_CORS__ORIGINS", '["https://a.example"]')
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "skline_limits__store").write_text("redis://:hunter2@redis:6379\n")
    (folder / "skline_limits__rate").write_text("1/minute")
    monkeypatch.setenv("SKLINE_SECRETS_DIR", str(folder))
    settings = ServiceSettings()
    assert settings.limits.rate == "5/minute"
    assert settings.limits.store is not None
    assert settings.limits.store.get_secret_value() == "redis://:hunter2@redis:6379"
    assert settings.cors.origins == ("https://a.example",)


def test_all_bodies_need_at_least_the_memory_of_one() -> None:
    with pytest.raises(ValidationError, match="100 is less than max_body_bytes, 200"):
        ServiceSettings(max_body_bytes=200, all_bodies_bytes=100)


@pytest.mark.parametrize(
    "change",
    [
        {"limits": {"rate": "often"}}, {"limits": {"store": "memcached://hunter2"}}, {"limits": {"concurrent": 0}},
        {"cors": {"origins": ["https://a.example/"]}}, {"cors": {"origins": ["a.example"]}}, {"security": {"nope": 1}},
        {"logging": {"level": "loud"}},
    ],
)  # fmt: skip
def test_invalid_settings_are_rejected_without_being_quoted(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        ServiceSettings.model_validate(change)
    assert "hunter2" not in str(error.value)
