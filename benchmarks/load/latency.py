"""Latencies as requests saw them, out of wrk's histogram."""

Histogram = dict[int, int]


def as_seen(corrected: Histogram, requests: int, microseconds: int, connections: int) -> Histogram:
    """Take back wrk's correction for coordinated omission.

    wrk adds, for every latency of twice the mean interval between a connection's requests or more, the latencies
    that requests sent at that interval would have had (`stats_correct`). That is right for a client that was meant to
    keep a rate; in a closed loop nobody sent those requests. From the largest latency downwards, whatever is left
    after the larger ones' additions are taken away was really seen.

    Parameters
    ----------
    corrected : dict
        Latency in microseconds → count, as wrk reports them.
    requests, microseconds, connections : int
        Answers of the whole run, its duration, and its connections.

    Returns
    -------
    dict of the same form; its counts sum to the number of answers whose latency wrk recorded.
    """
    interval = microseconds // max(requests // connections, 1)
    seen = dict(corrected)
    for latency in sorted(corrected, reverse=True):
        if latency < 2 * interval:
            break
        for added in range(latency - interval, interval, -interval):
            seen[added] -= seen[latency]
    return {latency: count for latency, count in seen.items() if count}


def percentile(histogram: Histogram, share: float) -> float:
    """The smallest latency in milliseconds that `share` (0 to 1) of all requests did not exceed."""
    wanted, total = share * sum(histogram.values()), 0
    for latency in sorted(histogram):
        total += histogram[latency]
        if total >= wanted:
            return latency / 1e3
    raise ValueError("no request was answered")
