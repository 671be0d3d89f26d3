#!/usr/bin/env bash
# tests/package.sh <sources> <generated> <library> <directory>: the module is built, tested and installed in a clean directory by Maven, and a program
# that knows nothing but the jar is built and run. What Maven gets from the registry stays in <directory>/repository.
set -euo pipefail
sources=$1 generated=$2 library=$3 directory=$4
module=$directory/module consumer=$directory/consumer repository=$directory/repository
rm -rf "$module" "$consumer" "$repository/dev/ecru"
mkdir -p "$module/src/main/resources/dev/ecru/native"
cp -r "$sources/pom.xml" "$sources/src" "$module/"
cp "$generated"/dev/ecru/*.java "$module/src/main/java/dev/ecru/"
cp "$sources"/tests/dev/ecru/Conformance.java "$module/src/test/java/dev/ecru/"
mkdir -p "$module/src/test/resources"
cp "$sources/../conformance.txt" "$module/src/test/resources/"
platform=$(uname -s | tr 'A-Z' 'a-z')-$(uname -m)
install -D "$library" "$module/src/main/resources/dev/ecru/native/$platform/$(basename "$library")"
cp -r "$sources/tests/consumer" "$consumer"

maven() { # maven <directory> <goal>; a registry that is out of reach is no failure of ours
  (cd "$1" && mvn -B -q -Dmaven.repo.local="$repository" "$2") >"$directory/maven.log" 2>&1 && return
  cat "$directory/maven.log"
  if grep -qE 'Could not transfer|Unknown host|Connect(ion)? (timed out|refused)' "$directory/maven.log"; then exit 77; fi
  exit 1
}
maven "$module" install
maven "$consumer" compile
got=$(java -Xcheck:jni -cp "$consumer/target/classes:$repository/dev/ecru/ecru/0.1.0/ecru-0.1.0.jar" Consumer)
[ "$got" = "from the jar" ] || { echo "the program with the jar printed: $got" >&2; exit 1; }
