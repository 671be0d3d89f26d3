--- ecru: goroutines without colour for Lua. See docs/lua.md.
-- Everything that waits parks only the goroutine that calls it: in plain functions, through pcall, metamethods, iterators and C functions.

local core = require "ecru.core"

local ecru = {
  version = core.version,
  go = core.go, spawn = core.spawn, on_unobserved = core.on_unobserved,
  chan = core.chan, shared_chan = core.shared_chan, select = core.select,
  timeout = core.timeout, shield = core.shield, under = core.under,
  sleep = core.sleep, yield = core.yield_, check = core.check, id = core.goroutine_id,
  error = core.error, is_error = core.is_error,
  Token = core.Token, current_token = core.Token_current or core.Token.current,
  Mutex = core.Mutex, RWMutex = core.RWMutex, Cond = core.Cond, WaitGroup = core.WaitGroup,
  Semaphore = core.Semaphore, Barrier = core.Barrier, Limiter = core.Limiter, Timer = core.Timer,
  net = {dial = core.Io.dial, listen = core.Io.listen, adopt = core.Io.adopt},
  IO_READ = core.IO_READ, IO_WRITE = core.IO_WRITE,
}

for name, value in pairs(core) do -- ECANCELED and so on
  if type(name) == "string" and name:match "^E%u" and type(value) == "number" then ecru[name] = value end
end

--- Seconds on a clock that never goes back.
function ecru.now() return core.now_ns() / 1e9 end

--- A timer that is due every so many seconds.
function ecru.ticker(seconds) return core.Timer.ticker(seconds) end

local function bad_argument(index, name, wanted, got)
  error(core.error(core.EINVAL, ("bad argument #%d to '%s' (%s expected, got %s)"):format(index, name, wanted, type(got))), 0)
end

local function is_callable(f)
  if type(f) == "function" then return true end
  local meta = debug.getmetatable(f)
  return meta ~= nil and meta.__call ~= nil
end

--- Runs f(...) with the lock held: a Mutex, or anything with lock and unlock.
function ecru.with(lock, f, ...)
  if type(lock) ~= "table" and type(lock) ~= "userdata" then bad_argument(1, "with", "lock", lock) end
  local take, leave_it = lock.lock, lock.unlock
  if not is_callable(take) or not is_callable(leave_it) then bad_argument(1, "with", "lock", lock) end
  if not is_callable(f) then bad_argument(2, "with", "function", f) end
  take(lock)
  local function leave(ok, ...)
    leave_it(lock)
    if not ok then error((...), 0) end
    return ...
  end
  return leave(pcall(f, ...))
end

-- A function's code, if it needs nothing but its arguments and globals.
local function code_of(f)
  if type(f) == "string" then return f end
  if type(f) ~= "function" then error(core.error(core.EINVAL, "a universe runs a chunk of source or a function"), 3) end
  if debug.getinfo(f, "S").what == "C" then error(core.error(core.EINVAL, "a function of C's cannot be copied to another universe"), 3) end
  local index = 1
  local name = debug.getupvalue(f, index)
  while name do
    if name ~= "_ENV" then error(core.error(core.EINVAL, "a function for another universe cannot use the local '" .. name .. "' of this one"), 3) end
    index = index + 1
    name = debug.getupvalue(f, index)
  end
  return string.dump(f)
end

local unpack = table.unpack or unpack

--- Runs a chunk of source, or a function without upvalues, in a new state on a thread of its own: in parallel. Arguments and results are
-- copied: numbers, strings, booleans, tables of these, shared channels. Returns a task.
function ecru.universe(f, ...)
  local what = {code_of(f), package.path, package.cpath, select("#", ...), ...}
  local outcome = core.shared_chan(1)
  local thread = core.start_thread(what, outcome)
  return core.spawn({name = "universe"}, function()
    local ok, got = pcall(outcome.recv, outcome)
    if not ok and not outcome:is_closed() then
      thread:cancel()
      core.shield(nil, pcall, outcome.recv, outcome)
    end
    if not ok then error(got, 0) end
    core.shield(nil, pcall, outcome.recv, outcome) -- its end
    if not got[1] then error(got[2], 0) end
    return unpack(got, 3, 2 + got[2])
  end)
end

-- C's own groups are for goroutines that run anywhere, and keep a status of each: these belong to their state's thread, and fail with any Lua value.
local Group = {}
Group.__index = Group

--- A scope: no goroutine started in it outlives wait(); the first error cancels the rest. options: {limit = n, supervisor = true}.
function ecru.group(options)
  options = options == nil and {} or options
  if type(options) ~= "table" then bad_argument(1, "group", "table", options) end
  return setmetatable({
    token = core.Token(), members = {}, errors = {}, running = core.WaitGroup(),
    slots = options.limit and core.Semaphore(options.limit), supervisor = options.supervisor,
  }, Group)
end

local function check_group(group, name)
  if getmetatable(group) ~= Group then bad_argument(1, name, "group", group) end
end

local function is_cancellation(problem) return core.is_error(problem) and problem.code == ecru.ECANCELED end

local function run_in(group, f, ...)
  local me = core.goroutine_id()
  group.members[me] = true
  local function ended(ok, ...)
    if group.slots then group.slots:release() end
    if not ok then
      local problem = ...
      if not (group.token:error() ~= 0 and is_cancellation(problem)) then
        group.errors[#group.errors + 1] = problem
        if not group.supervisor then group.token:cancel() end
      else
        group.gave_up = group.gave_up or problem
      end
    end
    group.members[me] = nil
    group.running:done()
  end
  ended(xpcall(core.under, core.trace, group.token, f, ...))
end

--- Starts f(...) in the group, once fewer than its limit run.
function Group:go(f, ...)
  check_group(self, "go")
  if not is_callable(f) then bad_argument(2, "go", "function", f) end
  if self.waited then error(core.error(core.ESHUTDOWN), 2) end
  if self.slots then core.under(self.token, self.slots.acquire, self.slots) end
  if self.token:error() ~= 0 then
    if self.slots then self.slots:release() end
    error(core.error(self.token:error()), 2)
  end
  self.running:add(1)
  local ok, problem = pcall(core.go, run_in, self, f, ...)
  if ok then return end
  self.running:done()
  if self.slots then self.slots:release() end
  error(problem, 0)
end

function Group:cancel(cause)
  check_group(self, "cancel")
  self.token:cancel(cause or 0)
end

--- Waits until all have ended. Raises the first error; if the caller is cancelled meanwhile it cancels them and waits on.
function Group:wait()
  check_group(self, "wait")
  if self.members[core.goroutine_id()] then error(core.error(core.EDEADLK), 2) end
  local ok, problem = pcall(self.running.wait, self.running)
  if not ok then
    self.token:cancel()
    core.shield(nil, self.running.wait, self.running)
  end
  self.waited = true
  if self.errors[1] then error(self.errors[1], 0) end
  if not ok then error(problem, 0) end
  if self.gave_up then error(self.gave_up, 0) end
end

--- Runs f(group) and waits for what it has started; an error in f cancels the rest.
function ecru.scope(f, options)
  if not is_callable(f) then bad_argument(1, "scope", "function", f) end
  local group = ecru.group(options)
  local function leave(ok, ...)
    if not ok then group:cancel() end
    local waited, problem = pcall(group.wait, group)
    if not ok then error((...), 0) end
    if not waited then error(problem, 0) end
    return ...
  end
  return leave(pcall(f, group))
end

--- Waits for all. Returns what each returned first, in order; raises the error of the first in order that failed, after all have ended.
function ecru.join_all(tasks)
  if type(tasks) ~= "table" then bad_argument(1, "join_all", "table of tasks", tasks) end
  local results, failed = {}, nil
  for i, task in ipairs(tasks) do
    local ok, value = pcall(core.join, task)
    if ok then results[i] = value
    elseif not core.is_task(task) then error(value, 0)
    elseif not task:done() then error(value, 0) -- not the task's: the caller was cancelled
    else failed = failed or value end
  end
  if failed then error(failed, 0) end
  return results
end

--- The first to succeed; the rest are cancelled and waited for. Returns its index and what it returned first.
function ecru.join_any(tasks)
  if type(tasks) ~= "table" then bad_argument(1, "join_any", "table of tasks", tasks) end
  local left, first_problem, winner = {}, nil, nil
  for i, task in ipairs(tasks) do
    if not core.is_task(task) then bad_argument(i, "join_any", "task", task) end
    left[i] = task
  end
  if #left == 0 then error(core.error(core.EINVAL, "join_any of no task"), 2) end
  local function cancel_rest()
    for i = 1, #tasks do if left[i] then tasks[i]:cancel() end end
    core.shield(nil, function()
      for i = 1, #tasks do if left[i] then pcall(tasks[i].join, tasks[i]) end end
    end)
  end
  for _ = 1, #tasks do
    local ok, i = pcall(core.select, left)
    if not ok then cancel_rest() error(i, 0) end
    left[i] = false
    local good, value = pcall(tasks[i].join, tasks[i])
    if good then winner = {i, value} break end
    first_problem = first_problem or value
  end
  if not winner then error(first_problem, 0) end
  cancel_rest()
  return winner[1], winner[2]
end

return ecru
