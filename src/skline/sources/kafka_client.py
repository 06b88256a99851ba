"""Clients of a Kafka cluster: their options, which may be secret, and their errors as one line for people.

Options are librdkafka's own. They come from a file and from the environment, never from params.yaml or a command line.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from skline.errors import SklineError

#: `SKLINE_KAFKA__SASL_PASSWORD` is the option `sasl.password`.
ENVIRONMENT = "SKLINE_KAFKA__"
#: User and password of a schema registry, as USER:PASSWORD; no option of librdkafka.
REGISTRY_USER = "schema.registry.basic.auth.user.info"
#: What skline sets by itself: with other values messages could be lost or read twice.
OWN_OPTIONS = frozenset({
    "auto.offset.reset", "bootstrap.servers", "enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof",
    "group.id", "logger",
})  # fmt: skip
UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}
DENIED = {
    KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}  # fmt: skip
#: Errors that say that messages are gone.
DELETED = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
#: Not an error: all messages of a partition are read.
END_OF_PARTITION = KafkaError._PARTITION_EOF
UNKNOWN_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
#: Seconds after which a request is repeated, and between two of them.
REQUEST_SECONDS, PAUSE_SECONDS = 2.0, 0.1


class Cluster:
    """Makes clients of one cluster, and translates their errors.

    Parameters
    ----------
    servers : str
        `host:port,host:port`.
    options_file : str or None
        A file with one NAME=VALUE a line.
    timeout : float
        Seconds to wait for a response.

    Attributes
    ----------
    registry_user : str or None
        `USER:PASSWORD` for a schema registry.

    Raises
    ------
    SklineError
        If the file cannot be read, or names an option that skline sets itself.
    """

    def __init__(self, servers: str, options_file: str | None = None, timeout: float = 30.0) -> None:
        self.servers, self.timeout = servers, timeout
        options = read_options(options_file, os.environ)
        self.registry_user = options.pop(REGISTRY_USER, None)
        self._options = options
        self._last_error: KafkaError | None = None

    def consumer(self, **own: Any) -> Consumer:
        """Return a consumer; `own` are further options, with `_` for each dot."""
        client: Consumer = self._client(Consumer, {"group.id": "skline", "enable.auto.commit": False} | _dotted(own))
        return client

    def producer(self, **own: Any) -> Producer:
        """Return a producer; see `consumer`."""
        client: Producer = self._client(Producer, _dotted(own))
        return client

    def _client(self, make: Callable[[dict[str, Any]], Any], own: dict[str, Any]) -> Any:
        base = {"bootstrap.servers": self.servers, "error_cb": self._note_error}
        try:
            return make({"log_level": 0} | own | self._options | base)  # errors come to `error_cb`
        except (KafkaException, ValueError, TypeError) as error:
            raise SklineError(f"the options of Kafka are not valid: {self._redacted(_text(error))}") from None

    def _note_error(self, error: KafkaError) -> None:
        """Keep what a client reports by itself, such as a failed login, of which calls say only that they timed out."""
        last = self._last_error
        if last is None or (last.code() not in DENIED and error.code() != KafkaError._ALL_BROKERS_DOWN):
            self._last_error = error

    def list_topics(self, client: Any, topic: str | None = None) -> dict[str, Any]:
        """Return the metadata of one topic, or of all, by name.

        Raises
        ------
        SklineError
            As soon as access is denied, or if there is no response within `timeout`.
        """
        deadline = time.monotonic() + self.timeout
        self._last_error = None
        while True:
            remaining = deadline - time.monotonic()
            seconds = min(max(remaining, PAUSE_SECONDS), REQUEST_SECONDS)
            try:
                return dict(client.list_topics(topic, timeout=seconds).topics)
            except KafkaException as error:
                client.poll(0)  # runs `_note_error`
                denied = self._last_error is not None and self._last_error.code() in DENIED
                if denied or remaining <= 0 or error.args[0].code() not in UNREACHABLE:
                    raise self.described(error.args[0]) from None
                time.sleep(PAUSE_SECONDS)

    @contextmanager
    def translated_errors(self, client: Any = None) -> Iterator[None]:
        """Translate errors of a client into a one-line SklineError that says what to do."""
        self._last_error = None
        try:
            yield
        except KafkaException as error:
            if client is not None:
                client.poll(0)  # runs `_note_error`
            raise self.described(error.args[0]) from None

    def described(self, error: KafkaError) -> SklineError:
        """Return an error as a line: what was found, and what to do."""
        last = self._last_error
        if last is not None and (error.code() in UNREACHABLE or last.code() in DENIED):
            error = last
        message = self._redacted(" ".join(str(error.str()).split()))
        if error.code() in DENIED:
            return SklineError(
                f"Kafka at {self.servers} denies access ({message}); check {ENVIRONMENT}SASL_USERNAME, "
                f"{ENVIRONMENT}SASL_PASSWORD, and the file of options"
            )
        if error.code() in UNREACHABLE:
            return SklineError(
                f"Kafka at {self.servers} did not respond within {self.timeout:g} s ({message}); check the address, "
                "whether the broker runs, and security.protocol"
            )
        return SklineError(f"Kafka at {self.servers}: {error.name()}: {message}")

    def _redacted(self, text: str) -> str:
        """Remove the values of options from a text, which may be secret."""
        for name, value in self._options.items():
            if not name.endswith((".protocol", ".mechanism", ".mechanisms", ".ms")) and value:
                text = text.replace(value, "***")
        return text


def read_options(path: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return options of librdkafka from a file and from the environment, which overrides the file.

    Parameters
    ----------
    path : str or None
        One NAME=VALUE a line; empty lines and those that begin with `#` are none.
    environment : mapping of str to str

    Raises
    ------
    SklineError
        If the file cannot be read, or an option is one of `OWN_OPTIONS`. No message holds a value.
    """
    options: dict[str, str] = {}
    if path is not None:
        try:
            lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeError) as error:
            raise SklineError(f"the file of Kafka's options cannot be read: {error}") from None
        for number, line in enumerate(lines, 1):
            name, sign, value = line.strip().partition("=")
            if not name or name.startswith("#"):
                continue
            if not sign:
                raise SklineError(f"{path}, line {number}: write NAME=VALUE, an option of librdkafka")
            options[name.strip()] = value.strip()
    for variable, value in environment.items():
        if variable.startswith(ENVIRONMENT):
            options[variable.removeprefix(ENVIRONMENT).lower().replace("_", ".")] = value
    if own := sorted(OWN_OPTIONS & set(options)):
        raise SklineError(f"skline sets {own[0]} by itself; remove it from Kafka's options")
    return options


def _dotted(own: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", ".") if not name.startswith("on_") else name: value for name, value in own.items()}


def _text(error: Exception) -> str:
    """Return the text of an error of the library."""
    first = error.args[0] if error.args else error
    return " ".join(str(first.str() if isinstance(first, KafkaError) else first).split())
