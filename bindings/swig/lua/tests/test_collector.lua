-- The collector, with goroutines parked everywhere.
local ecru = require "ecru"
local case = require "case"
local test, equal, raises = case.test, case.equal, case.raises
local crowd = tonumber(os.getenv "ECRU_CROWD") or 10000

local function park_all(wait, n)
  local tasks = {}
  for i = 1, n do tasks[i] = ecru.spawn(function() local own = {i, tostring(i)} local got = wait(i) return own[1], own[2], got end) end
  ecru.yield()
  return tasks
end

test("steps of the collector with a crowd parked in channels", function()
  local chan = ecru.chan()
  local tasks = park_all(function() return chan:recv() end, crowd)
  for _ = 1, 200 do collectgarbage("step", 100) local garbage = {} for i = 1, 50 do garbage[i] = {tostring(i)} end end
  collectgarbage() collectgarbage()
  for i = 1, crowd do chan:send({i}) end
  collectgarbage()
  for i = 1, crowd do
    local own, text, got = tasks[i]:join()
    equal(own, i) equal(text, tostring(i)) equal(type(got), "table")
  end
end)

test("the collector runs on the goroutines' stacks", function()
  collectgarbage("setpause", 100) collectgarbage("setstepmul", 400)
  local chan, total = ecru.chan(3), 0
  ecru.scope(function(group)
    for me = 1, 20 do
      group:go(function()
        for i = 1, crowd / 100 do
          local garbage = {}
          for k = 1, 20 do garbage[k] = {("%d %d"):format(k, me)} end
          chan:send({garbage, me})
        end
      end)
    end
    for _ = 1, 20 * (crowd / 100) do
      local got = chan:recv()
      assert(got[1][20][1] == "20 " .. got[2])
      total = total + 1
    end
  end)
  equal(total, 20 * (crowd / 100))
  collectgarbage("setpause", 200) collectgarbage("setstepmul", 200)
end)

test("what nobody knows goes: channels in themselves, tasks, locks, timers", function()
  local weak = setmetatable({}, {__mode = "k"})
  for _ = 1, 100 do
    local chan = ecru.chan(2)
    chan:send(chan) chan:send({chan})
    weak[chan] = true
    local task = ecru.spawn(function() return {} end)
    task:join()
    weak[task] = true
    weak[ecru.Mutex()] = true
    weak[ecru.Timer(100)] = true
    weak[ecru.Token()] = true
  end
  for _ = 1, 3 do collectgarbage() end
  local left = 0
  for _ in pairs(weak) do left = left + 1 end
  assert(left <= 3, left .. " are left") -- a stack may still hold the last of them
end)

test("ended goroutines leave nothing", function()
  local function many() for _ = 1, 1000 do ecru.spawn(function() end):join() end end
  many() collectgarbage() collectgarbage()
  local before = collectgarbage("count")
  for _ = 1, 5 do many() end
  collectgarbage() collectgarbage()
  assert(collectgarbage("count") - before < 64, "it grew")
end)

test("an error nobody asked for is reported once, with its traceback", function()
  local told = {}
  ecru.on_unobserved(function(problem) told[#told + 1] = problem end)
  ecru.go(error, "of go")
  ecru.yield()
  equal(#told, 1)
  assert(told[1].message:find("of go", 1, true) and told[1].traceback)
  do ecru.spawn(error, "of spawn") ecru.yield() end
  local asked = ecru.spawn(error, "asked for")
  raises("ECRU_EPANIC", "asked for", asked.join, asked)
  asked = nil
  for _ = 1, 3 do collectgarbage() end
  equal(#told, 2)
  assert(told[2].message:find("of spawn", 1, true))
  local cancelled = ecru.spawn(ecru.sleep, 1000)
  ecru.yield() cancelled:cancel() ecru.yield()
  cancelled = nil
  for _ = 1, 3 do collectgarbage() end
  equal(#told, 2)
  ecru.on_unobserved(nil)
end)

if not jit then
  -- f() in a finalizer: what pcall gives of it.
  local function finalized(f)
    local ok, problem
    do setmetatable({}, {__gc = function() ok, problem = pcall(f) end}) end
    collectgarbage() collectgarbage()
    return ok, problem
  end

  test("a finalizer cannot wait", function()
    local chan, mutex, group = ecru.chan(), ecru.Mutex(), ecru.WaitGroup()
    group:add(1)
    for _, f in ipairs {function() ecru.sleep(0.01) end, function() ecru.select({chan}) end, function() ecru.select({{send = chan, value = {}}}, {timeout = 1}) end,
        function() chan:recv() end, function() mutex:lock() end, function() group:wait() end, function() ecru.Timer(0):wait() end,
        function() ecru.net.dial("tcp", "127.0.0.1:1") end} do
      local ok, problem = finalized(f)
      equal(ok, false) equal(problem.name, "ECRU_EPERM")
    end
    equal(chan:len(), 0)
  end)

  test("what does not wait can be done in a finalizer", function()
    local chan, mutex, group, token = ecru.chan(2), ecru.Mutex(), ecru.WaitGroup(), ecru.Token()
    group:add(1)
    local ok, problem = finalized(function()
      assert(mutex:try_lock())
      mutex:unlock()
      group:done()
      token:cancel()
      assert(token:error() == ecru.ECANCELED)
      local semaphore = ecru.Semaphore(1)
      assert(semaphore:try_acquire())
      semaphore:release()
      assert(ecru.select({chan}, {poll = true}) == nil)
      assert(ecru.select({{send = chan, value = {"kept"}}}, {poll = true}) == 1)
      assert(chan:try_send("text"))
      ecru.go(function() chan:close() end)
    end)
    assert(ok, tostring(problem))
    ecru.yield()
    equal(chan:recv()[1], "kept") equal(chan:recv(), "text")
    equal(chan:is_closed(), true)
  end)
end

test("finalizers run on goroutines' stacks, also ours", function()
  ecru.scope(function(group)
    for _ = 1, 50 do
      group:go(function()
        for i = 1, 20 do
          local chan = ecru.chan(1)
          chan:send({})
          chan = ecru.Mutex()
          if i % 5 == 0 then collectgarbage() end
          ecru.yield()
        end
      end)
    end
  end)
end)

test("a thread is the next goroutine's only if nobody can hold it", function()
  local own = setmetatable({}, {__mode = "k"})
  local function one_with_threads(ask)
    return ecru.spawn(function()
      if not ask then return end
      local me = coroutine.running()
      equal(own[me], nil)
      own[me] = {}
      ecru.yield()
      equal(coroutine.running(), me)
    end)
  end
  for i = 1, 300 do one_with_threads(i % 3 == 0):join() end
  local main = coroutine.running()
  equal(main ~= nil, not jit)
  local inner = coroutine.create(function() return coroutine.running() end)
  equal(select(2, coroutine.resume(inner)), inner)
end)

test("a goroutine's hook and globals are its own", function()
  for _ = 1, 3 do
    ecru.spawn(function()
      debug.sethook(function() end, "", 1000000)
      if jit then debug.sethook() end -- there it is everybody's
      if setfenv then setfenv(0, {}) end
    end):join()
    ecru.spawn(function()
      equal(debug.gethook(), nil)
      if setfenv then equal(getfenv(0), _G) end
    end):join()
  end
end)
