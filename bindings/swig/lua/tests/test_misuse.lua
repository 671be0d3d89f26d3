-- Every function and method with arguments of every kind: an error object or a result, never the end of the interpreter.
local ecru = require "ecru"
local core = require "ecru.core"
local case = require "case"

local seed = tonumber(os.getenv "ECRU_TEST_SEED") or os.time()
print("ECRU_TEST_SEED=" .. seed)
math.randomseed(seed)

local function closed(object) object:close() return object end
local values = {
  function() return nil end, function() return true end, function() return 0 end, function() return -1 end, function() return 1 end, function() return 1.5 end,
  function() return 0 / 0 end, function() return 1 / 0 end, function() return -2 ^ 63 end, function() return 1e18 end,
  function() return "" end, function() return "text" end, function() return "127.0.0.1:0" end, function() return {} end, function() return {{}} end,
  function() return {send = ecru.chan(1)} end, function() return {timeout = "x"} end, function() return print end, function() return function() end end, function() return error end,
  function() return coroutine.create(print) end, function() return io.stderr end, function() return ecru.chan(1) end, function() return closed(ecru.chan()) end,
  function() return ecru.shared_chan(1) end, function() return ecru.Mutex() end, function() return closed(ecru.Mutex()) end, function() return ecru.Token() end,
  function() return closed(ecru.Token()) end, function() return ecru.Timer(0) end, function() return ecru.spawn(error) end, function() return ecru.Semaphore(1) end,
  function() return ecru.WaitGroup() end, function() return ecru.Cond() end, function() return ecru.Barrier(1) end, function() return ecru.Limiter(1, 1) end,
  function() return ecru.error(ecru.EIO) end, function() return ecru.net.listen("tcp", "127.0.0.1:0") end,
}

-- Not here: what would say something on stderr, wait for ever (under a shield or another token) or stop what the test stands on.
local left_out = {shield = true, under = true, join_any = true, on_unobserved = true, current = true, Token_current = true, adopt = true, Io_adopt = true, universe = true, start_thread = true, core = true}
local functions = {}
local function gather(name, from)
  for key, value in pairs(from) do
    if type(value) == "function" and not left_out[key] then functions[#functions + 1] = {name .. key, value} end
  end
end
gather("", ecru)
gather("core.", core)
gather("net.", ecru.net)
local methods = {"send", "recv", "try_send", "try_recv", "close", "is_closed", "len", "cap", "join", "cancel", "done", "error", "id", "lock", "try_lock", "unlock", "read_lock",
  "read_unlock", "wait", "signal", "broadcast", "add", "acquire", "try_acquire", "release", "available", "try_take", "stop", "reset", "try_wait", "cause", "origin", "accept",
  "read", "read_exactly", "read_line", "write", "shutdown", "set_timeout", "descriptor", "local_address", "peer_address", "nothing_of_that_name"}

ecru.on_unobserved(function() end)
local function random_of(list) return list[math.random(#list)] end
local calls, errors = 0, 0
local function try(f, ...)
  calls = calls + 1
  local ok, problem = pcall(ecru.timeout, 0.0002, f, ...)
  if not ok then errors = errors + 1 end
  if not ok and ecru.is_error(problem) then assert(problem.code < 0 and problem.name and problem.message) end
end

case.test("functions and methods, seed " .. seed, function()
  for round = 1, 4000 do
    local a, b, c = random_of(values)(), random_of(values)(), random_of(values)()
    try(random_of(functions)[2], a, b, c)
    local object, method = random_of(values)(), random_of(methods)
    try(function() return object[method](object, a, b) end)
    try(function() return object[method](a, b, c) end)
    if round % 500 == 0 then collectgarbage() end
  end
end)
assert(calls == 12000 and errors > 1000)

case.test("wrong arguments are errors with code and name, whoever looks at them", function()
  local group, task, chan, token = ecru.group(), ecru.spawn(function() end), ecru.chan(1), ecru.Token()
  for _, call in ipairs {
    {ecru.go}, {ecru.go, 1}, {ecru.spawn, {}}, {ecru.spawn, {name = 1}, print}, {ecru.timeout, 1}, {ecru.timeout, 1, 2}, {ecru.timeout, "x", print},
    {ecru.shield, 1}, {ecru.shield, nil, {}}, {ecru.under, token}, {ecru.under, 1, print}, {ecru.under, token, 1}, {ecru.with}, {ecru.with, 1, print},
    {ecru.with, ecru.Mutex(), 1}, {ecru.with, {lock = print}, print}, {ecru.group, 1}, {ecru.group, {limit = "x"}}, {ecru.scope}, {ecru.scope, 1}, {ecru.scope, print, 1}, {group.go, group}, {group.go, 1, print},
    {group.cancel, group, "x"}, {group.cancel}, {group.wait, {}}, {ecru.join_all}, {ecru.join_all, {1}}, {ecru.join_any}, {ecru.join_any, {}}, {ecru.join_any, {1}},
    {ecru.universe}, {ecru.universe, 1}, {ecru.error}, {ecru.error, "x"}, {ecru.error, -5, {}}, {ecru.error, 1.5}, {ecru.on_unobserved, 1}, {ecru.select}, {ecru.select, {1}}, {ecru.select, {}, 1},
    {ecru.chan, "x"}, {ecru.chan, -1}, {ecru.chan, 1, "x"}, {chan.close, chan, "x"}, {chan.close, chan, 1.5}, {chan.send}, {chan.recv, task}, {task.cancel, task, {}}, {task.cancel, chan}, {task.join}, {task.done, 1},
    {task.id, {}}, {task.error}, {ecru.sleep}, {ecru.sleep, {}}, {token.cancel, token, "x"}, {token.cancel}, {ecru.Timer}, {ecru.Timer, "x"}, {ecru.ticker}, {ecru.Semaphore}, {ecru.Semaphore, {}},
    {ecru.Limiter, 1}, {ecru.Barrier, 1.5}, {ecru.Token, 1}, {ecru.net.dial}, {ecru.net.listen, {}, 1}, {ecru.net.adopt, "x"},
  } do
    local ok, problem = pcall((table.unpack or unpack)(call, 1, #call))
    assert(not ok, "no error")
    assert(ecru.is_error(problem), tostring(problem) .. " is not an error object")
    assert(problem.name == "ECRU_EINVAL" and problem.code == ecru.EINVAL, tostring(problem))
  end
end)
