-- Three stages, generate -> square -> sink. It ends from either side: the generator closes its channel, and that runs down the pipeline; or the sink has
-- enough and cancels, and every stage stops where it waits. No stage is told how: cancellation is ambient.
local ecru = require "ecru"

local function generate(numbers, last)
  for n = 1, last do numbers:send(n) end
  numbers:close()
end

local function square(numbers, squares)
  for n in numbers do squares:send(n * n) end
  squares:close()
end

local function run(last, enough)
  local sum = 0
  local stages = ecru.group()
  local numbers, squares = ecru.chan(), ecru.chan(8)
  stages:go(generate, numbers, last)
  stages:go(square, numbers, squares)
  for n in squares do
    sum = sum + n
    if sum > enough then stages:cancel() break end
  end
  local ok, problem = pcall(stages.wait, stages)
  return sum, ok and "to the end" or problem.name
end

print(run(10, 1000000))
print(run(1000000000, 1000))
--[[ prints
385	to the end
1015	ECRU_ECANCELED
]]
