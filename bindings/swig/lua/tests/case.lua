-- test(name, f): runs f; a failed one ends the program. Checks that say what they compared.
local case = {}

function case.test(name, f)
  local ok, problem = xpcall(f, function(e) return type(e) == "string" and debug.traceback(e, 2) or e end)
  if ok then return end
  io.stderr:write(name, ": ", tostring(problem), "\n")
  os.exit(1)
end

function case.equal(got, wanted)
  if got ~= wanted then error(("got %s, not %s"):format(tostring(got), tostring(wanted)), 2) end
end

-- f(...) raises an error object with that name, whose message holds `text` if one is given. Returns it.
function case.raises(name, text, f, ...)
  local ok, problem = pcall(f, ...)
  if ok then error("no error, " .. name .. " was expected", 2) end
  if type(problem) ~= "table" or problem.name ~= name then error(("got %s, not %s"):format(tostring(problem), name), 2) end
  if problem.code == nil or problem.code >= 0 then error("an error object without a code", 2) end
  if text and not tostring(problem.message):find(text, 1, true) then error(("got %q, not %q"):format(problem.message, text), 2) end
  return problem
end

return case
