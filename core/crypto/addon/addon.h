/* What the addon's files share. */
#ifndef ADDON_H
#define ADDON_H

#include <node_api.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

struct bytes {
  const unsigned char *data;
  size_t length;
};

/* False for anything but a Uint8Array. */
bool get_bytes(napi_env env, napi_value value, struct bytes *out);

/* Bytes of the SubjectPublicKeyInfo of an uncompressed point of P-256. */
enum { p256_spki = 91 };

/* True for such a one, whatever its point. On any thread, as the next. */
bool is_p256(struct bytes spki);

/* True if the signature (DER) is over the digest of 32 bytes by a key that is_p256. */
bool is_valid_p256(struct bytes spki, struct bytes digest, struct bytes signature);

/* The key of a SubjectPublicKeyInfo and nothing behind it; NULL if it is none. */
EVP_PKEY *read_key(struct bytes spki);

/*
 * True if the signature is over the digest, which is as long as the hash: ECDSA (DER) or RSA (PKCS#1 v1.5). Leaves no error in OpenSSL's
 * queue for node to trip over, and only reads the key, on any thread.
 */
bool is_valid_by(EVP_PKEY *key, const EVP_MD *hash, struct bytes digest, struct bytes signature);

/* Adds pinned-verify.c's functions; false if Node refuses. */
bool export_pinned(napi_env env, napi_value exports);

#endif
