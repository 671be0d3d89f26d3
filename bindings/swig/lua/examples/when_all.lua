-- Waiting for all, with all errors in order; and for the first that succeeds.
local ecru = require "ecru"

local function fetch(name, seconds)
  ecru.sleep(seconds)
  if name:find "bad" then error("no " .. name, 0) end
  return name .. " fetched"
end

local names = {"a", "b", "bad c", "d", "bad e"}
local tasks = {}
for i, name in ipairs(names) do tasks[i] = ecru.spawn(fetch, name, 0.001 * (6 - i)) end
for i, task in ipairs(tasks) do
  local ok, result = pcall(task.join, task)
  print(names[i], ok and result or "failed: " .. result.message)
end

local index, result = ecru.join_any {ecru.spawn(fetch, "slow", 10), ecru.spawn(fetch, "bad", 0), ecru.spawn(fetch, "quick", 0.01)}
print(index, result)
--[[ prints
a	a fetched
b	b fetched
bad c	failed: no bad c
d	d fetched
bad e	failed: no bad e
3	quick fetched
]]
