#!/bin/sh
# Makes a small aarch64 root file system for the target qemu-arm64: Debian, Python, ONNX Runtime.
#
#     sh qemu-arm64-root.sh FOLDER [PACKAGE ...]
#
# with further packages of Debian's where something else shall run there, a server of ssh say.
# Takes the superuser, Debian's packages mmdebstrap, qemu-user-static and binfmt-support, a mirror of
# Debian's and pip's index: some 20 s and 300 MB. ExecuTorch needs nothing there: its C++ runner is
# brought along.
set -eu
root=${1:?where to make it: sh qemu-arm64-root.sh FOLDER [PACKAGE ...]}
shift
if [ -e "$root/usr/bin/env" ]; then
    echo "$root is a root file system already; remove it to make it anew." >&2
    exit 1
fi
mkdir -p "$root"
mmdebstrap --quiet --variant=extract --arch=arm64 --include="python3-minimal python3 libstdc++6 \
base-files base-passwd bash coreutils dash libgomp1 $*" bookworm "$root"
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
mkdir -p "$root/tmp" "$root/proc" "$root/sys/devices/system/cpu"
chmod 1777 "$root/tmp"

# plain files, no mounts: with this machine's own ONNX Runtime crashes there, with none ExecuTorch fails
for name in possible present online; do
    echo 0-1 > "$root/sys/devices/system/cpu/$name"
done
echo '0.00 0.00 0.00 1/1 1' > "$root/proc/loadavg"
# proc/cpuinfo is written by the transport, of the processor that it emulates

# Debian's Python 3.11 of that root finds them in its dist-packages
python3 -m pip install --quiet --root-user-action=ignore --target "$root/usr/lib/python3/dist-packages" \
    --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 onnxruntime numpy
echo "$root is ready."
