#!/usr/bin/env bash
# The code on a page about Java compiles, whole programs run and print what the page says.
#     ```java complete     a program, its class is named after "final class"; a ```text block next is its output
#     ```java              statements
# usage: tests/page.sh <java> <classes> <page>
set -euo pipefail
java=$1 classes=$2 page=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
awk -v dir="$scratch" '
  BEGIN {
    out = dir "/Page.java"
    print "import dev.ecru.*;\nimport java.time.Duration;\nimport java.util.*;\nimport java.util.concurrent.CompletableFuture;\nfinal class Page {" >out
  }
  /^```java complete/ { n++; out = dir "/" n ".program"; next }
  /^```java$/ { out = dir "/Page.java"; print "static void fragment" ++fragments "() throws Exception {" >out; body = 1; next }
  /^```text$/ { out = dir "/" n ".text"; next }
  /^```/ { if (body) print "}" >out; body = 0; out = ""; next }
  out != "" && (body || out !~ /Page/) { print >out }
  END {
    out = dir "/Page.java"
    print "public static void main(String[] arguments) throws Exception {" >out
    for (i = 1; i <= fragments; i++) print "fragment" i "();" >out
    print "}\n}" >out
  }' "$page"
for program in "$scratch"/*.program; do
  name=$(sed -n 's/.*final class \([A-Za-z]*\).*/\1/p' "$program" | head -1)
  cp "$program" "$scratch/$name.java"
  javac -cp "$classes" -d "$scratch/classes" "$scratch/$name.java"
  diff -u "${program%.program}.text" <("$java" -cp "$classes:$scratch/classes" "$name")
done
javac -cp "$classes" -d "$scratch/classes" "$scratch/Page.java"
"$java" -cp "$classes:$scratch/classes" Page >"$scratch/output"
