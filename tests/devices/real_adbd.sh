#!/usr/bin/env bash
# The tests of a device against a real adbd: real adb protocol, Linux userland, no Android.
#
#     tests/devices/real_adbd.sh [PYTEST ARGUMENT ...]
#     tests/devices/real_adbd.sh build              only builds it
#     tests/devices/real_adbd.sh run COMMAND ...    anything else there, such as end_to_end.py
#
# Builds adbd from Debian's source package android-platform-tools into CACHE (~/.cache/edgekd-adbd),
# once, and runs it with Android's client and the tests where there is no network but loopback: it
# asks for no key and gives whoever connects a shell. Needs root, Debian 12 and 1 GB there while it
# builds: apt-get install adb g++ dpkg-dev iproute2 libssl-dev libcap-dev \
#   android-libbase-dev android-libcutils-dev android-liblog-dev android-platform-system-core-headers
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${CACHE:-$HOME/.cache/edgekd-adbd}
adbd=$cache/adbd
package=android-platform-tools

sources() {  # the same places that packages come from here, in lists of our own
  mkdir -p "$cache/parts" "$cache/lists/partial"
  { cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
    sed 's/^Types:.*/Types: deb-src/' >"$cache/parts/all.sources"
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$cache/parts/all.list" 2>/dev/null || true
  places=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$cache/parts"
    -o "Dir::State::Lists=$cache/lists" -o APT::Sandbox::User=root)
  apt-get "${places[@]}" -qq update
  (cd "$cache" && apt-get "${places[@]}" -qq source --download-only "$package")
  dpkg-source --no-check -q -x "$cache/${package}"_*.dsc "$cache/tree"
}

patched() {
  cd "$cache/tree/system/core"
  # an annotation that clang alone takes on a definition
  sed -i 's/ EXCLUDES([a-z_]*)//' adb/adb_listeners.cpp
  # never on vsock, which the machine around this one may reach: a network namespace does not hold it
  sed -i -e '/push_back($/{N;/vsock/d}' -e '/push_back(.*"vsock/d' adb/daemon/main.cpp
  if grep -q vsock adb/daemon/main.cpp; then
    echo "adbd would listen on vsock" >&2
    exit 1
  fi
  # it asks for no key, so none is read
  echo 'extern "C" bool android_pubkey_decode(const void*, unsigned long, void**) { return false; }' \
    >adb/daemon/no_key.cpp
}

built() {
  patched
  local files=(adb/{adb,adb_io,adb_listeners,adb_trace,adb_unique_fd,adb_utils,services,sockets}.cpp
    adb/{socket_spec,transport,transport_fd,transport_local,transport_usb,types,sysdeps_unix}.cpp
    adb/fdevent/{fdevent,fdevent_poll,fdevent_epoll}.cpp adb/sysdeps/{errno,posix/network}.cpp
    adb/{shell_service_protocol,adbconnection/adbconnection_server}.cpp
    adb/daemon/{main,auth,no_key,jdwp_service,usb_dummy,file_sync_service,services,shell_service}.cpp
    libasyncio/AsyncIO.cpp diagnose_usb/diagnose_usb.cpp
    ../../frameworks/native/libs/adbd_auth/adbd_auth.cpp)
  local include=(-I/usr/include/android -Iadb -Iadb/daemon/include -Iadb/adbconnection/include
    -Ibase/include -Idiagnose_usb/include -Iinclude -Ilibcrypto_utils/include -Ilibcutils/include
    -Ilibasyncio/include -I../../frameworks/native/libs/adbd_auth/include)
  local library
  library=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/android
  mkdir -p objects
  printf '%s\n' "${files[@]}" | while read -r file; do
    g++ -std=gnu++2a -O1 -w -include atomic -include optional -D_GNU_SOURCE -DADB_HOST=0 \
      -DALLOW_ADBD_ROOT=1 -DALLOW_ADBD_NO_AUTH=1 -DPLATFORM_TOOLS_VERSION='"debian"' \
      -DADB_VERSION='"debian"' "${include[@]}" -c "$file" -o "objects/of_${file//\//_}.o"
  done
  g++ -o "$adbd.new" objects/*.o "-L$library" "-Wl,-rpath,$library" \
    -lbase -lcrypto -lcutils -llog -lcap -lresolv -lutil -lpthread
  mv "$adbd.new" "$adbd"
  rm -rf "$cache/tree" "$cache/lists" "$cache/parts" "$cache/$package"_*
}

if [ ! -x "$adbd" ]; then
  rm -rf "$cache/tree"
  sources
  (built)
fi
cd "$root"
case ${1:-} in
  build) exit ;;
  run) shift ;;
  "") set -- python -m pytest -p no:cacheprovider -k adbd \
    tests/devices/{link/test_attended,test_on_a_device,link/test_bare_link,link/test_bare,over_real_adbd}.py ;;
  *) set -- python -m pytest -p no:cacheprovider "$@" ;;
esac
# every process that is started there ends with it
exec env EDGEKD_ADBD="$adbd" unshare --net --pid --fork --mount-proc --kill-child \
  sh -c 'ip link set lo up && exec "$@"' sh "$@"
