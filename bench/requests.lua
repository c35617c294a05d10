-- wrk: sends the requests of a file, a line each: method, path, Authorization and body, with tabs
-- between. Picks reads at random; takes writes in order, each once, and stops when they are used up.
local requests, in_order, sent = {}, false, 0

function init(arguments)
    math.randomseed(tonumber(arguments[2]))
    for line in io.lines(arguments[1]) do
        local method, path, key, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
        local headers = {
            ["Authorization"] = key,
            ["Host"] = "127.0.0.1", -- As the proxy in front of production passes it on.
            ["X-Forwarded-Proto"] = "https", -- As it adds them.
            ["X-Forwarded-For"] = "192.0.2.7",
        }
        if body ~= "" then
            headers["Content-Type"] = "application/json"
        end
        in_order = method ~= "GET"
        requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
    end
end

function request()
    if not in_order then
        return requests[math.random(#requests)]
    end
    sent = sent + 1
    if sent >= #requests then
        wrk.thread:stop()
    end
    return requests[math.min(sent, #requests)]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "rate": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d}\n',
        summary.requests, summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout
    ))
end
