-- Each example prints what it says at its end.
local ecru = require "ecru"
local case = require "case"

local here = "bindings/swig/lua/examples/"

-- What the chunk prints.
local function output_of(name, code, ...)
  local lines = {}
  local env = setmetatable({print = function(...)
    local words = {}
    for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
    lines[#lines + 1] = table.concat(words, "\t")
  end, arg = {...}}, {__index = _G})
  assert(load(code, "@" .. name, "t", env))()
  return table.concat(lines, "\n")
end

local function read(name)
  local file = assert(io.open(name))
  local text = file:read "*a"
  file:close()
  return text
end

for _, name in ipairs {"pipeline", "worker_pool", "timeout", "when_all"} do
  case.test(name, function()
    local code = read(here .. name .. ".lua")
    local wanted = assert(code:match "%-%-%[%[ prints\n(.*)\n%]%]%s*$")
    case.equal(output_of(name, code), wanted)
  end)
end

case.test("http_server", function()
  local address
  local env = setmetatable({print = function(text) address = text:match "http://(.*)" end, arg = {"127.0.0.1:0"}}, {__index = _G})
  local server = ecru.spawn(assert(load(read(here .. "http_server.lua"), "@http_server", "t", env)))
  ecru.yield()
  assert(address)
  local answered = 0
  ecru.scope(function(clients)
    for client = 1, 50 do
      clients:go(function()
        local connection = ecru.net.dial("tcp", address)
        for request = 1, 3 do
          connection:write(("GET /%d/%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(client, request))
          case.equal(connection:read_line(), "HTTP/1.1 200 OK")
          local length = tonumber(connection:read_line():match "Content%-Length: (%d+)")
          case.equal(connection:read_line(), "")
          case.equal(connection:read_exactly(length), ("Hello from /%d/%d\n"):format(client, request))
          answered = answered + 1
        end
        connection:close()
      end)
    end
  end)
  case.equal(answered, 150)
  server:cancel()
  case.raises("ECRU_ECANCELED", nil, server.join, server)
end)

-- ---- docs/lua.md: each ```lua block runs, and prints what the ```text block after it says ------------------------------------
local blocks = 0
local page = read "docs/lua.md"
for code, rest in page:gmatch "\n```lua\n(.-)\n```\n()" do
  blocks = blocks + 1
  local line = select(2, page:sub(1, rest):gsub("\n", ""))
  case.test("docs/lua.md, the block that ends in line " .. line, function()
    local got = output_of("docs/lua.md", code)
    local wanted = page:match("^```text\n(.-)\n```\n", rest)
    case.equal(got, wanted or "")
  end)
end
assert(blocks >= 9)
