#!/bin/sh
# The first process inside. Unpacks the workspace, runs the command, then lets the collector speak.
# Descriptor 3 is ours, and the command does not get it; what it carries is untrusted all the same.
# Arguments: how many files to collect at most, bytes of them together, then the command.
files=$1 bytes=$2
shift 2
cd /workspace || exit 125
umask 022
if [ -s /countersign/workspace.tar ]; then
    tar -xf /countersign/workspace.tar --no-same-owner --no-same-permissions || exit 125
fi
echo ready >&3
"$@" 3>&-
code=$?
# What it left running must neither hold the sandbox open nor swap files under the collector.
kill -9 -1 2>/dev/null
echo "exit $code" >&3
if [ -s /countersign/patterns ]; then
    exec /environment/bin/python -I -S -B /countersign/collecting.py \
        /workspace /countersign/patterns "$files" "$bytes" >&3 3>&-
fi
