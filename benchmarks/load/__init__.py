"""How servers are compared: the same workload, fresh processes, interleaved rounds, `wrk` as the client."""
