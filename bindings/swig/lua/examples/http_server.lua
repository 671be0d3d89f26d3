-- A concurrent HTTP server: each connection has a goroutine, which reads and writes as if it were alone.
local ecru = require "ecru"

local listener = ecru.net.listen("tcp", arg and arg[1] or "127.0.0.1:8080")
print("http://" .. listener:local_address())

local function serve(connection)
  for line in connection.read_line, connection do
    local method, path = line:match "^(%u+) (%S+) HTTP/1%.[01]$"
    for header in connection.read_line, connection do if header == "" then break end end
    local status = method == "GET" and "200 OK" or "501 Not Implemented"
    local body = method == "GET" and "Hello from " .. path .. "\n" or ""
    connection:write(("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s"):format(status, #body, body))
  end
end

while true do
  local connection = listener:accept()
  ecru.go(function()
    pcall(ecru.timeout, 30, serve, connection)
    connection:close()
  end)
end
