-- Several states, each on a thread of its own, and the channels between them.
local ecru = require "ecru"
local case = require "case"
local test, equal, raises = case.test, case.equal, case.raises

test("arguments and results are copied", function()
  local a, b, c, d = ecru.universe(function(text, list, none, flag)
    local ecru = require "ecru"
    assert(none == nil and flag == true)
    list[#list + 1] = text
    ecru.sleep(0.001)
    return list, #list, nil, text .. "\0end"
  end, "text", {1, {2.5}, x = {y = "z"}}, nil, true):join()
  equal(b, 3) equal(a[2][1], 2.5) equal(a.x.y, "z") equal(a[3], "text") equal(c, nil) equal(d, "text\0end")
end)

test("source runs, too, and compilation errors are errors", function()
  equal(ecru.universe("return ... + 1", 41):join(), 42)
  local task = ecru.universe("return +")
  raises("ECRU_EPANIC", "unexpected symbol", task.join, task)
end)

test("errors come back with name and traceback", function()
  local task = ecru.universe(function() error("far away") end)
  local problem = raises("ECRU_EPANIC", "far away", task.join, task)
  assert(problem.traceback:find("error", 1, true))
  task = ecru.universe(function() require "ecru".chan():send(1, require "ecru".timeout(0, require "ecru".check)) end)
  raises("ECRU_ETIMEDOUT", nil, task.join, task)
end)

test("values go to and fro through shared channels", function()
  local there, back = ecru.shared_chan(), ecru.shared_chan(4)
  local tasks = {}
  for i = 1, 3 do
    tasks[i] = ecru.universe(function(there, back)
      local count = 0
      for job in there do
        back:send({square = job.n * job.n, from = job})
        count = count + 1
      end
      return count
    end, there, back)
  end
  ecru.go(function() for n = 1, 300 do there:send({n = n, pad = ("x"):rep(n)}) end there:close() end)
  local sum = 0
  for _ = 1, 300 do
    local answer = back:recv()
    equal(#answer.from.pad, answer.from.n)
    sum = sum + answer.square
  end
  equal(sum, 300 * 301 * 601 / 6)
  equal(tasks[1]:join() + tasks[2]:join() + tasks[3]:join(), 300)
end)

test("a shared channel travels through a shared channel, with what is in it", function()
  local outer, inner = ecru.shared_chan(1), ecru.shared_chan(1)
  inner:send("deep")
  outer:send({inner})
  inner = nil
  collectgarbage() collectgarbage()
  equal(ecru.universe(function(outer) return outer:recv()[1]:recv() end, outer):join(), "deep")
end)

test("a shared channel in itself goes with what is in it", function()
  local chan = ecru.shared_chan(4)
  chan:send(chan) chan:send({chan, {chan}})
  local same = chan:recv()
  same:send("x")
  equal(#chan:recv(), 2)
  equal(chan:recv(), "x")
  for _ = 1, 10 do
    local lost = ecru.shared_chan(2)
    lost:send(lost) lost:send({lost})
  end
  collectgarbage() collectgarbage() -- valgrind looks
end)

test("select over shared channels", function()
  local a, b = ecru.shared_chan(), ecru.shared_chan()
  local task = ecru.universe(function(a, b) b:send("b") return (a:recv()) end, a, b)
  local index, value = ecru.select({a, b})
  equal(index, 2) equal(value, "b")
  equal(ecru.select({{send = a, value = {5}}}), 1)
  equal(task:join()[1], 5)
end)

test("tables in themselves, shared twice, nested", function()
  local chan = ecru.shared_chan(1)
  local t, s = {}, {}
  t.me, t.a, t.b = t, s, s
  chan:send(t)
  local copy = chan:recv()
  assert(copy ~= t and copy.me == copy and copy.a == copy.b and copy.a ~= s)
  local deep = {}
  for _ = 1, 1000 do deep = {deep} end
  raises("ECRU_E2BIG", nil, chan.send, chan, deep)
  chan:send(1 / 0) equal(chan:recv(), 1 / 0)
  chan:send(math.mininteger or -2 ^ 53) equal(chan:recv(), math.mininteger or -2 ^ 53)
end)

test("what cannot be copied is an error, and nothing is sent", function()
  local chan = ecru.shared_chan(4)
  for _, value in ipairs {print, function() end, coroutine.create(print), ecru.chan(), ecru.Mutex(), io.stdout, {{print}}, {[print] = 1}} do
    raises("ECRU_EINVAL", "cannot be copied", chan.send, chan, value)
  end
  equal(chan:len(), 0)
  local up = 5
  raises("ECRU_EINVAL", "'up'", ecru.universe, function() return up end)
  raises("ECRU_EINVAL", nil, ecru.universe, nil)
  raises("ECRU_EINVAL", "of C's", ecru.universe, print)
  raises("ECRU_EINVAL", "cannot be copied", ecru.universe, "return", print)
end)

test("buffers of bytes go as strings", function()
  local has_ffi, ffi = pcall(require, "ffi")
  if not has_ffi then return end
  local chan, data = ecru.shared_chan(2), ffi.new("char[5]", "ab\0c")
  raises("ECRU_EINVAL", "cdata cannot be copied", chan.send, chan, data)
  chan:send(ffi.string(data, 4))
  equal(chan:recv(), "ab\0c")
  local has_buffer, buffer = pcall(require, "string.buffer")
  if not has_buffer then return end
  raises("ECRU_EINVAL", "cannot be copied", chan.send, chan, buffer.new():put("ab\0c"))
  chan:send(buffer.new():put("ab\0c"):tostring())
  equal(chan:recv(), "ab\0c")
end)

test("a cancelled task ends its universe", function()
  local started = ecru.shared_chan()
  local task = ecru.universe(function(started)
    started:send(true)
    local ok, problem = pcall(require "ecru".sleep, 1000)
    started:send(problem.name)
  end, started)
  started:recv()
  task:cancel()
  raises("ECRU_ECANCELED", nil, task.join, task)
end)

test("a finalizer cannot start goroutines that would never run", function()
  local told = ecru.shared_chan(1)
  ecru.universe(function(told)
    local ecru = require "ecru"
    local function finalize()
      local ok, problem = pcall(ecru.go, print)
      told:try_send(ok or problem.name)
    end
    if newproxy then
      object = newproxy(true)
      getmetatable(object).__gc = finalize
    else
      object = setmetatable({}, {__gc = finalize})
    end
    local chan = ecru.chan() -- newer than what ends the universe, which so is made anew
    ecru.go(ecru.yield)
    ecru.yield()
  end, told):join()
  equal(told:recv(), "ECRU_ESHUTDOWN")
end)

test("dropped copies leave nothing", function()
  for _ = 1, 10 do
    local chan = ecru.shared_chan(2, "drop_oldest")
    for i = 1, 10 do chan:send({i, chan.nothing}) end
    equal(chan:recv()[1], 9)
    chan = ecru.shared_chan(math.huge)
    for i = 1, 10 do chan:send({("x"):rep(i)}) end
  end
  collectgarbage() collectgarbage()
end)

test("goroutines of a universe that ends are cancelled", function()
  local chan = ecru.shared_chan(1)
  ecru.universe(function(chan)
    local ecru = require "ecru"
    ecru.go(function()
      local _, problem = pcall(ecru.sleep, 1000)
      chan:send(problem.name)
    end)
    ecru.yield()
  end, chan):join()
  raises("ECRU_ECLOSED", nil, function() chan:close() chan:recv() end) -- cancelled, it could not send
end)

test("neither does a shield keep one alive, nor what catches every error", function()
  local started = ecru.shared_chan(2)
  local task = ecru.universe(function(started)
    local ecru = require "ecru"
    ecru.go(ecru.shield, nil, function() started:send(1) ecru.sleep(1000) end)
    ecru.go(function() started:send(2) while true do pcall(ecru.sleep, 1000) end end)
    ecru.yield()
    return "returned"
  end, started)
  equal(task:join(), "returned")
  equal(started:len(), 2)
end)

test("what is left cleans up before its objects are finalized", function()
  local told = ecru.shared_chan(3)
  ecru.universe(function(told)
    local ecru = require "ecru"
    ecru.go(function()
      local mutex, chan = ecru.Mutex(), ecru.chan(1)
      pcall(ecru.sleep, 1000)
      ecru.shield(nil, function()
        ecru.with(mutex, function() chan:send(1) end)
        told:send("clean")
      end)
    end)
    ecru.yield()
  end, told):join()
  equal(told:recv(), "clean")
end)

-- Each goes on in spite of every error until it is ended where it wakes, which is in a wait. valgrind looks for what it has not left.
test("who is ended in a wait leaves what it waits in", function()
  local function run(wait)
    ecru.universe("local wait = ... local ecru = require 'ecru' local chan, token, semaphore = ecru.chan(), ecru.Token(), ecru.Semaphore(1) " ..
      "ecru.go(function() while true do " .. wait .. " end end) ecru.sleep(0.001)"):join()
  end
  ecru.scope(function(group)
    for _, wait in ipairs {
      "local task = ecru.spawn(function() end) pcall(task.join, task)",
      "pcall(chan.recv, chan)",
      "pcall(chan.send, chan, {})",
      "pcall(ecru.select, {chan, token, {send = chan, value = {}}})",
      "local task = ecru.spawn(function() end) pcall(ecru.select, {chan, task})",
      "pcall(semaphore.acquire, semaphore) pcall(token.wait, token)",
    } do group:go(run, wait) end
  end)
end)
