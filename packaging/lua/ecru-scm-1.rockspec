-- For `luarocks make` in a clone: the module with the runtime inside, for the Lua that luarocks installs for.
rockspec_format = "3.0"
package = "ecru"
version = "scm-1"
source = {url = "git+file://."} -- made in place
description = {
  summary = "Goroutines without colour: channels, select, cancellation, sockets",
  detailed = "Plain Lua functions run as goroutines on C stacks of their own: what waits parks only its goroutine, through pcall, metamethods and iterators.",
  license = "MIT",
}
dependencies = {"lua >= 5.1, < 5.5"}
build = {
  type = "command",
  build_command = "cmake -S . -B build/luarocks -D CMAKE_BUILD_TYPE=Release -D ECRU_SWIG=ON -D ECRU_SWIG_LANGUAGES=lua -D ECRU_TESTS=OFF -D ECRU_SHARED=OFF"
    .. ' -D "ECRU_LUA_INCLUDE=$(LUA_INCDIR)" -D "ECRU_LUA_LIBRARIES=$(LIBDIR)" -D "ECRU_LUA_MODULES=$(LUADIR)" && cmake --build build/luarocks --target ecru_lua',
  install_command = "cmake --install build/luarocks --component lua",
}
