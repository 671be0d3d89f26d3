# Compiles the wrapper for the Ruby that installs the gem; the runtime is inside, from libecru.a.
require "mkmf"

$INCFLAGS << " -I$(srcdir)/include"
$CFLAGS << " -std=gnu11 -fvisibility=hidden -w"
$LOCAL_LIBS << " $(srcdir)/libecru.a #{File.read(File.join(__dir__, "libraries")).strip}"
$LDFLAGS << " -Wl,--exclude-libs,ALL -Wl,-z,nodelete" if RUBY_PLATFORM.include?("linux")
$objs = ["core.o"]
$optflags = "-O1" # glue; the runtime is compiled already
$debugflags = ""
create_makefile("ecru/core")
