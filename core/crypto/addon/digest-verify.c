/*
 * Verifies a signature over a digest, which node:crypto cannot: its verify() hashes what it is given. Uses the OpenSSL that the
 * node binary exports, so there is no second copy of it, and must be built anew for each version of Node.
 *
 * verify(spki, hash, digest, signature) -> boolean. All but hash are Uint8Arrays; hash is the digest's name. ECDSA takes the
 * signature in DER, RSA is PKCS#1 v1.5. Anything that is not a valid signature is false; only misuse throws.
 */
#include "addon.h"
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/opensslv.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

bool get_bytes(napi_env env, napi_value value, struct bytes *out) {
  bool is_typed = false;
  napi_typedarray_type type;
  void *data = NULL;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed) return false;
  if (napi_get_typedarray_info(env, value, &type, &out->length, &data, NULL, NULL) != napi_ok) return false;
  out->data = data;
  return type == napi_uint8_array;
}

/* The only SubjectPublicKeyInfo of a point of P-256, up to that point, which is not compressed (RFC 5480 §2). */
static const unsigned char p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                          0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
enum { p256_point = p256_spki - sizeof p256_head };

/* Made once and only read afterwards, by whichever thread. NULL without memory. */
static EC_GROUP *p256 = NULL;
static pthread_once_t p256_once = PTHREAD_ONCE_INIT;
static void make_p256(void) { p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1); }

bool is_p256(struct bytes spki) {
  return spki.length == sizeof p256_head + p256_point && memcmp(spki.data, p256_head, sizeof p256_head) == 0 &&
         spki.data[sizeof p256_head] == 0x04 && pthread_once(&p256_once, make_p256) == 0 && p256 != NULL;
}

/*
 * What OpenSSL comes to in the end for this kind of key, without its decoders and providers, which take a third of the time. A point that
 * is not on the curve is refused where it is read, and ECDSA_verify refuses a signature that is not in its one encoding.
 */
bool is_valid_p256(struct bytes spki, struct bytes digest, struct bytes signature) {
  bool valid = false;
  EC_POINT *point = EC_POINT_new(p256);
  EC_KEY *key = EC_KEY_new();
  if (point == NULL || key == NULL) goto done;
  if (EC_POINT_oct2point(p256, point, spki.data + sizeof p256_head, p256_point, NULL) != 1) goto done;
  if (EC_KEY_set_group(key, p256) != 1 || EC_KEY_set_public_key(key, point) != 1) goto done;
  valid = ECDSA_verify(0, digest.data, (int)digest.length, signature.data, (int)signature.length, key) == 1;
done:
  EC_KEY_free(key);
  EC_POINT_free(point);
  ERR_clear_error();
  return valid;
}

EVP_PKEY *read_key(struct bytes spki) {
  const unsigned char *at = spki.data;
  EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.length);
  ERR_clear_error();
  if (key != NULL && at == spki.data + spki.length) return key;
  EVP_PKEY_free(key);
  return NULL;
}

bool is_valid_by(EVP_PKEY *key, const EVP_MD *hash, struct bytes digest, struct bytes signature) {
  bool valid = false;
  EVP_PKEY_CTX *context = NULL;
  int kind = EVP_PKEY_get_base_id(key);
  if (kind != EVP_PKEY_EC && kind != EVP_PKEY_RSA) goto done;
  context = EVP_PKEY_CTX_new(key, NULL);
  if (context == NULL || EVP_PKEY_verify_init(context) != 1) goto done;
  if (kind == EVP_PKEY_RSA && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1) goto done;
  if (EVP_PKEY_CTX_set_signature_md(context, hash) != 1) goto done;
  valid = EVP_PKEY_verify(context, signature.data, signature.length, digest.data, digest.length) == 1;
done:
  EVP_PKEY_CTX_free(context);
  ERR_clear_error();
  return valid;
}

/* One for valid, zero for everything else. */
static bool is_valid(struct bytes spki, const EVP_MD *hash, struct bytes digest, struct bytes signature) {
  /* ECDSA_verify takes any length, and anybody can make a signature over an empty digest. */
  if (digest.length != (size_t)EVP_MD_get_size(hash)) return false;
  if (is_p256(spki)) return is_valid_p256(spki, digest, signature);
  EVP_PKEY *key = read_key(spki);
  bool valid = key != NULL && is_valid_by(key, hash, digest, signature);
  EVP_PKEY_free(key);
  return valid;
}

static napi_value verify(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  size_t count = 4;
  char name[16];
  size_t name_length = 0;
  struct bytes spki, digest, signature;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 4 ||
      !get_bytes(env, arguments[0], &spki) ||
      napi_get_value_string_latin1(env, arguments[1], name, sizeof name, &name_length) != napi_ok ||
      !get_bytes(env, arguments[2], &digest) || !get_bytes(env, arguments[3], &signature)) {
    napi_throw_type_error(env, NULL, "expected (spki, hash, digest, signature)");
    return NULL;
  }
  const EVP_MD *hash = strcmp(name, "sha256") == 0   ? EVP_sha256()
                       : strcmp(name, "sha384") == 0 ? EVP_sha384()
                       : strcmp(name, "sha512") == 0 ? EVP_sha512()
                                                     : NULL;
  if (hash == NULL) {
    napi_throw_type_error(env, NULL, "expected sha256, sha384 or sha512");
    return NULL;
  }
  napi_value result;
  if (napi_get_boolean(env, is_valid(spki, hash, digest, signature), &result) != napi_ok) return NULL;
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function, version;
  if (napi_create_function(env, "verify", NAPI_AUTO_LENGTH, verify, NULL, &function) != napi_ok) return NULL;
  if (napi_set_named_property(env, exports, "verify", function) != napi_ok) return NULL;
  if (!export_pinned(env, exports)) return NULL;
  /* The version these headers belong to: the caller refuses to use us with another OpenSSL. */
  if (napi_create_string_latin1(env, OPENSSL_VERSION_STR, NAPI_AUTO_LENGTH, &version) != napi_ok) return NULL;
  if (napi_set_named_property(env, exports, "openssl", version) != napi_ok) return NULL;
  return exports;
}
