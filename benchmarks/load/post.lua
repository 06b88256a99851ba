-- POST the lines of a file in turn; print the figures, and every latency with its count, as one line of JSON.

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
  local counts = {}
  for index = 1, #latency do
    local microseconds, count = latency(index)
    counts[index] = string.format("[%d,%d]", tonumber(microseconds), tonumber(count))
  end
  io.write(string.format(
    'figures {"requests":%d,"microseconds":%d,"statuses":%d,"broken":%d,"latencies":[%s]}\n',
    summary.requests, summary.duration, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout, table.concat(counts, ",")))
end
