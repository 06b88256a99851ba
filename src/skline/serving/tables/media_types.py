"""The content types of tables, and whether this service can read them."""

from importlib.util import find_spec

from skline.serving.errors import RequestError

ARROW, PARQUET = b"application/vnd.apache.arrow.stream", b"application/vnd.apache.parquet"
TABLE_TYPES = frozenset((ARROW, PARQUET))


def require_pyarrow() -> None:
    """Raise RequestError (415) if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise RequestError(
            415,
            "Arrow and Parquet need pyarrow, which this service does not have: send application/json or text/csv, or "
            "install skline[arrow] with the service",
            "unsupported_media_type",
        )
