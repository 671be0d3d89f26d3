local ecru = require "ecru"
local case = require "case"
local test, equal, raises = case.test, case.equal, case.raises

local function pair()
  local listener = ecru.net.listen("tcp", "127.0.0.1:0")
  local task = ecru.spawn(listener.accept, listener)
  local client = ecru.net.dial("tcp", listener:local_address())
  local server = task:join()
  listener:close()
  return client, server
end

test("what is written is read", function()
  local client, server = pair()
  equal(client:peer_address(), server:local_address())
  client:write("one\ntwo\r\n\0three")
  equal(server:read_line(), "one")
  equal(server:read_line(), "two")
  equal(server:read_exactly(4), "\0thr")
  equal(server:read(100), "ee")
  client:shutdown(ecru.IO_WRITE)
  equal(server:read(), "")
  equal(server:read_line(), nil)
  raises("ECRU_EEOF", nil, server.read_exactly, server, 1)
  client:close() server:close()
end)

test("much goes both ways at once", function()
  local client, server = pair()
  local text = ("0123456789"):rep(100000)
  ecru.go(function() client:write(text) client:shutdown(ecru.IO_WRITE) end)
  ecru.go(function()
    for part in function() local part = server:read() return part ~= "" and part or nil end do server:write(part) end
    server:close()
  end)
  local parts = {}
  for part in function() local part = client:read() return part ~= "" and part or nil end do parts[#parts + 1] = part end
  assert(table.concat(parts) == text)
  client:close()
end)

test("closing wakes who waits; a closed one is an error", function()
  local client, server = pair()
  local reader = ecru.spawn(client.read, client)
  ecru.yield()
  client:close()
  raises("ECRU_ECLOSED", nil, reader.join, reader)
  raises("ECRU_ECLOSED", nil, client.write, client, "x")
  client:close() -- once more: nothing
  server:close()
end)

test("timeouts, of the connection and of the block", function()
  local client, server = pair()
  raises("ECRU_ETIMEDOUT", nil, ecru.timeout, 0.001, client.read, client)
  client:set_timeout(ecru.IO_READ, 0.001)
  raises("ECRU_ETIMEDOUT", nil, client.read_line, client)
  client:set_timeout(ecru.IO_READ, nil)
  server:write("late\n")
  equal(client:read_line(), "late")
  client:close() server:close()
end)

test("what had come when a read_exactly failed stays to be read", function()
  local client, server = pair()
  local function read_too_much() raises("ECRU_ETIMEDOUT", nil, ecru.timeout, 0.001, client.read_exactly, client, 100) end
  server:write("abcdef")
  while ecru.select({{read = client}}) ~= 1 do end
  read_too_much() read_too_much()
  equal(client:read_exactly(0), "")
  equal(client:read_exactly(2), "ab")
  equal(client:read(1), "c")
  server:write("gh\r\nij\nk\nl")
  equal(client:read_line(), "defgh")
  equal(client:read_line(), "ij")
  server:write("m\nn\no")
  read_too_much()
  equal(client:read_line(), "k")
  equal(client:read_line(), "lm")
  equal(client:read_exactly(3), "n\no")
  server:write("last")
  server:shutdown(ecru.IO_WRITE)
  raises("ECRU_EEOF", nil, client.read_exactly, client, 5)
  equal(client:read(2), "la")
  raises("ECRU_EEOF", nil, client.read_exactly, client, 5)
  equal(client:read_line(), "st")
  equal(client:read_line(), nil)
  raises("ECRU_EEOF", nil, client.read_exactly, client, 1)
  client:close() server:close()
end)

-- Who does it is a shell, whenever our thread sleeps.
local file = io.open "/proc/self/stat"
if file then test("a process that was stopped goes on waiting when it is continued", function()
  local listener = ecru.net.listen("tcp", "127.0.0.1:0")
  local pid = file:read "*n"
  file:close()
  local script = [=[
    status=/proc/PID/task/PID/status
    await() { until read -rd "" text < $status; [[ $text == *State:?$1* ]]; do :; done; }
    nap() { await S; kill -STOP PID; await T; kill -CONT PID; }
    nap; exec 3<>/dev/tcp/127.0.0.1/PORT
    nap; printf ab >&3; nap; printf cd >&3
    nap; head -c 20000000 <&3 | cksum >&3
    nap; echo line >&3; nap
  ]=]
  script = script:gsub("PID", ("%d"):format(pid)):gsub("PORT", (listener:local_address():match ":(%d+)$"))
  local shell = io.popen("bash -c '" .. script .. "' 2>&1")
  local connection = listener:accept()
  equal(connection:read_exactly(4), "abcd")
  connection:write(("0123456789"):rep(2000000))
  equal(connection:read_line(), "3421084393 20000000")
  equal(connection:read_line(), "line")
  local before = ecru.now()
  ecru.sleep(0.1)
  assert(ecru.now() - before >= 0.1)
  equal(shell:read "*a", "")
  shell:close()
  connection:close() listener:close()
end) end

test("select over connections", function()
  local client, server = pair()
  equal(ecru.select({{read = client}}, {poll = true}), nil)
  equal(ecru.select({{read = client}, {write = client}}), 2)
  server:write("x")
  equal(ecru.select({{read = client}}), 1)
  client:close() server:close()
  raises("ECRU_ECLOSED", nil, ecru.select, {{read = client}})
end)

test("what cannot be", function()
  raises("ECRU_ECONNREFUSED", nil, ecru.net.dial, "tcp", "127.0.0.1:1")
  raises("ECRU_EPROTONOSUPPORT", nil, ecru.net.dial, "pigeon", "127.0.0.1:1")
  raises("ECRU_EINVAL", nil, ecru.net.dial, "tcp", "nowhere")
  raises("ECRU_EINVAL", nil, ecru.net.dial, nil, nil)
  raises("ECRU_EBADF", nil, ecru.net.adopt, 9999)
  local client, server = pair()
  raises("ECRU_EINVAL", nil, client.read, client, 0)
  raises("ECRU_EINVAL", nil, client.read, client, -1)
  raises("ECRU_EINVAL", nil, client.write, client, {})
  raises("ECRU_EINVAL", nil, client.accept, client)
  client:close() server:close()
end)
