# For the tests of docs/examples/httpd: starts it, talks to it, checks what it says. Sourced; the build directory is $1.
# Everything goes over loopback to a port the system chose, and nothing waits without a limit.
set -uo pipefail
httpd=$1/examples/httpd
[ -x "$httpd" ] || { echo "docs/examples/httpd has not been built (ci/setup apps)"; exit 77; }
scratch=$(mktemp -d)
server=0 failed=0
trap '[ $server = 0 ] || kill -KILL $server 2>/dev/null; rm -rf "$scratch"' EXIT

need() { # need <command> ...
  for command in "$@"; do
    command -v "$command" >/dev/null || { echo "$command is missing (ci/setup apps)"; exit 77; }
  done
}

start() { # start <option> ...: sets url, host, port; its output is in $scratch/out, also what it says when it ends
  : >"$scratch/out"
  "$httpd" "$@" >"$scratch/out" 2>&1 &
  server=$!
  for _ in $(seq 1000); do
    grep -q 'listening on' "$scratch/out" && break
    kill -0 $server 2>/dev/null || break
    sleep 0.01
  done
  url=$(sed -n 's/^httpd: listening on //p' "$scratch/out")
  [ -n "$url" ] || { echo "httpd $* did not start:"; cat "$scratch/out"; exit 1; }
  host=127.0.0.1
  port=${url##*:}
  port=${port%/}
}

stop() { # stop [<exit code>]: it drains and ends with it, 0 if not given
  kill -TERM $server
  await_end "${1-0}"
}

await_end() { # await_end <exit code>
  local code
  for _ in $(seq 3000); do
    kill -0 $server 2>/dev/null || break
    sleep 0.02
  done
  kill -KILL $server 2>/dev/null && echo "it had to be killed"
  wait $server
  code=$?
  server=0
  [ $code = "$1" ] || { fail "exit code $code, expected $1"; cat "$scratch/out"; }
}

fail() {
  echo "FAILED: $*"
  failed=1
}

same() { # same <what> <expected> <actual>
  [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

statuses() { # the status codes of the answers on stdin, in one line
  grep -ao 'HTTP/1\.1 [0-9]*' | sed 's/.* //' | tr '\n' ' ' | sed 's/ $//'
}
