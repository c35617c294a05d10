-- HAProxy asks ReachScore about a request: docs/gateways.md. haproxy.cfg shows how to use it.
-- Sets txn.reachscore_passed if the request may pass. Any other request must be denied.

local IDENTITY = { "organization", "key", "livemode", "plan", "scopes", "principal" }
local RATE = { "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset" }
-- Of the refusal, what the client gets.
local PASSED_ON = {
    "content-type", "cache-control", "request-id", "retry-after", "www-authenticate",
    "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "reachscore-reason",
}
local UNAVAILABLE = '{"error":{"type":"api_error","code":"temporarily_unavailable",'
    .. '"message":"The key could not be checked.","fix":"Send the request again after Retry-After."}}'

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status, body = body })
    for name, value in pairs(headers) do
        reply:add_header(name, value)
    end
    txn:done(reply)
end

core.register_action("reachscore", { "http-req" }, function(txn, url)
    local sent = txn.http:req_get_headers()
    local headers = { ["reachscore-gateway"] = { txn:get_var("txn.reachscore_gateway") } }
    -- Two Authorization headers stay two, so that they are refused.
    for _, name in ipairs({ "authorization", "user-agent" }) do
        if sent[name] then
            headers[name] = {}
            for i = 0, #sent[name] do
                table.insert(headers[name], sent[name][i])
            end
        end
    end
    local answer = core.httpclient():get({
        url = url,
        headers = headers,
        timeout = 10000,
    })
    if not answer or answer.status == 0 or not answer.headers then
        refuse(txn, 503, { ["content-type"] = "application/json", ["retry-after"] = "5" }, UNAVAILABLE)
        return
    end
    local function told(name)
        return answer.headers[name] and answer.headers[name][0]
    end
    if answer.status ~= 200 then
        local kept = {}
        for _, name in ipairs(PASSED_ON) do
            kept[name] = told(name)
        end
        refuse(txn, answer.status, kept, answer.body)
        return
    end
    for _, name in ipairs(IDENTITY) do
        txn.http:req_set_header("ReachScore-" .. name:gsub("^%l", string.upper), told("reachscore-" .. name))
    end
    txn:set_var("txn.reachscore_passed", true)
    for _, name in ipairs(RATE) do
        txn:set_var("txn." .. name:gsub("-", "_"), told(name) or "")
    end
end, 1)
