"""Messages reach a real webhook, are repeated only where it did not take them, and never show its address."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skline.errors import SklineError
from skline.monitoring.webhook import Address, Delivery, deliver, read_address
from skline.settings.monitor import Webhook
from tests.fixtures.server import free_port
from tests.fixtures.webhook import Receiver, webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook() as running:
        yield running


def send(url: str, pauses: list[float] | None = None, **settings: Any) -> Delivery:
    section = Webhook.model_validate({"timeout_seconds": 0.3} | settings)
    return deliver(Address(url, "127.0.0.1"), "text", "id", section, (pauses if pauses is not None else []).append)


def test_message_is_delivered_with_its_id(receiver: Receiver) -> None:
    assert send(receiver.url) == Delivery("delivered")
    assert (receiver.bodies, receiver.ids) == ([{"text": "text"}], ["id"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_message_that_was_not_taken_is_sent_again_with_the_same_id(receiver: Receiver, status: int) -> None:
    receiver.responses = [status, status]
    pauses: list[float] = []
    assert send(receiver.url, pauses).outcome == "delivered"
    assert (receiver.ids, pauses) == (["id"] * 3, [1.0, 2.0])


def test_attempts_are_bounded(receiver: Receiver) -> None:
    receiver.responses = [500] * 9
    assert send(receiver.url, attempts=2) == Delivery("failed", "127.0.0.1 responded with status 500", is_retried=True)
    assert len(receiver.ids) == 2


@pytest.mark.parametrize("status", [400, 404, 410])
def test_message_that_is_rejected_is_sent_once(receiver: Receiver, status: int) -> None:
    receiver.responses = [status]
    assert send(receiver.url).outcome == "failed"
    assert len(receiver.ids) == 1


@pytest.mark.parametrize("response", ["hang", "drip", 502, 504])
def test_message_of_unknown_fate_is_sent_once(receiver: Receiver, response: int | str) -> None:
    receiver.responses = [response]
    assert send(receiver.url).outcome == "unknown"
    assert len(receiver.ids) == 1


def test_refused_connection_is_tried_again() -> None:
    pauses: list[float] = []
    delivery = send(f"http://127.0.0.1:{free_port()}/SECRET", pauses)
    assert (delivery.outcome, pauses) == ("failed", [1.0, 2.0])
    assert "Connection refused" in delivery.reason


@pytest.mark.parametrize("host", ["host..example.org", "a" * 64 + ".org", "host%00"])
def test_name_that_no_host_can_have_is_a_failure(host: str) -> None:
    assert send(f"http://{host}/SECRET").outcome == "failed"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with webhook() as other:
        receiver.responses, receiver.location = [status], other.url
        assert send(receiver.url).outcome == "failed"
        assert (len(receiver.ids), other.ids) == (1, [])


@pytest.mark.parametrize("location", ["http://[::1/SECRET", "file:///etc/passwd", "http://host:SECRET/"])
def test_redirect_to_no_valid_address_is_a_failure(receiver: Receiver, location: str) -> None:
    receiver.responses, receiver.location = [302], location
    assert send(receiver.url) == Delivery("failed", "127.0.0.1 responded with status 302")


@pytest.mark.parametrize("response", [400, 500, "hang", 302])
def test_reason_does_not_show_the_address(receiver: Receiver, response: int | str) -> None:
    receiver.responses, receiver.location = [response] * 3, receiver.url
    assert "SECRET" not in repr(send(receiver.url))
    assert "SECRET" not in repr(Address(receiver.url, "127.0.0.1"))


def test_address_is_read_from_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOOK", " https://hooks.example.org/SECRET\n")
    (tmp_path / "hook").write_text("https://hooks.example.org/SECRET\n")
    for settings in (Webhook(variable="HOOK"), Webhook(file=str(tmp_path / "hook"))):
        address = read_address(settings)
        assert (address.url, address.host) == ("https://hooks.example.org/SECRET", "hooks.example.org")


@pytest.mark.parametrize(
    "text",
    [
        "", "SECRET", "ftp://host/SECRET", "https:///SECRET", "https://user:SECRET@host/", "https://host:SECRET/",
        "https://[SECRET/", "https://host/SECRET x", "https://host/SECRET\nx", "https://host/SECRETé", "file:///SECRET",
    ],
)  # fmt: skip
def test_invalid_address_is_an_error_that_does_not_show_it(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HOOK", text)
    with pytest.raises(SklineError, match="variable HOOK holds no") as error:
        read_address(Webhook(variable="HOOK"))
    assert "SECRET" not in str(error.value)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="cannot be read: No such file"):
        read_address(Webhook(file=str(tmp_path / "none")))
