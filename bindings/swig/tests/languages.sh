#!/usr/bin/env bash
# What docs/languages.md shows of an example stands in it, which is run as a test: the block after a line [Language](path) ... is part of that file.
set -euo pipefail
page=docs/languages.md
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
awk -v dir="$scratch" '
  match($0, /^\[[^]]+\]\([^)]+\)/) { path = substr($0, RSTART, RLENGTH); sub(/^[^(]*\(/, "", path); sub(/\)$/, "", path); next }
  /^```./ && path != "" { n++; inside = 1; print path >(dir "/" n ".path"); path = ""; next }
  /^```/ { inside = 0; next }
  inside { print >(dir "/" n ".block") }' "$page"
checked=0
for block in "$scratch"/*.block; do
  file=docs/$(<"${block%.block}.path")
  [[ $(<"$file") == *"$(<"$block")"* ]] || { echo "$page: this is not in $file:"; cat "$block"; exit 1; }
  checked=$((checked + 1))
done
[ "$checked" -ge 21 ] || { echo "only $checked blocks were found"; exit 1; }
