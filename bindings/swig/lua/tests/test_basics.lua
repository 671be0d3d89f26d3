local ecru = require "ecru"
local case = require "case"
local test, equal, raises = case.test, case.equal, case.raises

test("values of all kinds go through a channel, in order", function()
  local chan, sent = ecru.chan(), {1, 2.5, "text", true, false, {1, 2}, print}
  ecru.go(function()
    for i = 1, #sent do chan:send(sent[i]) end
    chan:send(nil)
    chan:close()
  end)
  for i = 1, #sent do equal(chan:recv(), sent[i]) end
  equal(chan:recv(), nil)
  raises("ECRU_ECLOSED", nil, chan.recv, chan)
end)

test("an iteration ends with the channel", function()
  local chan, sum = ecru.chan(2), 0
  ecru.go(function() for i = 1, 10 do chan:send(i) end chan:close() end)
  for value in chan do sum = sum + value end
  equal(sum, 55)
end)

test("join gives all results, nils too, as often as it is asked", function()
  local task = ecru.spawn(function(a, b) return a + b, nil, "x" end, 1, 2)
  for _ = 1, 2 do
    local a, b, c = task:join()
    equal(a, 3) equal(b, nil) equal(c, "x")
  end
end)

test("an error carries its traceback to join", function()
  local function deep() error("oh") end
  local problem = raises("ECRU_EPANIC", "oh", function() ecru.spawn(function() deep() end):join() end)
  assert(problem.traceback:find("deep", 1, true), problem.traceback)
  local value = {}
  problem = raises("ECRU_EPANIC", nil, function() ecru.spawn(error, value):join() end)
  equal(problem.value, value)
end)

test("waiting parks through pcall, metamethods, iterators, sort and gsub", function()
  local chan = ecru.chan()
  local function one() return (chan:recv()) end
  local object = setmetatable({}, {__index = one, __add = one, __lt = one, __concat = one, __call = one, __eq = one})
  local task = ecru.spawn(function()
    local seen = {}
    seen[1] = select(2, pcall(one))
    seen[2] = object.field
    seen[3] = object + 1
    seen[4] = object .. ""
    seen[5] = object()
    for value in one do seen[6] = value break end
    seen[7] = (("x"):gsub("x", function() return one() .. "" end))
    table.sort({1, 2, 3}, function(a, b) seen[8] = seen[8] or one() return a < b end)
    return seen
  end)
  for i = 1, 8 do chan:send(i) end
  local seen = task:join()
  for i = 1, 8 do equal(tostring(seen[i]), tostring(i)) end
end)

test("select takes what is ready", function()
  local empty, room = ecru.chan(), ecru.chan(1)
  equal(ecru.select({empty, {send = room, value = "v"}}), 2)
  local index, value = ecru.select({empty, room})
  equal(index, 2) equal(value, "v")
  equal(ecru.select({empty, false}, {poll = true}), nil)
  equal(ecru.select({empty}, {timeout = 0.001}), nil)
  empty:close()
  local problem
  index, value, problem = ecru.select({empty, room})
  equal(index, 1) equal(value, nil) equal(problem.name, "ECRU_ECLOSED")
end)

test("a timeout ends what waits in it", function()
  raises("ECRU_ETIMEDOUT", nil, ecru.timeout, 0.001, ecru.sleep, 100)
  raises("ECRU_ETIMEDOUT", nil, ecru.timeout, 0.001, function() ecru.chan():recv() end)
  equal(ecru.timeout(100, function(...) return select("#", ...) end, nil, nil), 2)
end)

test("wrong arguments and closed objects are errors with code and name", function()
  raises("ECRU_EINVAL", nil, ecru.chan, {})
  raises("ECRU_EINVAL", nil, ecru.chan, -1)
  raises("ECRU_EINVAL", nil, ecru.go, 5)
  raises("ECRU_EINVAL", nil, ecru.chan().send, 5)
  raises("ECRU_EINVAL", nil, ecru.select, {5})
  raises("ECRU_EINVAL", nil, ecru.sleep, "soon")
  local mutex = ecru.Mutex()
  raises("ECRU_EINVAL", nil, mutex.lock, 5)
  raises("ECRU_EPERM", nil, mutex.unlock, mutex)
  mutex:close()
  raises("ECRU_ECLOSED", nil, mutex.lock, mutex)
end)

test("who waits at something that is closed does not wait for ever", function()
  local mutex, semaphore, waits = ecru.Mutex(), ecru.Semaphore(1), ecru.WaitGroup()
  mutex:lock()
  semaphore:acquire(1)
  waits:add(1)
  local locking = {}
  for i = 1, 3 do locking[i] = ecru.spawn(function() mutex:lock() end) end
  local acquiring, waiting = ecru.spawn(function() semaphore:acquire(1) end), ecru.spawn(function() waits:wait() end)
  ecru.yield()
  mutex:close() semaphore:close() waits:close()
  mutex:unlock() semaphore:release(1) waits:done()
  for i = 1, 3 do raises("ECRU_ECLOSED", nil, locking[i].join, locking[i]) end
  raises("ECRU_ECLOSED", nil, acquiring.join, acquiring)
  waiting:join()
  raises("ECRU_ECLOSED", nil, mutex.unlock, mutex)
end)

test("a goroutine's name may be a string that is made when asked for", function()
  local made = setmetatable({}, {__index = function(_, key) return key .. tostring(os.time()) .. string.rep("x", 50) end})
  for _ = 1, 100 do ecru.spawn(made, function() collectgarbage() end):join() end
  raises("ECRU_EINVAL", "name", ecru.go, {name = 5}, function() end)
end)

test("a scope waits for what was started in it", function()
  local done = 0
  equal(ecru.scope(function(group)
    for _ = 1, 3 do group:go(function() ecru.yield() done = done + 1 end) end
    return "result"
  end), "result")
  equal(done, 3)
  raises("ECRU_EPANIC", "first", ecru.scope, function(group)
    group:go(function() ecru.sleep(100) end)
    group:go(error, "first")
  end)
end)

test("modules that wait while they are loaded are loaded once, one at a time", function()
  local name, mutex, loaded, tasks = "waits while it is loaded", ecru.Mutex(), 0, {}
  package.preload[name] = function()
    ecru.sleep(0.001)
    loaded = loaded + 1
    return {}
  end
  for i = 1, 3 do tasks[i] = ecru.spawn(ecru.with, mutex, require, name) end
  local modules = ecru.join_all(tasks)
  equal(loaded, 1)
  equal(modules[2], modules[1])
  equal(modules[3], modules[1])
end)

test("the shortest sleeps end", function()
  for i = 1, 20000 do ecru.sleep(i % 300 * 1e-9) end -- over before they have begun, or just then
end)

ecru.go(function() ecru.sleep(1000) end) -- the end of the program ends it
