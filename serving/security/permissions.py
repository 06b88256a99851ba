"""Which scope a path needs. What is not listed needs `admin`: a new route is closed until someone thinks of it."""

from serving.security.settings import SecuritySettings

#: For everybody: probes of orchestrators send no keys, and tell nothing but yes or no; the page is a form.
OPEN = ("/", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready")
#: By the path's beginning, up to its end or to a slash.
NEEDS = {
    "/predict": "predict",
    "/info": "predict",
    "/invocations": "predict",
    "/v2": "predict",
    "/labels": "label",
    "/review": "label",
    "/metrics": "admin",
}
DOCS = ("/docs", "/openapi.json", "/static-offline-docs")


class Permissions:
    """Scopes by path.

    Parameters
    ----------
    development : bool
        Whether /docs are open unless told otherwise.
    more_open : tuple of str
        Other paths, or beginnings of them, for everybody: the page's own files.
    """

    def __init__(self, settings: SecuritySettings, *, development: bool, more_open: tuple[str, ...] = ()) -> None:
        self.docs = docs_shown(settings, development=development)
        self._exact = frozenset(OPEN)
        self._open = (*more_open, *(DOCS if self.docs else ()), *(("/metrics",) if settings.open_metrics else ()))

    def needed(self, path: str) -> str | None:
        """Return the scope that `path` needs, None if it needs no key."""
        if path in self._exact or any(_under(path, start) for start in self._open):
            return None
        return next((scope for start, scope in NEEDS.items() if _under(path, start)), "admin")


def docs_shown(settings: SecuritySettings, *, development: bool) -> bool:
    """Whether /docs and /openapi.json are there for everybody; where not, they need a key of scope admin."""
    return development if settings.docs is None else settings.docs


def _under(path: str, start: str) -> bool:
    return path == start or path.startswith(start.rstrip("/") + "/")
