#!/usr/bin/env bash
# Each block of a page in a language is run, and prints what the ```text block after it says, or nothing.
# usage: tests/page.sh <page> <language> <command that runs a file> ...
set -euo pipefail
page=$1 language=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
awk -v dir="$scratch" -v begin="\`\`\`$language" '
  $0 == begin { n++; out = dir "/" n ".block"; printf "" >(dir "/" n ".text"); print NR >(dir "/" n ".line"); fresh = 0; next }
  /^```text$/ && fresh { out = dir "/" n ".text"; fresh = 0; next }
  /^```/ { fresh = out ~ /block$/; out = ""; next }
  out != "" { print >out; next }
  { if ($0 != "") fresh = 0 }' "$page"
count=0
for block in "$scratch"/*.block; do
  diff -u "${block%.block}.text" <("$@" "$block") || { echo "$page, the block in line $(<"${block%.block}.line")"; exit 1; }
  count=$((count + 1))
done
[ "$count" -ge 4 ] || { echo "$page: only $count blocks"; exit 1; }
