"""Which scope of an API key a path requires. Routes not listed require `admin`, so that a new route is not public."""

from skline.serving.settings import SecuritySettings

#: Paths of the probes of orchestrators, which send no key and any Host, and get no more than yes or no.
PROBES = frozenset(("/health", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready"))
#: Paths without a key: the probes and the page.
PUBLIC = PROBES | {"/"}
#: The required scope by the path's prefix, which ends at the path's end or at a slash.
SCOPE_BY_PREFIX = {
    "/predict": "predict",
    "/info": "predict",
    "/version": "predict",
    "/invocations": "predict",
    "/v2": "predict",
    "/labels": "label",
    "/review": "label",
    "/metrics": "admin",
    "/monitor": "admin",
}
DOCS = ("/docs", "/openapi.json", "/static-offline-docs")


class Permissions:
    """The required scope of each path.

    Parameters
    ----------
    settings : SecuritySettings
        Whether /docs and /metrics need a key.
    development : bool
        Whether /docs needs no key by default.
    public_prefixes : tuple of str
        Prefixes of more paths that need no key, such as the page's files.
    """

    def __init__(self, settings: SecuritySettings, *, development: bool, public_prefixes: tuple[str, ...] = ()) -> None:
        docs_public = development if settings.docs is None else settings.docs
        self._public_prefixes = (
            *public_prefixes,
            *(DOCS if docs_public else ()),
            *(("/metrics",) if settings.open_metrics else ()),
        )

    def required_scope(self, path: str) -> str | None:
        """Return the scope that `path` requires, None if it needs no key."""
        if path in PUBLIC or any(_has_prefix(path, prefix) for prefix in self._public_prefixes):
            return None
        return next((scope for prefix, scope in SCOPE_BY_PREFIX.items() if _has_prefix(path, prefix)), "admin")


def _has_prefix(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
