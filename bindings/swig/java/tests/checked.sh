#!/bin/sh
# tests/checked.sh <java> <argument> ...: runs it under -Xcheck:jni and fails if the virtual machine warns.
java=$1
shift
output=$("$java" -Xcheck:jni -Xmx512m "$@" 2>&1)
status=$?
printf '%s\n' "$output"
[ $status -ne 0 ] && exit $status
case $output in *"WARNING in native method"* | *"FATAL ERROR"* | *"WARNING: JNI local refs"* | *"handler modified"*) exit 1 ;; esac
