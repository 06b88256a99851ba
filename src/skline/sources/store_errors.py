"""Errors of the libraries of object stores and lakes, as one line for people: what was found, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from skline.entrypoint import one_line
from skline.errors import SklineError

#: Names of exceptions of the stores' libraries that mean missing or invalid credentials.
DENIED = frozenset({
    "PermissionError", "NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError",
    "DefaultCredentialsError", "RefreshError",
})  # fmt: skip


class StoreErrors(NamedTuple):
    """What the exceptions of a store's library mean.

    Attributes
    ----------
    absent : tuple of exception types
        There is nothing at the address.
    absent_text : str
        What is not there; `{uri}` is the address.
    advice : str
        A clause that ends the other messages, such as where credentials come from.
    failures : tuple of exception types
        All that are translated; by default every one, because a store's library raises those of others too.
    """

    absent: tuple[type[Exception], ...]
    absent_text: str
    advice: str
    failures: tuple[type[Exception], ...] = (Exception,)


@contextmanager
def translated_store_errors(uri: str, errors: StoreErrors) -> Iterator[None]:
    """Translate the errors of a store's library into a SklineError; one that is a SklineError already stays.

    Parameters
    ----------
    uri : str
        The address in `source.uri`.
    errors : StoreErrors
    """
    try:
        yield
    except SklineError:
        raise
    except errors.failures as error:
        if isinstance(error, errors.absent):
            text = f"there is no {errors.absent_text.format(uri=repr(uri))}; correct source.uri"
        elif is_denied(error):
            text = f"access to {uri!r} is denied ({one_line(error)}); {errors.advice}"
        else:
            text = f"cannot read {uri!r}: {type(error).__name__}: {one_line(error)}; {errors.advice}"
        raise SklineError(f"source.uri: {text}") from error


def is_denied(error: Exception) -> bool:
    """Return whether a store's library says that credentials are missing or wrong."""
    return getattr(error, "status_code", None) in (401, 403) or any(
        each.__name__ in DENIED for each in type(error).__mro__
    )
