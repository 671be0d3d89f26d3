#!/usr/bin/env bash
# Compiles a C# program, or statements, and runs it.
# usage: tests/run.sh <compiler> <assembly> <machine> <file>
set -euo pipefail
compiler=$1 assembly=$2 machine=$3 file=$4
if ! grep -q 'void Main' "$file"; then
  sed -i -e '1i using System; using System.Linq; using System.Threading; using System.Threading.Tasks; using Ecru;\nusing Mutex = Ecru.Mutex; using Timer = Ecru.Timer;\ninternal static class Page { private static void Main() {' -e '$a } }' "$file"
fi
"$compiler" -r:"$assembly" -out:"$file.exe" "$file"
exec "$machine" "$file.exe"
