-- Hot loops that wait, raise and collect: on LuaJIT they become traces, which are left and entered again around every wait.
local ecru = require "ecru"
local case = require "case"
local test, equal = case.test, case.equal
local rounds = tonumber(os.getenv "ECRU_ROUNDS") or 3000

test("numbers from a hot loop to another", function()
  local chan = ecru.chan()
  local task = ecru.spawn(function()
    local sum = 0
    for i = 1, rounds do sum = sum + chan:recv() * 2 end
    return sum
  end)
  for i = 1, rounds do chan:send(i) end
  equal(task:join(), rounds * (rounds + 1))
end)

test("errors raised after a wait are caught in the goroutine that raised them", function()
  local chan = ecru.chan()
  local caught = {0, 0, 0}
  local function raiser(me)
    local t = {}
    for i = 1, rounds do
      local ok, problem = pcall(function()
        ecru.yield()
        t[i % 7] = {i, me}
        if i % 2 == 0 then error({me, i}) end
        ecru.timeout(0, chan.recv, chan) -- raises, after others ran or not
      end)
      assert(not ok)
      if i % 2 == 0 then assert(problem[1] == me and problem[2] == i) else assert(problem.code == ecru.ETIMEDOUT) end
      local x = 0
      for k = 1, 60 do x = x + k % me end -- a trace of its own
      assert(t[i % 7][2] == me)
      caught[me] = caught[me] + 1
    end
  end
  local tasks = {}
  for me = 1, 3 do tasks[me] = ecru.spawn(raiser, me) end
  ecru.join_all(tasks)
  for me = 1, 3 do equal(caught[me], rounds) end
end)

test("errors raised by what has waited itself", function()
  local chans, tasks = {}, {}
  for me = 1, 4 do
    chans[me] = ecru.chan()
    tasks[me] = ecru.spawn(function()
      local seen = 0
      for i = 1, rounds do
        local ok, problem = pcall(chans[me].recv, chans[me]) -- pcall is the frame that catches, with no Lua function between
        assert(not ok and problem.name == "ECRU_ECLOSED")
        local sum = 0
        for k = 1, 100 do sum = sum + k end
        assert(sum == 5050)
        seen = seen + 1
        chans[me] = ecru.chan()
      end
      return seen
    end)
  end
  for i = 1, rounds do
    ecru.yield()
    for me = 1, 4 do chans[me]:close() end
  end
  for me = 1, 4 do equal(tasks[me]:join(), rounds) end
end)

test("coroutines inside goroutines wait and yield", function()
  local chan = ecru.chan()
  local function generator(n)
    return coroutine.wrap(function() for i = 1, n do coroutine.yield(i + chan:recv()) end end)
  end
  local tasks = {}
  for me = 1, 3 do
    tasks[me] = ecru.spawn(function()
      local sum = 0
      for value in generator(rounds / 10) do sum = sum + value end
      return sum
    end)
  end
  for _ = 1, 3 * rounds / 10 do chan:send(1) end
  local n = rounds / 10
  for me = 1, 3 do equal(tasks[me]:join(), n * (n + 1) / 2 + n) end
end)

test("a coroutine that another goroutine runs cannot be resumed", function()
  local chan = ecru.chan()
  local shared = coroutine.create(function() return chan:recv() end)
  local task = ecru.spawn(coroutine.resume, shared)
  ecru.yield()
  local ok = coroutine.resume(shared)
  equal(ok, false)
  chan:send(5)
  local resumed, value = task:join()
  equal(resumed, true) equal(value, 5)
end)

test("upvalues shared between goroutines", function()
  local count = 0
  ecru.scope(function(group)
    for _ = 1, 10 do
      group:go(function()
        for i = 1, rounds / 10 do
          count = count + 1
          if i % 3 == 0 then ecru.yield() end
        end
      end)
    end
  end)
  equal(count, rounds)
end)
