-- Sends `depth` requests at once and prints what came of it as JSON.
function init(args)
   local depth = tonumber(args[1])
   local one = wrk.format("GET", "/World")
   batch = string.rep(one, depth)
end

function request()
   return batch
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"answers":%d,"micros":%d,"bytes":%d,"errors":%d,"mean":%f,"p50":%f,"p90":%f,"p99":%f}\n',
      summary.requests, summary.duration, summary.bytes,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency.mean, latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
