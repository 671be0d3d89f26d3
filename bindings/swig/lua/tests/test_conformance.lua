-- conformance.txt, which says how it is to be read.
local ecru = require "ecru"
local unpack = unpack or table.unpack

local names = {} -- of errors, by number
for name, code in pairs(ecru) do if type(name) == "string" and name:match "^E%u" then names[code] = name end end

-- ---- reading -----------------------------------------------------------------------------------------------------------
local blocks = {go = true, ["in"] = true, under = true, timeout = true, shield = true}

local function parse(path)
  local cases, open = {}, {}
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    local body, wanted = line:match "^%s*(.-)%s+%->%s+(.-)%s*$"
    local words = {}
    for word in (body or line):gsub("#.*", ""):gmatch "%S+" do words[#words + 1] = word end
    local step = {line = number, words = words, wanted = wanted}
    if words[1] == "case" then
      assert(#open <= 1, "a block without end before line " .. number)
      cases[#cases + 1] = {name = words[2], line = number}
      open = {cases[#cases]}
    elseif words[1] == "end" then
      open[#open].wanted = wanted
      open[#open] = nil
    elseif words[1] then
      table.insert(open[#open], step)
      if blocks[words[1]] then open[#open + 1] = step end
    end
  end
  return cases
end

-- ---- running -----------------------------------------------------------------------------------------------------------
local operations = {}
local run -- (steps, objects, results)

local function text(value)
  if value == nil then return "ok" end
  if type(value) == "number" then return value == math.huge and "inf" or ("%d"):format(value) end
  return tostring(value)
end
local function name_of(problem) return ecru.is_error(problem) and problem.name ~= "ECRU_EPANIC" and problem.name:gsub("ECRU_", "") end
local function fail(code) error(ecru.error(code), 0) end

local function perform(step, objects)
  local operation = assert(operations[step.words[1]], "no operation " .. step.words[1])
  local got = {pcall(operation, objects, step, unpack(step.words, 2))}
  if got[1] then return text(got[2]) end
  local name = name_of(got[2])
  if not name then error(got[2], 0) end
  return name, got[2]
end

-- The steps' outcome: nil, or what one returned; an error that was not expected is raised.
function run(steps, objects)
  for _, step in ipairs(steps) do
    if step.words[1] == "return" then return tonumber(step.words[2]) end
    if step.words[1] == "fail" then fail(ecru[step.words[2]]) end
    local got, problem = perform(step, objects)
    if step.wanted == nil and problem then error(problem, 0) end
    if step.wanted and got ~= step.wanted then
      error(("line %d: %s: got %s, not %s"):format(step.line, table.concat(step.words, " "), got, step.wanted), 0)
    end
  end
end

-- ---- operations --------------------------------------------------------------------------------------------------------
local function method(called, convert)
  return function(objects, _, name, ...)
    local object = objects[name]
    return object[called](object, convert(...))
  end
end
local function numbers(...)
  local converted = {}
  for i = 1, select("#", ...) do converted[i] = tonumber((select(i, ...))) end
  return unpack(converted)
end
local function code(word) return word and ecru[word] or nil end
local function milliseconds(word) return tonumber(word) / 1000 end
local function creates(make) return function(objects, _, name, ...) objects[name] = make(...) end end

operations.chan = creates(function(capacity, policy) return ecru.chan(capacity == "inf" and math.huge or tonumber(capacity), policy) end)
for _, called in ipairs {"send", "recv", "try_send", "len", "cap", "lock", "try_lock", "unlock", "read_lock", "try_read_lock", "read_unlock",
                         "acquire", "try_acquire", "release", "available", "add", "join", "done", "stop"} do
  operations[called] = method(called, numbers)
end
operations.try_recv = function(objects, _, name)
  local there, value = objects[name]:try_recv()
  if not there then return "none" end
  return value
end
operations.close = method("close", code)
operations.closed = method("is_closed", numbers)
operations.done_one = method("done", numbers)
operations.meet = method("wait", numbers)
operations.free = method("close", numbers)
operations.cancel = method("cancel", code)
operations.wait = function(objects, _, name) -- a timer's result is an instant
  objects[name]:wait()
end

operations.go = function(objects, step, name) objects[name] = ecru.spawn(run, step, objects) end
operations.join_all = function(objects, _, ...)
  local tasks = {...}
  for i, name in ipairs(tasks) do tasks[i] = objects[name] end
  ecru.join_all(tasks)
end
operations.join_any = function(objects, _, ...)
  local tasks = {...}
  for i, name in ipairs(tasks) do tasks[i] = objects[name] end
  return (ecru.join_any(tasks))
end

operations.token = function(objects, _, name, parent, timeout)
  if tonumber(parent) then parent, timeout = nil, parent end
  objects[name] = ecru.Token(parent and objects[parent] or nil, timeout and milliseconds(timeout))
end
local function status(value) return value == 0 and 0 or names[value] end
operations.error = function(objects, _, name) return status(objects[name]:error()) end
operations.cause = function(objects, _, name) return status(objects[name]:cause()) end
operations.under = function(objects, step, name) ecru.under(objects[name], run, step, objects) end
operations.timeout = function(objects, step, duration) ecru.timeout(milliseconds(duration), run, step, objects) end
operations.shield = function(objects, step) ecru.shield(nil, run, step, objects) end
operations.sleep = function(_, _, duration) ecru.sleep(milliseconds(duration)) end
operations.check = function() ecru.check() end
operations.yield = function() ecru.yield() end

local kinds = {
  recv = function(objects, name) return objects[name] end,
  send = function(objects, name, value) return {send = objects[name], value = tonumber(value)} end,
  token = function(objects, name) return objects[name] end,
  task = function(objects, name) return objects[name] end,
  timer = function(_, duration) return ecru.Timer(milliseconds(duration)) end,
  nothing = function() return false end,
}
operations.select = function(objects, step)
  local text_of_cases = table.concat(step.words, " ", 2)
  local cases, options = {}, {}
  local list, option = text_of_cases:match "^(.-)%s+%-%-%s+(.*)$"
  for one in (list or text_of_cases):gmatch "[^|]+" do
    local kind, a, b = one:match "^%s*(%S+)%s*(%S*)%s*(%S*)"
    cases[#cases + 1] = kinds[kind](objects, a, b)
  end
  for word in (option or ""):gmatch "%S+" do
    if tonumber(word) then options.timeout = milliseconds(word) else options[word] = true end
  end
  if options.timeout == true then options.timeout = nil end
  local index, value, problem = ecru.select(cases, options)
  if index == nil then return "none" end
  return index .. (problem and " " .. name_of(problem) or value ~= nil and " " .. text(value) or "")
end

operations.group = function(objects, _, name, ...)
  local options = {}
  for i, word in ipairs {...} do
    if word == "limit" then options.limit = tonumber((select(i + 1, ...))) end
    if word == "supervisor" then options.supervisor = true end
  end
  objects[name] = ecru.group(options)
end
operations["in"] = function(objects, step, name) objects[name]:go(run, step, objects) end
operations.errors = function(objects, _, name) return #objects[name].errors end

operations.mutex = creates(function() return ecru.Mutex() end)
operations.rwmutex = creates(function() return ecru.RWMutex() end)
operations.semaphore = creates(function(n) return ecru.Semaphore(tonumber(n)) end)
operations.waitgroup = creates(function() return ecru.WaitGroup() end)
operations.barrier = creates(function(n) return ecru.Barrier(tonumber(n)) end)
operations.ticker = creates(function(period) return ecru.ticker(milliseconds(period)) end)
operations.listener = creates(function() return ecru.net.listen("tcp", "127.0.0.1:0") end)
operations.timer = creates(function(duration) return ecru.Timer(milliseconds(duration)) end)

-- ---- all of them -------------------------------------------------------------------------------------------------------
local cases = parse "bindings/swig/conformance.txt"
assert(#cases >= 60)
for _, one in ipairs(cases) do
  local ok, problem = pcall(ecru.timeout, 20, run, one, {})
  if not ok then
    io.stderr:write("case ", one.name, ": ", tostring(problem), "\n")
    os.exit(1)
  end
end
print(#cases .. " cases")
