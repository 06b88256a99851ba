"""Real latencies of requests, from wrk's histogram."""

Histogram = dict[int, int]


def remove_correction(corrected: Histogram, requests: int, microseconds: int, connections: int) -> Histogram:
    """Remove wrk's correction for coordinated omission.

    For every latency of at least twice the mean interval between a connection's requests, wrk adds the latencies that
    requests sent at that interval would have had (`stats_correct`). That is right for a client that should keep a
    rate; in a closed loop these requests were never sent. From the largest latency downwards, the additions of larger
    latencies are subtracted, and the remaining counts are those of real requests.

    Parameters
    ----------
    corrected : dict
        Latency in microseconds → count, as wrk reports them.
    requests, microseconds, connections : int
        Responses of the whole run, its duration, and its connections.

    Returns
    -------
    dict
        Of the same form; its counts sum to the number of responses whose latency wrk recorded.
    """
    interval = microseconds // max(requests // connections, 1)
    counts = dict(corrected)
    for latency in sorted(corrected, reverse=True):
        if latency < 2 * interval:
            break
        for added in range(latency - interval, interval, -interval):
            counts[added] -= counts[latency]
    return {latency: count for latency, count in counts.items() if count}


def percentile(histogram: Histogram, share: float) -> float:
    """Return the smallest latency in milliseconds that `share` (0 to 1) of all requests did not exceed."""
    rank, total = share * sum(histogram.values()), 0
    for latency in sorted(histogram):
        total += histogram[latency]
        if total >= rank:
            return latency / 1e3
    raise ValueError("the histogram is empty")
