#!/bin/sh
# tests/package.sh <cmake> <xbuild> <mono> <directory with Ecru.dll and libecrusharp.so> <version> <machine, such as linux-x64>: makes the package, unpacks it in a
# clean directory, builds the tests as a project that has it and runs the conformance cases there.
set -eu
cmake=$1 xbuild=$2 mono=$3 built=$4 version=$5 machine=$6
root=$(pwd)
here=$root/bindings/swig/csharp
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/package/lib/net45" "$scratch/package/build/net45" "$scratch/package/runtimes/$machine/native" "$scratch/package/_rels" "$scratch/program/packages/Ecru"
cd "$scratch/package"
cp "$built/Ecru.dll" lib/net45
cp "$built/libecrusharp.so" "runtimes/$machine/native"
sed "s/@machine@/$machine/" "$here/package/Ecru.targets" >build/net45/Ecru.targets
sed "s/@version@/$version/" "$here/package/Ecru.nuspec" >Ecru.nuspec
cat >'[Content_Types].xml' <<'TXT'
<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml" /><Default Extension="nuspec" ContentType="application/octet" /><Default Extension="dll" ContentType="application/octet" /><Default Extension="targets" ContentType="application/octet" /><Default Extension="so" ContentType="application/octet" /></Types>
TXT
cat >_rels/.rels <<'TXT'
<?xml version="1.0" encoding="utf-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest" Target="/Ecru.nuspec" Id="R1" /></Relationships>
TXT
"$cmake" -E tar cf "$scratch/Ecru.$version.nupkg" --format=zip -- '[Content_Types].xml' _rels Ecru.nuspec build lib runtimes

cd "$scratch/program/packages/Ecru"
"$cmake" -E tar xf "$scratch/Ecru.$version.nupkg"
rm -r "$scratch/package"
cd "$scratch/program"
cp "$here"/tests/*.cs "$here/tests/package.csproj" .
"$xbuild" /nologo /verbosity:quiet package.csproj >build.log 2>&1 || { cat build.log; exit 1; }
env -u MONO_PATH -u LD_LIBRARY_PATH "$mono" out/Tests.exe conformance "$root/bindings/swig/conformance.txt"
