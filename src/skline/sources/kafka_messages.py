"""The value of a message as a row: a JSON object, or a record in Avro."""

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from skline.errors import SklineError
from skline.settings.source_kafka import KafkaSettings
from skline.sources.object_cells import flat
from skline.sources.unreadable import UNREADABLE

Row = dict[str, Any]
#: Returns the row of a message's value; raises UndecodableMessage.
Decoder = Callable[[bytes | None], Row]
#: Before the value that a client of a schema registry writes: a zero, and the id of the schema in 4 bytes.
FRAME = 5
#: From this size on, a float that orjson reads may be a whole number in the text.
LARGEST_EXACT = float(2**63)
#: Types of cells that are no cells of a table.
NESTED = frozenset({dict, list})


class UndecodableMessage(Exception):
    """A message that is no row; the text says why."""


def make_decoder(settings: KafkaSettings, registry_user: str | None = None) -> Decoder:
    """Return what decodes the values of a topic.

    Parameters
    ----------
    settings : KafkaSettings
    registry_user : str, optional
        `USER:PASSWORD` of the schema registry.

    Raises
    ------
    SklineError
        If the file of the schema cannot be read, or holds none.
    """
    decode: Callable[[bytes], Any] = decode_json
    if settings.schema_file is not None:
        decode = AvroDecoder(read_schema(Path(settings.schema_file)))
    elif settings.schema_registry is not None:
        decode = RegistryDecoder(settings.schema_registry, registry_user, settings.timeout_seconds)

    def decode_row(value: bytes | None) -> Row:
        if value is None:
            raise UndecodableMessage("it has no value")
        row = decode(value)
        if not isinstance(row, dict):
            raise UndecodableMessage(f"a row is an object, and its value is {type(row).__name__}")
        if UNREADABLE in row:
            raise UndecodableMessage(f"it has a field {UNREADABLE!r}, which is reserved")
        if NESTED.isdisjoint(map(type, row.values())):
            return row
        try:
            return flat(row)
        except RecursionError:
            raise UndecodableMessage("it is nested too deeply") from None

    return decode_row


def decode_json(value: bytes) -> Any:
    """Decode JSON in UTF-8, which a schema registry's client may have framed; numbers are exact."""
    body = value[FRAME:] if value[:1] == b"\0" and len(value) > FRAME else value
    try:
        row = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _decode_exactly(body)  # it says what is invalid, in the same words for all messages
    # orjson reads whole numbers beyond 64 bits as floats. A loop, because it takes a third of the time of `any`.
    if type(row) is not dict:
        return _decode_exactly(body)
    for cell in row.values():
        kind = type(cell)
        if (kind is float and not -LARGEST_EXACT < cell < LARGEST_EXACT) or kind is dict or kind is list:
            return _decode_exactly(body)
    return row


def _decode_exactly(body: bytes) -> Any:
    """Decode JSON in UTF-8; whole numbers of any length are exact."""
    try:
        row = _JSON.decode(body.decode())
        if b"\\ud" in body.lower():
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except UnicodeError:
        raise UndecodableMessage("it is not text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UndecodableMessage(f"it is not valid JSON ({' '.join(str(error).split())})") from None
    return row


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


_JSON = json.JSONDecoder(parse_constant=_reject_constant)  # json.loads would make one for each message


class AvroDecoder:
    """Decodes records of one schema, without a frame."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def __call__(self, value: bytes) -> Any:
        """Decode one record; nothing may follow it."""
        import fastavro

        body = io.BytesIO(value)
        try:
            row = fastavro.schemaless_reader(body, self._schema, None)
        except (EOFError, ValueError, LookupError, TypeError, OverflowError, UnicodeError, MemoryError) as error:
            described = " ".join(str(error).split()) or type(error).__name__
            raise UndecodableMessage(f"it is not a record of the Avro schema ({described})") from None
        if body.tell() != len(value):
            raise UndecodableMessage(
                f"it is not a record of the Avro schema ({len(value) - body.tell()} bytes follow it)"
            )
        return row


class RegistryDecoder:
    """Decodes records that name their schema by its id in a registry; each schema is fetched once."""

    def __init__(self, url: str, user: str | None, timeout: float) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout
        self._headers = {} if user is None else {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
        self._decoders: dict[int, AvroDecoder | None] = {}

    def __call__(self, value: bytes) -> Any:
        """Decode one framed record."""
        if len(value) < FRAME or value[0] != 0:
            raise UndecodableMessage("it does not begin with the id of a schema")
        number = int.from_bytes(value[1:FRAME], "big")
        if number not in self._decoders:
            self._decoders[number] = self._fetch(number)
        decoder = self._decoders[number]
        if decoder is None:
            raise UndecodableMessage(f"the schema registry has no Avro schema {number}")
        return decoder(value[FRAME:])

    def _fetch(self, number: int) -> AvroDecoder | None:
        """Fetch a schema; None if the registry has none with this id, or it is not Avro."""
        url = f"{self._url}/schemas/ids/{number}"
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 (the user's own registry)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                content = json.load(response)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise SklineError(f"source.kafka.schema_registry: {url} returns {error.code} {error.reason}") from None
        except (OSError, ValueError) as error:
            raise SklineError(f"source.kafka.schema_registry: {url} cannot be read: {error}") from None
        if content.get("schemaType", "AVRO") != "AVRO":
            return None
        if content.get("references"):
            raise SklineError(f"source.kafka.schema_registry: schema {number} refers to others, which is not supported")
        return AvroDecoder(parse_schema(content["schema"], url))


def read_schema(path: Path) -> Any:
    """Read an Avro schema from a file."""
    try:
        return parse_schema(path.expanduser().read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeError) as error:
        raise SklineError(f"source.kafka.schema_file: {path} cannot be read: {error}") from None


def parse_schema(text: str, name: str) -> Any:
    """Parse an Avro schema; `name` is where it came from, for messages."""
    import fastavro
    from fastavro.schema import SchemaParseException, UnknownType

    try:
        return fastavro.parse_schema(json.loads(text))
    except (ValueError, KeyError, TypeError, SchemaParseException, UnknownType) as error:
        raise SklineError(f"{name} holds no Avro schema: {' '.join(str(error).split())}") from None
