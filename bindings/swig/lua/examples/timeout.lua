-- At most so long for a block of code, whatever waits in it, and however deep.
local ecru = require "ecru"

local function slow() ecru.sleep(10) return "slow" end
local function quick() ecru.sleep(0.001) return "quick" end

local function attempt(f)
  local ok, result = pcall(ecru.timeout, 0.05, f)
  return ok and result or result.name
end

print(attempt(quick))
print(attempt(slow))
print(attempt(function() -- cleaning up takes the time it needs
  local ok, problem = pcall(slow)
  ecru.shield(1, ecru.sleep, 0.001)
  return ok or "cleaned up after " .. problem.name
end))
--[[ prints
quick
ECRU_ETIMEDOUT
cleaned up after ECRU_ETIMEDOUT
]]
