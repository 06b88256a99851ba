-- POST the lines of a file in turn, and print the figures as one line of JSON.

local requests = {}
local turn = 0

function init(args)
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, nil, line)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    'figures {"requests": %d, "microseconds": %d, "statuses": %d, "broken": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50), latency:percentile(99)))
end
