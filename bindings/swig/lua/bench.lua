-- What goroutines cost beside coroutines: CPU time for each operation, in alternation; and what a parked one takes.
-- usage: lua5.4 bench.lua [rounds] | lua5.4 bench.lua parked [how many]
-- Peers, where they are installed: plain coroutines resumed by hand; coroutines that a queue resumes from luv's event loop (Debian: lua-luv), a turn of
-- the loop at a time, so that its I/O is served; copas (4.11, luarocks) with the futures and queues it has for this.
local ecru = require "ecru"
local has_luv, uv = pcall(require, "luv")
local has_copas, copas = pcall(require, "copas")
local _, queue_of_copas = pcall(require, "copas.queue")
local has_futures, future = pcall(require, "copas.future")
local peers = {ecru = true, coroutine = true, luv = has_luv, copas = has_copas and has_futures}

-- Coroutines over luv: whoever is made ready is resumed by the loop's next turn.
local queue, first, last = {}, 1, 0
local function ready(co) last = last + 1 queue[last] = co end
local function run_loop(f)
  ready(coroutine.create(f))
  local idle = uv.new_idle()
  idle:start(function()
    local stop = last
    while first <= stop do
      local co = queue[first]
      queue[first] = nil
      first = first + 1
      assert(coroutine.resume(co))
    end
    if first > last then idle:stop() idle:close() end
  end)
  uv.run()
end

local function resident() -- KiB
  local file = assert(io.open "/proc/self/status")
  local text = file:read "*a"
  file:close()
  return tonumber(text:match "VmRSS:%s+(%d+)") + tonumber(text:match "VmPTE:%s+(%d+)")
end

if arg[1] == "parked" then
  local n = tonumber(arg[2]) or 100000
  local chan, waiting = ecru.chan(), 0
  local function wait() waiting = waiting + 1 chan:recv() end
  ecru.go(wait) ecru.yield()
  collectgarbage() collectgarbage()
  local start, heap = resident(), collectgarbage "count"
  for _ = 1, n do ecru.go(wait) end
  while waiting <= n do ecru.yield() end
  collectgarbage() collectgarbage()
  local all, in_lua = (resident() - start) / n, (collectgarbage "count" - heap) / n
  for _ = 0, n do chan:send(true) end
  collectgarbage() collectgarbage()
  local threads, before = {}, collectgarbage "count"
  for i = 1, n do threads[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(threads[i]) end
  collectgarbage() collectgarbage()
  print(("%d parked: %.2f KiB each with their page tables; %.2f KiB of that in Lua (a suspended coroutine: %.2f KiB)"):format(
    n, all, in_lua, (collectgarbage "count" - before) / n))
  return
end

local rounds = tonumber(arg[1]) or 100000

local cases = {}
cases["spawn+join"] = {
  ecru = function(n) for _ = 1, n do ecru.spawn(function() end):join() end end,
  coroutine = function(n) for _ = 1, n do local co = coroutine.create(function() end) coroutine.resume(co) end end,
  luv = function(n)
    run_loop(function()
      local parent = coroutine.running()
      for _ = 1, n do
        ready(coroutine.create(function() ready(parent) end))
        coroutine.yield()
      end
    end)
  end,
  copas = function(n)
    copas.loop(function() for _ = 1, n do future.addthread(function() end):get() end end)
  end,
}
cases["ping-pong"] = {
  ecru = function(n)
    local there, back = ecru.chan(), ecru.chan()
    ecru.go(function() for i in there do back:send(i) end end)
    for i = 1, n do there:send(i) back:recv() end
    there:close()
  end,
  coroutine = function(n)
    local co = coroutine.wrap(function() while true do coroutine.yield(1) end end)
    for _ = 1, n do co() end
  end,
  luv = function(n)
    run_loop(function()
      local one = coroutine.running()
      local other = coroutine.create(function() for _ = 1, n do ready(one) coroutine.yield() end end)
      for _ = 1, n do ready(other) coroutine.yield() end
      ready(other)
    end)
  end,
  copas = function(n)
    copas.loop(function()
      local there, back = queue_of_copas.new(), queue_of_copas.new()
      copas.addthread(function() for _ = 1, n do back:push(there:pop()) end end)
      for i = 1, n do there:push(i) back:pop() end
    end)
  end,
}

local function measure(f, n)
  collectgarbage()
  local start = os.clock()
  f(n)
  return (os.clock() - start) / n * 1e9
end

for name, of in pairs(cases) do
  local best = {}
  for _ = 1, 5 do -- in alternation
    for peer, f in pairs(of) do
      if peers[peer] then
        local ns = measure(f, rounds)
        best[peer] = math.min(best[peer] or math.huge, ns)
      end
    end
  end
  local line = ("%-11s ecru %.0f ns"):format(name, best.ecru)
  for _, peer in ipairs {"coroutine", "luv", "copas"} do
    if best[peer] then line = line .. (", %s %.0f ns (%.2f times ecru's)"):format(peer, best[peer], best[peer] / best.ecru) end
  end
  print(line)
end
