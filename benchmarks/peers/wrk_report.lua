-- Writes the result of a run as one line of JSON. Times are in microseconds.
done = function(summary, latency, requests)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.timeout
   io.write(string.format(
      '{"microseconds": %d, "requests": %d, "bad_statuses": %d, "socket_errors": %d, "p50": %f, "p99": %f}\n',
      summary.duration, summary.requests, errors.status, failed, latency:percentile(50), latency:percentile(99)
   ))
end
