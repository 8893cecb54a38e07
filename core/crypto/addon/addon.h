/* What the addon's files share. */
#ifndef ADDON_H
#define ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>

struct bytes {
  const unsigned char *data;
  size_t length;
};

/* False for anything but a Uint8Array. */
bool get_bytes(napi_env env, napi_value value, struct bytes *out);

/* Adds pinned-verify.c's functions; false if Node refuses. */
bool export_pinned(napi_env env, napi_value exports);

#endif
