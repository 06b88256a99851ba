"""The section `source.kafka` of params.yaml, and the address of a topic."""

import datetime as dt
import re
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from skline.addresses import has_valid_host
from skline.errors import SklineError
from skline.settings.base import Positive, SettingsSection

SCHEME = "kafka://"
TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
#: Partition → offset.
Offsets = dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
#: A moment in UTC; the first message at or after it.
Moment = Annotated[dt.datetime | dt.date, WithJsonSchema({"type": "string"})]


def parse_place(value: Any) -> Any:
    """Return a moment for a text with one; ValueError for what is no place in a topic."""
    if value in ("earliest", "latest") or isinstance(value, dt.date):
        return value
    if isinstance(value, dict) and all(str(each).isdecimal() for pair in value.items() for each in pair):
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return dt.datetime.fromisoformat(value)
    raise ValueError(
        "write a date or datetime of messages, such as 2026-01-31T06:00:00Z, or an offset for each partition, such as "
        "{0: 100, 1: 250}; or leave it out"
    )


class KafkaAddress(NamedTuple):
    """The brokers to contact first, as `host:port,host:port`, and the topic."""

    servers: str
    topic: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read `kafka://HOST:PORT[,HOST:PORT]/TOPIC`.

        Raises
        ------
        SklineError
            If it is no such address. The message does not repeat it, because it may hold a password.
        """
        servers, _, topic = uri.removeprefix(SCHEME).partition("/")
        hosts = servers.split(",")
        if not uri.startswith(SCHEME) or "@" in uri or not all(hosts) or not has_valid_host(uri, several=True):
            raise SklineError(
                "the address of a topic is kafka://HOST:PORT/TOPIC, with several brokers kafka://HOST:PORT,HOST:PORT/"
                "TOPIC; user and password are no part of it: set SKLINE_KAFKA__SASL_USERNAME and "
                "SKLINE_KAFKA__SASL_PASSWORD"
            )
        check_topic(topic)
        return cls(servers, topic)

    def topic_beside(self, text: str, option: str) -> str:
        """Return the topic of the same cluster that an option names, or whose address it is.

        Raises
        ------
        SklineError
            If it is no name of a topic, or the address of one on other brokers.
        """
        if "://" not in text:
            check_topic(text)
            return text
        other = KafkaAddress.parse(text)
        if sorted(other.servers.split(",")) != sorted(self.servers.split(",")):
            raise SklineError(
                f"{option} is a topic of {other.servers}, and the rows are read from {self.servers}: all topics of a "
                "stream are on one cluster; name a topic of it"
            )
        return other.topic


def check_topic(name: str) -> None:
    """Raise SklineError if a name is none of a topic."""
    if not TOPIC.fullmatch(name):
        raise SklineError(
            f"{name!r} is no name of a topic; an address is kafka://HOST:PORT/TOPIC, and a name has letters, digits, "
            "'.', '_' and '-'"
        )


class KafkaSettings(SettingsSection):
    """Settings of a topic."""

    start: Annotated[Literal["earliest"] | Offsets | Moment, BeforeValidator(parse_place)] = Field(
        default="earliest",
        description="The first message: earliest, a date or datetime (UTC) of messages, or an offset for each "
        "partition, such as {0: 100, 1: 250}",
    )
    end: Annotated[Literal["latest"] | Offsets | Moment, BeforeValidator(parse_place)] = Field(
        default="latest",
        description="Where to stop, like `start`; the message at the end is not read. With a fixed end the same "
        "messages are read again each time",
    )
    format: Literal["json", "avro"] = Field(default="json", description="What the value of a message is")
    schema_file: str | None = Field(
        default=None, description="File with the Avro schema of values without the id of a registry"
    )
    schema_registry: str | None = Field(
        default=None, description="URL of the registry with the Avro schemas that values name by id"
    )
    options_file: str | None = Field(
        default=None,
        description="File with options of librdkafka, one NAME=VALUE a line, such as security.protocol and "
        "sasl.password; keep it out of git. Variables SKLINE_KAFKA__… of the environment override it",
    )
    timeout_seconds: Positive = Field(
        default=30.0, description="Seconds without any message or response after which reading fails"
    )

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        """Reject a schema where none is used, and Avro without any."""
        given = [name for name in ("schema_file", "schema_registry") if getattr(self, name) is not None]
        if self.format == "avro" and len(given) != 1:
            raise ValueError("format avro needs one of schema_file and schema_registry")
        if self.format == "json" and given:
            raise ValueError(f"{given[0]} is for format avro, and format is json; remove one of them")
        if self.schema_registry is not None and ("@" in self.schema_registry or "://" not in self.schema_registry):
            # A ValueError's message would repeat the address with the password in it.
            raise SklineError(
                "source.kafka.schema_registry is a URL without a user; give USER:PASSWORD in "
                "SKLINE_KAFKA__SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"
            )
        return self
