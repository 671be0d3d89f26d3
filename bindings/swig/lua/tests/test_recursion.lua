-- Deep recursion on a goroutine's stack is a Lua error, as elsewhere.
-- Not here: on LuaJIT coroutines that resume each other without end, which take its C stack wherever they run.
local ecru = require "ecru"
local case = require "case"

local cases = {}
function cases.lua() local function f() return 1 + f() end f() end
function cases.gsub() local function f() return (("x"):gsub("x", f)) end f() end
function cases.sort() local function f() table.sort({3, 2, 1}, function(a, b) f() return a < b end) end f() end
function cases.concat() local mt = {} mt.__concat = function(a, b) return a .. b end local o = setmetatable({}, mt) return o .. o end
function cases.index() local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x end
function cases.eq() local mt = {__eq = function(a, b) return a == b end} return setmetatable({}, mt) == setmetatable({}, mt) end
function cases.format() local t = setmetatable({}, {__tostring = function(t) return ("%s"):format(t) end}) return tostring(t) end
function cases.pcall() local function f() local _, e = pcall(f) error(e, 0) end f() end
function cases.load() local function f() assert(load(function() f() end)) end f() end
function cases.require() package.preload.again = function() package.loaded.again = nil return require "again" end require "again" end
function cases.ecru() local function f() ecru.timeout(100, f) end f() end
function cases.with() local function f() ecru.with(ecru.Mutex(), f) end f() end
if not jit then
  function cases.coroutine() local function f() coroutine.wrap(f)() end f() end
  function cases.table_concat()
    local mt = {__len = function() return 2 end}
    mt.__index = function() return table.concat(setmetatable({}, mt), "", 1, 2) end
    return table.concat(setmetatable({}, mt), "", 1, 2)
  end
  cases.close = load "local function f() local x <close> = setmetatable({}, {__close = function() f() end}) end f()"
end

for name, recur in pairs(cases) do
  case.test(name, function()
    local ok, problem = ecru.spawn(pcall, recur):join()
    case.equal(ok, false)
    assert(tostring(problem):find("overflow", 1, true) or tostring(problem):find("error in error handling", 1, true), tostring(problem))
  end)
end
case.equal(ecru.spawn(function() return "well" end):join(), "well")
