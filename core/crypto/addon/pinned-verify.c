/*
 * ECDSA over P-256 with a key that is verified with again and again (FIPS 186-5 §6.4.2). Verification is u1·G + u2·Q; OpenSSL has a
 * table of multiples of the generator G, which makes u1·G cheap, and makes one for u2·Q each time. Here such a table is made once,
 * by making Q the generator of a second group, so that a verification takes half the time.
 *
 * pin(point) -> key or null; verifyPinned(key, digest, signature) -> boolean. Bytes are Uint8Arrays: an uncompressed point (null if
 * it is none of the curve), 32 bytes of digest, the signature in DER. What is not a valid signature is false; only misuse throws.
 */
#include "addon.h"
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>
#include <string.h>

enum { point_length = 65, digest_length = 32, longest_signature = 72 };

struct pinned {
  EC_GROUP *curve;
  /* The curve with Q for its generator, and the table of its multiples. */
  EC_GROUP *keyed;
  EC_POINT *sum;
  EC_POINT *term;
  BN_CTX *numbers;
};

static const napi_type_tag pinned_tag = {0x63e1a7c02b7d4f55, 0x9d1c6e0b8f42aa37};

static void release(struct pinned *pinned) {
  if (pinned == NULL) return;
  EC_POINT_free(pinned->sum);
  EC_POINT_free(pinned->term);
  EC_GROUP_free(pinned->keyed);
  EC_GROUP_free(pinned->curve);
  BN_CTX_free(pinned->numbers);
  free(pinned);
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release(data);
}

/* NULL if the bytes are no point of the curve, or there is no memory. */
static struct pinned *prepare(struct bytes point) {
  struct pinned *made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  made->numbers = BN_CTX_new();
  made->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  if (made->numbers == NULL || made->curve == NULL) goto failed;
  made->keyed = EC_GROUP_dup(made->curve);
  made->sum = EC_POINT_new(made->curve);
  made->term = EC_POINT_new(made->curve);
  if (made->keyed == NULL || made->sum == NULL || made->term == NULL) goto failed;
  /* Refuses what is not on the curve. */
  if (EC_POINT_oct2point(made->curve, made->term, point.data, point.length, made->numbers) != 1) goto failed;
  if (EC_GROUP_set_generator(made->keyed, made->term, EC_GROUP_get0_order(made->curve),
                             EC_GROUP_get0_cofactor(made->curve)) != 1) goto failed;
  if (EC_GROUP_precompute_mult(made->keyed, made->numbers) != 1) goto failed;
  return made;
failed:
  release(made);
  return NULL;
}

/* True if the signature's bytes are the only encoding of r and s, as OpenSSL itself demands. */
static bool is_canonical(const ECDSA_SIG *signature, struct bytes encoded) {
  unsigned char again[longest_signature];
  unsigned char *end = again;
  if (i2d_ECDSA_SIG(signature, NULL) != (int)encoded.length || encoded.length > sizeof again) return false;
  return i2d_ECDSA_SIG(signature, &end) == (int)encoded.length && memcmp(again, encoded.data, encoded.length) == 0;
}

static bool is_in_range(const BIGNUM *number, const BIGNUM *order) {
  return !BN_is_negative(number) && !BN_is_zero(number) && BN_ucmp(number, order) < 0;
}

/* The steps and names of FIPS 186-5 §6.4.2. */
static bool is_valid(struct pinned *key, struct bytes digest, struct bytes encoded) {
  bool valid = false;
  const unsigned char *at = encoded.data;
  ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)encoded.length);
  BN_CTX_start(key->numbers);
  BIGNUM *e = BN_CTX_get(key->numbers);
  BIGNUM *w = BN_CTX_get(key->numbers);
  BIGNUM *u1 = BN_CTX_get(key->numbers);
  BIGNUM *u2 = BN_CTX_get(key->numbers);
  BIGNUM *x = BN_CTX_get(key->numbers);
  if (signature == NULL || x == NULL || !is_canonical(signature, encoded)) goto done;
  const BIGNUM *order = EC_GROUP_get0_order(key->curve);
  const BIGNUM *r = ECDSA_SIG_get0_r(signature);
  const BIGNUM *s = ECDSA_SIG_get0_s(signature);
  if (!is_in_range(r, order) || !is_in_range(s, order)) goto done;
  if (BN_bin2bn(digest.data, (int)digest.length, e) == NULL) goto done;
  if (BN_mod_inverse(w, s, order, key->numbers) == NULL) goto done;
  if (BN_mod_mul(u1, e, w, order, key->numbers) != 1) goto done;
  if (BN_mod_mul(u2, r, w, order, key->numbers) != 1) goto done;
  if (EC_POINT_mul(key->curve, key->sum, u1, NULL, NULL, key->numbers) != 1) goto done;
  if (EC_POINT_mul(key->keyed, key->term, u2, NULL, NULL, key->numbers) != 1) goto done;
  if (EC_POINT_add(key->curve, key->sum, key->sum, key->term, key->numbers) != 1) goto done;
  if (EC_POINT_is_at_infinity(key->curve, key->sum)) goto done;
  if (EC_POINT_get_affine_coordinates(key->curve, key->sum, x, NULL, key->numbers) != 1) goto done;
  if (BN_nnmod(x, x, order, key->numbers) != 1) goto done;
  valid = BN_cmp(x, r) == 0;
done:
  BN_CTX_end(key->numbers);
  ECDSA_SIG_free(signature);
  ERR_clear_error();
  return valid;
}

static napi_value pin(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  size_t count = 1;
  struct bytes point;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      !get_bytes(env, argument, &point) || point.length != point_length) {
    napi_throw_type_error(env, NULL, "expected an uncompressed point of 65 bytes");
    return NULL;
  }
  struct pinned *made = prepare(point);
  ERR_clear_error();
  if (made == NULL) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (napi_create_external(env, made, finalize, NULL, &result) != napi_ok) {
    release(made);
    return NULL;
  }
  return napi_type_tag_object(env, result, &pinned_tag) == napi_ok ? result : NULL;
}

static napi_value verify_pinned(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  size_t count = 3;
  napi_valuetype type;
  bool is_ours = false;
  void *key = NULL;
  struct bytes digest, signature;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      napi_typeof(env, arguments[0], &type) != napi_ok || type != napi_external ||
      napi_check_object_type_tag(env, arguments[0], &pinned_tag, &is_ours) != napi_ok || !is_ours ||
      napi_get_value_external(env, arguments[0], &key) != napi_ok ||
      !get_bytes(env, arguments[1], &digest) || digest.length != digest_length ||
      !get_bytes(env, arguments[2], &signature)) {
    napi_throw_type_error(env, NULL, "expected (key, digest of 32 bytes, signature)");
    return NULL;
  }
  if (napi_get_boolean(env, is_valid(key, digest, signature), &result) != napi_ok) return NULL;
  return result;
}

bool export_pinned(napi_env env, napi_value exports) {
  napi_value function;
  return napi_create_function(env, "pin", NAPI_AUTO_LENGTH, pin, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, "pin", function) == napi_ok &&
         napi_create_function(env, "verifyPinned", NAPI_AUTO_LENGTH, verify_pinned, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, "verifyPinned", function) == napi_ok;
}
