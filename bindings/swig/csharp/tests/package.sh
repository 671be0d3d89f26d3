#!/bin/sh
# tests/package.sh <cmake> <mcs> <mono> <directory with Ecru.dll and libecrusharp.so> <version> <machine, such as linux-x64>: makes the package, unpacks it in a
# clean directory, compiles the tests against what is in it and runs the conformance cases there.
set -eu
cmake=$1 mcs=$2 mono=$3 built=$4 version=$5 machine=$6
root=$(pwd)
here=$root/bindings/swig/csharp
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/package/lib/net45" "$scratch/package/runtimes/$machine/native" "$scratch/package/_rels" "$scratch/program/unpacked"
cd "$scratch/package"
cp "$built/Ecru.dll" lib/net45
cp "$built/libecrusharp.so" "runtimes/$machine/native"
sed "s/@version@/$version/" "$here/package/Ecru.nuspec" >Ecru.nuspec
cat >'[Content_Types].xml' <<'TXT'
<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml" /><Default Extension="nuspec" ContentType="application/octet" /><Default Extension="dll" ContentType="application/octet" /><Default Extension="so" ContentType="application/octet" /></Types>
TXT
cat >_rels/.rels <<'TXT'
<?xml version="1.0" encoding="utf-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest" Target="/Ecru.nuspec" Id="R1" /></Relationships>
TXT
"$cmake" -E tar cf "$scratch/Ecru.$version.nupkg" --format=zip -- '[Content_Types].xml' _rels Ecru.nuspec lib runtimes

cd "$scratch/program/unpacked"
"$cmake" -E tar xf "$scratch/Ecru.$version.nupkg"
cd ..
rm -r "$scratch/package"
cp "unpacked/lib/net45/Ecru.dll" "unpacked/runtimes/$machine/native/libecrusharp.so" .
"$mcs" -r:Ecru.dll -out:Tests.exe "$here"/tests/*.cs
env -u MONO_PATH -u LD_LIBRARY_PATH "$mono" Tests.exe conformance "$root/bindings/swig/conformance.txt"
