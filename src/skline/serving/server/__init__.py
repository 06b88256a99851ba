"""The server process: start, worker processes, startup checks, shutdown."""
