"""HTTP: connections, request bodies, the fast path and dispatch to handlers."""
