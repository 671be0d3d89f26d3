#!/bin/sh
# tests/package.sh <ruby> <wrapper in C> <libecru.a> <version>: makes the gem in a clean directory, installs it into a clean GEM_HOME and runs the
# conformance cases with it.
set -eu
ruby=$1 wrapper=$2 archive=$3 version=$4
root=$(pwd)
here=$root/bindings/swig/ruby
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/gem/ext/ecru/include" "$scratch/home"
cp -R "$here/lib" "$root/LICENSE" "$here/gem/ecru.gemspec" "$scratch/gem"
cp "$here/gem/extconf.rb" "$archive" "$here"/*.h "$root"/bindings/swig/*.h "$scratch/gem/ext/ecru"
cp "$wrapper" "$scratch/gem/ext/ecru/core.c"
cp -R "$root/runtime/include/ecru" "$scratch/gem/ext/ecru/include"
echo "-luv -pthread" >"$scratch/gem/ext/ecru/libraries"
cd "$scratch/gem"
export ECRU_VERSION="$version" GEM_HOME="$scratch/home" GEM_PATH="$scratch/home:$("$ruby" -e 'puts Gem.default_path.join(":")')"
"$ruby" -S gem build --silent ecru.gemspec
cd "$scratch"
mv gem/*.gem .
rm -rf gem
"$ruby" -S gem install --local --silent --no-document ./*.gem
ECRU_CONFORMANCE=$root/bindings/swig/conformance.txt "$ruby" "$here/tests/test_conformance.rb"
"$ruby" -e 'require "ecru"; abort $".grep(/ecru.core/).join unless $".grep(/ecru.core/).all? { |path| path.start_with?(ENV["GEM_HOME"]) }'
