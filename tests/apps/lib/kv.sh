# For the tests of docs/examples/kv: starts it, and redis-server beside it as the reference. Sourced; the build directory is $1.
# Everything goes over loopback, and nothing waits without a limit.
set -uo pipefail
kv=$1/examples/kv
[ -x "$kv" ] || { echo "docs/examples/kv has not been built (ci/setup apps)"; exit 77; }
scratch=$(mktemp -d)
server=0 reference=0 failed=0
trap 'for process in $server $reference; do [ $process = 0 ] || kill -KILL $process 2>/dev/null; done; rm -rf "$scratch"' EXIT

need() { # need <command> ...
  for command in "$@"; do
    command -v "$command" >/dev/null || { echo "$command is missing (ci/setup apps)"; exit 77; }
  done
}

await() { # await <seconds> <command ...>: until it succeeds
  local tries=$(($1 * 50))
  shift
  for _ in $(seq $tries); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.02
  done
  return 1
}

start() { # start <option> ...: sets port; its output is in $scratch/out, also what it says when it ends
  : >"$scratch/out"
  "$kv" "$@" >"$scratch/out" 2>&1 &
  server=$!
  await 60 grep -q 'listening on' "$scratch/out" || { echo "kv $* did not start:"; cat "$scratch/out"; exit 1; }
  port=$(sed -n 's/^kv: listening on .*://p' "$scratch/out")
}

start_reference() { # start_reference <option> ...: redis-server on a free port: sets reference_port
  for reference_port in $(shuf -i 20000-32000 -n 20); do
    redis-server --port "$reference_port" --bind 127.0.0.1 --save "" --dir "$scratch" "$@" >"$scratch/reference" 2>&1 &
    reference=$!
    disown $reference
    await 60 grep -qE 'Ready to accept|Address already in use|rror' "$scratch/reference"
    grep -q 'Ready to accept' "$scratch/reference" && return
    kill -KILL $reference 2>/dev/null
  done
  echo "redis-server does not start:"
  cat "$scratch/reference"
  exit 1
}

stop() { # it drains and ends with 0
  local code
  kill -TERM $server
  await 60 not kill -0 $server || { echo "it does not end"; failed=1; return; }
  wait $server
  code=$?
  server=0
  [ $code = 0 ] && grep -q '^kv: drained$' "$scratch/out" && return
  echo "it ended with $code and said:"
  cat "$scratch/out"
  failed=1
}
not() { ! "$@"; }

same() { # same <what> <expected> <actual>
  [ "$2" = "$3" ] && return
  printf '%s\n  expected: %q\n  got:      %q\n' "$1" "$2" "$3"
  failed=1
}
