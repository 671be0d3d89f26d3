#!/usr/bin/env bash
# tests/coreclr.sh <directory of .NET's host, dotnet> <mcs> <generated> <directory of libecrusharp.so>: the sources, compiled against the assemblies of .NET's own
# runtime by Mono's compiler, pass their tests in its virtual machine, CoreCLR. With arguments for Tests.exe after those, that instead.
set -euo pipefail
host=$1 mcs=$2 generated=$3 built=$4
shift 4
here=bindings/swig/csharp
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
framework=$(printf '%s\n' "$host"/shared/Microsoft.NETCore.App/*/ | sort -V | tail -n 1)
references=()
for assembly in "$framework"System.*.dll; do
  [[ $assembly == *.Native.dll ]] || references+=("-r:$assembly")
done
compile() { "$mcs" -noconfig -nostdlib -nowarn:1702 "${references[@]}" "$@"; }
compile -target:library -optimize+ -out:"$scratch/Ecru.dll" $here/src/*.cs "$generated"/*.cs
compile -define:CORECLR -r:"$scratch/Ecru.dll" -out:"$scratch/Tests.dll" $here/tests/*.cs
cp "$built/libecrusharp.so" "$scratch"
cat >"$scratch/Tests.runtimeconfig.json" <<TXT
{"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "$(basename "$framework")"},
  "configProperties": {"System.Globalization.Invariant": true}}}
TXT
run() { "$host/dotnet" exec --runtimeconfig "$scratch/Tests.runtimeconfig.json" "$scratch/Tests.dll" "$@"; }
if [ $# -gt 0 ]; then
  run "$@"
  exit
fi
run conformance bindings/swig/conformance.txt
run others
