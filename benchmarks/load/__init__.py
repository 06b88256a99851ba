"""Comparison of servers: the same workload, fresh processes, interleaved rounds, and `wrk` as the client."""
