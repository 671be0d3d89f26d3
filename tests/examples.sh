#!/usr/bin/env bash
# Runs one example as its transcript says and compares what it prints.
# usage: tests/examples.sh <directory of the programs> <transcript>
# A transcript is a series of runs:
#     $ wordcount docs/examples     a shell command; the programs are in PATH; its stdout and stderr are compared below
#     total 17 words                must be this line
#     ~ took [0-9.]+ ms             must match the extended regular expression after "~ "
#     ...                           any number of lines
#     ? 3                           the exit code, 0 if not given
set -uo pipefail
programs=$1 transcript=$2
[ -e "$transcript" ] || { echo "write the expected output: $transcript"; exit 1; }
export PATH=$programs:$PATH
command="" code=0 expected=()

matches() { # matches <pattern line> <line>
  case $1 in
    "~ "*) [[ $2 =~ ^(${1#"~ "})$ ]] ;;
    *) [ "$1" = "$2" ] ;;
  esac
}

compare() { # compares expected[] with output[]; says what differs
  local at=0 skipping=0 pattern
  for pattern in ${expected[@]+"${expected[@]}"}; do
    if [ "$pattern" = "..." ]; then
      skipping=1
      continue
    fi
    while [ $skipping = 1 ] && [ $at -lt ${#output[@]} ] && ! matches "$pattern" "${output[$at]}"; do at=$((at + 1)); done
    skipping=0
    [ $at -lt ${#output[@]} ] || { echo "missing: $pattern"; return 1; }
    matches "$pattern" "${output[$at]}" || { echo "line $((at + 1)): ${output[$at]}"; echo "expected: $pattern"; return 1; }
    at=$((at + 1))
  done
  [ $skipping = 1 ] || [ $at -eq ${#output[@]} ] || { echo "more than expected: ${output[$at]}"; return 1; }
}

finish() { # runs the command collected so far
  [ -n "$command" ] || return 0
  local text status
  text=$(bash -c "$command" 2>&1)
  status=$?
  text=${text//$'\r'/} # Windows ends lines with it, too
  output=()
  [ -z "$text" ] || mapfile -t output <<<"$text"
  if ! compare || { [ "$status" -ne "$code" ] && echo "exit code $status, expected $code"; }; then
    echo "---- \$ $command"
    printf '%s\n' "$text"
    exit 1
  fi
}

while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    "$ "*) finish; command=${line#"$ "} code=0 expected=() ;;
    "? "*) code=${line#"? "} ;;
    *) expected+=("$line") ;;
  esac
done <"$transcript"
finish
