-- A fixed number of workers take jobs from a bounded queue: who brings more than they can do waits.
local ecru = require "ecru"

local jobs, results = ecru.chan(4), ecru.chan(4)

local function work(worker)
  for job in jobs do
    ecru.sleep(0.001) -- parks this worker only
    results:send({job = job, answer = job * 2, worker = worker})
  end
end

ecru.go(function()
  ecru.scope(function(workers)
    for worker = 1, 3 do workers:go(work, worker) end
    for job = 1, 20 do jobs:send(job) end
    jobs:close()
  end)
  results:close() -- all workers have ended
end)

local count, sum, busy = 0, 0, {}
for result in results do
  count, sum = count + 1, sum + result.answer
  busy[result.worker] = true
end
print(count, sum, #busy)
--[[ prints
20	420	3
]]
