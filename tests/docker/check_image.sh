#!/usr/bin/env bash
# Builds both images with buildah, runs what they are for, and prints their sizes.
#
#   tests/docker/check_image.sh
#
# From the environment:
#   BUILDAH      the command with its own flags       (default: buildah)
#   BUILD_FLAGS  more flags for `buildah build`, such as -v for pip's configuration
#   BASE_IMAGE   the image to start from              (default: as the Dockerfile says)
#   MAX_SLIM_MB  the runtime image may be this large  (default: 400)
# buildah itself reads BUILDAH_ISOLATION.
set -euo pipefail
source=$(realpath "$(dirname "$0")/../..")
cd "$source"

read -ra buildah <<<"${BUILDAH:-buildah}"
read -ra flags <<<"${BUILD_FLAGS:-} ${BASE_IMAGE:+--build-arg BASE_IMAGE=$BASE_IMAGE}"
max_slim_mb=${MAX_SLIM_MB:-400}

scratch=$(mktemp -d)
mounted=$scratch/mounted
mkdir -m 0777 "$mounted" # the image's user has another id than ours
containers=()

clean() {
    for container in "${containers[@]}"; do "${buildah[@]}" rm "$container" >/dev/null; done
    # Without root, what the container wrote belongs to one of our subordinate ids.
    rm -rf "$scratch" 2>/dev/null || "${buildah[@]}" unshare rm -rf "$scratch"
}
trap clean EXIT

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# Build the stage $1, and set `container` and `entry` (buildah run knows no entry point).
prepare() {
    local image=localhost/edgekd-check:$1 start=$SECONDS
    say "building $1"
    "${buildah[@]}" build --format docker --layers --target "$1" -t "$image" "${flags[@]}" . \
        >"$scratch/build.log" 2>&1 || { tail -n 40 "$scratch/build.log"; fail "the build of $1"; }
    container=$("${buildah[@]}" from "$image")
    containers+=("$container")
    read -ra entry < <("${buildah[@]}" inspect --type image \
        --format '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}' "$image"; echo)
    printf 'built in %d s; %d MB; entry point: %s\n' \
        "$((SECONDS - start))" "$(size_mb)" "${entry[*]}"
    [[ $(inside id -u) != 0 ]] || fail "$1 runs as root"
}

inside() { "${buildah[@]}" run -v "$mounted:/work" "$container" -- "$@"; }

size_mb() {
    "${buildah[@]}" run --user 0 "$container" -- \
        du --summarize --bytes --one-file-system --exclude=/proc --exclude=/sys --exclude=/dev / |
        awk '{printf "%d", $1 / 1e6}'
}

prepare full
inside "${entry[@]}" doctor || fail "edgekd doctor"

say "quickstart in the full image"
inside "${entry[@]}" init quickstart.yaml
began=$SECONDS status=0
inside "${entry[@]}" run quickstart.yaml || status=$?
printf 'quickstart: exit status %d after %d s\n' "$status" "$((SECONDS - began))"
# 1 says that a gate was not kept: that is for this machine's numbers to decide, not the image's.
[[ $status -le 1 ]] || fail "the quickstart"
cd "$mounted"
onnx=(runs/*/*.onnx) pte=(runs/*/*.pte)
for file in runs/*/report.html "${onnx[0]}" "${pte[0]}"; do
    [[ -s $file ]] || fail "the quickstart left no ${file##*/}"
done
cd "$source"
inside "${entry[@]}" plan quickstart.yaml | grep -q 'Nothing to do' || fail "results are not kept"

prepare runtime
slim_mb=$(size_mb)
((slim_mb <= max_slim_mb)) || fail "the runtime image has $slim_mb MB, more than $max_slim_mb"
inside python3 -c 'import importlib.util as u, sys; sys.exit(bool(u.find_spec("torch")))' ||
    fail "torch is in the runtime image"

say "the quickstart's programs in the runtime image"
for file in "${onnx[@]}"; do
    inside "${entry[@]}" bench "$file" --target cpu --mode quick -o "bench/${file##*/}.html"
    [[ -s $mounted/bench/${file##*/}.html ]] || fail "no page of ${file##*/}"
done
status=0
inside "${entry[@]}" bench "${pte[0]}" || status=$?
[[ $status == 2 ]] || fail "a .pte file was not refused"

say "all is well"
