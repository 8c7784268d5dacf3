#!/bin/sh
# Checks Node.js and installs the Debian packages that lunport is built and tested with.
#
#   tools/setup.sh            everything
#   tools/setup.sh node       only the check of Node.js
#   tools/setup.sh build      what compiling needs; more groups: guest, suites
#   tools/setup.sh --list     prints the packages of all groups, one per line
#
# As root it installs what is missing; otherwise it prints the line to run, and exits 1.
set -eu

# What each group is for is said once, here.
build='g++ make python3'
guest='qemu-system-x86 qemu-utils seabios ovmf mmdebstrap busybox-static cpio e2fsprogs mtools xz-utils'
# An ordinary user makes images in a user namespace of many ids; root needs none.
[ "$(id -u)" -eq 0 ] || guest="$guest uidmap"
suites='qemu-block-extra libiscsi-bin sg3-utils sdparm fio libnbd-bin python3-libnbd nbdkit nbd-client openssl xfsprogs btrfs-progs fuse3'

check_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    found='no node and npm in PATH'
  elif node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
    return
  else
    found="node here is $(node --version)"
  fi
  cat >&2 <<EOF
lunport needs Node.js 20.19 or newer with npm (24 recommended), but $found.
Debian 12 itself carries only Node 18. Take one of
  https://nodejs.org/en/download         an archive or a version manager
  https://deb.nodesource.com/            Debian packages
EOF
  exit 1
}

missing_of() {
  for package in "$@"; do
    case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true) in
      installed) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

[ $# -gt 0 ] || set -- build guest suites
wanted=
for group in "$@"; do
  case $group in
    node) ;;
    build) wanted="$wanted $build" ;;
    guest) wanted="$wanted $guest" ;;
    suites) wanted="$wanted $suites" ;;
    --list)
      printf '%s\n' $build $guest $suites
      exit
      ;;
    *)
      echo "tools/setup.sh: no group called $group" >&2
      exit 2
      ;;
  esac
done

check_node
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  [ -z "$wanted" ] || echo "Not a Debian system: see yourself to the equivalents of$wanted" >&2
  exit 0
fi
missing=$(missing_of $wanted)
[ -n "$missing" ] || exit 0

options='-y -q --no-install-recommends'
if [ "$(id -u)" -ne 0 ]; then
  echo "Debian packages are missing. As root, run:" >&2
  echo "  apt-get update && apt-get install $options $missing" >&2
  exit 1
fi
echo "installing $missing"
export DEBIAN_FRONTEND=noninteractive
apt() {
  apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 "$@" </dev/null
}
apt -q update
apt install $options $missing
