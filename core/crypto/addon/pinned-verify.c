/*
 * Verification with a key that comes again and again, and on other threads, for Node.
 *
 * pin(point) -> key or null: an uncompressed point of P-256 or P-384, null if it is none of the curve.
 * pinLater(point) -> promise of the same, made on a thread of libuv's pool.
 * verifyPinned(key, digest, signature) -> boolean: as many bytes of digest as the curve has, the signature in DER.
 * verifyPinnedMany(key, digests, signatures) -> promise of booleans: arrays of them, on a thread of libuv's pool.
 * verifyMany(keys, digests, signatures) -> promise of booleans: the same with a key for each, the SubjectPublicKeyInfo of an
 * uncompressed point of P-256; for a key that is no such, false.
 * keepRsa(spki) -> key or null: null if it is no RSA key, or one of more than 4096 bits.
 * verifyRsaMany(keys, digests, signatures) -> promise of booleans: the same with RSA keys that are kept, PKCS#1 v1.5 over SHA-256.
 *
 * Bytes are Uint8Arrays. What is not a valid signature is false; only misuse throws.
 */
#include "addon.h"
#include "pinned-key.h"
#include <stdlib.h>
#include <string.h>

enum { most_claims = 4096, sha256_digest = 32 };

static const napi_type_tag pinned_tag = {0x63e1a7c02b7d4f55, 0x9d1c6e0b8f42aa37};

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  pinned_free(data);
}

static bool get_point(napi_env env, napi_callback_info info, struct bytes *point) {
  napi_value argument;
  size_t count = 1;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == napi_ok && count == 1 && get_bytes(env, argument, point) &&
      (point->length == 65 || point->length == longest_point)) {
    return true;
  }
  napi_throw_type_error(env, NULL, "expected an uncompressed point of 65 or 97 bytes");
  return false;
}

/* The key as a value, which has it from then on; null for none. NULL if Node refuses. */
static napi_value wrap(napi_env env, struct pinned *made) {
  napi_value result;
  if (made == NULL) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (napi_create_external(env, made, finalize, NULL, &result) != napi_ok) {
    pinned_free(made);
    return NULL;
  }
  return napi_type_tag_object(env, result, &pinned_tag) == napi_ok ? result : NULL;
}

static napi_value pin(napi_env env, napi_callback_info info) {
  struct bytes point;
  return get_point(env, info, &point) ? wrap(env, pinned_new(point)) : NULL;
}

/* What an external of ours stands for; NULL for every other value. */
static void *get_tagged(napi_env env, napi_value value, const napi_type_tag *tag) {
  napi_valuetype type;
  bool is_ours = false;
  void *held = NULL;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return NULL;
  if (napi_check_object_type_tag(env, value, tag, &is_ours) != napi_ok || !is_ours) return NULL;
  return napi_get_value_external(env, value, &held) == napi_ok ? held : NULL;
}

/* NULL unless the value is a key of ours. */
static struct pinned *get_pinned(napi_env env, napi_value value) {
  return get_tagged(env, value, &pinned_tag);
}

/* Copies what a claim is about, so that no thread looks at memory of JavaScript's. A signature that is too long is an empty one. */
static bool get_claim(napi_env env, size_t digest_length, napi_value digest, napi_value signature, struct claim *claim) {
  struct bytes digested, encoded;
  if (!get_bytes(env, digest, &digested) || digested.length != digest_length) return false;
  if (!get_bytes(env, signature, &encoded)) return false;
  memcpy(claim->digest, digested.data, digested.length);
  claim->signature_length = encoded.length > longest_signature ? 0 : encoded.length;
  if (claim->signature_length > 0) memcpy(claim->signature, encoded.data, claim->signature_length);
  return true;
}

static napi_value verify_pinned(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  size_t count = 3;
  struct pinned *key = NULL;
  struct claim claim;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      (key = get_pinned(env, arguments[0])) == NULL ||
      !get_claim(env, pinned_digest_length(key), arguments[1], arguments[2], &claim)) {
    napi_throw_type_error(env, NULL, "expected (key, digest of the curve's length, signature)");
    return NULL;
  }
  pinned_verify(key, &claim, 1);
  if (napi_get_boolean(env, claim.valid, &result) != napi_ok) return NULL;
  return result;
}

static const napi_type_tag rsa_tag = {0x2f60b8d4a91c4e73, 0xb7350ec1d8f64a19};

static void finalize_rsa(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  EVP_PKEY_free(data);
}

static napi_value keep_rsa(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  size_t count = 1;
  struct bytes spki;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 || !get_bytes(env, argument, &spki)) {
    napi_throw_type_error(env, NULL, "expected a SubjectPublicKeyInfo");
    return NULL;
  }
  EVP_PKEY *key = read_key(spki);
  if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_size(key) > longest_signature) {
    EVP_PKEY_free(key);
    return napi_get_null(env, &result) == napi_ok ? result : NULL;
  }
  if (napi_create_external(env, key, finalize_rsa, NULL, &result) != napi_ok) {
    EVP_PKEY_free(key);
    return NULL;
  }
  return napi_type_tag_object(env, result, &rsa_tag) == napi_ok ? result : NULL;
}

/* A key that another thread makes. */
struct making {
  napi_deferred deferred;
  napi_async_work async;
  struct pinned *made;
  size_t length;
  unsigned char point[longest_point];
};

static void make(napi_env env, void *data) {
  (void)env;
  struct making *making = data;
  making->made = pinned_new((struct bytes){making->point, making->length});
}

static void made(napi_env env, napi_status status, void *data) {
  struct making *making = data;
  napi_value result = NULL, message;
  if (status == napi_ok && (result = wrap(env, making->made)) != NULL) {
    napi_resolve_deferred(env, making->deferred, result);
  } else if (napi_create_string_utf8(env, "the key was not made", NAPI_AUTO_LENGTH, &message) == napi_ok &&
             napi_create_error(env, NULL, message, &result) == napi_ok) {
    napi_reject_deferred(env, making->deferred, result);
  }
  napi_delete_async_work(env, making->async);
  free(making);
}

static napi_value pin_later(napi_env env, napi_callback_info info) {
  struct bytes point;
  napi_value name, promise;
  if (!get_point(env, info, &point)) return NULL;
  struct making *making = calloc(1, sizeof *making);
  if (making == NULL) return NULL;
  memcpy(making->point, point.data, point.length);
  making->length = point.length;
  if (napi_create_string_latin1(env, "pin", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_async_work(env, NULL, name, make, made, making, &making->async) == napi_ok &&
      napi_create_promise(env, &making->deferred, &promise) == napi_ok &&
      napi_queue_async_work(env, making->async) == napi_ok) {
    return promise;
  }
  if (making->async != NULL) napi_delete_async_work(env, making->async);
  free(making);
  return NULL;
}

/* Work for another thread: with one pinned key, or with a key for each, of P-256 or of RSA. */
struct work {
  struct pinned *key;
  /* Keeps the pinned key alive. */
  napi_ref held;
  unsigned char (*keys)[p256_spki];
  EVP_PKEY **rsa;
  napi_deferred deferred;
  napi_async_work async;
  size_t count;
  struct claim claims[];
};

static void execute(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
  if (work->key != NULL) {
    pinned_verify(work->key, work->claims, work->count);
    return;
  }
  for (size_t at = 0; at < work->count; at++) {
    struct claim *claim = &work->claims[at];
    struct bytes digest = {claim->digest, sha256_digest}, signature = {claim->signature, claim->signature_length};
    if (work->rsa != NULL) {
      claim->valid = is_valid_by(work->rsa[at], EVP_sha256(), digest, signature);
      continue;
    }
    struct bytes key = {work->keys[at], p256_spki};
    claim->valid = is_p256(key) && is_valid_p256(key, digest, signature);
  }
}

static bool answer(napi_env env, const struct work *work, napi_value *result) {
  if (napi_create_array_with_length(env, work->count, result) != napi_ok) return false;
  for (size_t at = 0; at < work->count; at++) {
    napi_value valid;
    if (napi_get_boolean(env, work->claims[at].valid, &valid) != napi_ok) return false;
    if (napi_set_element(env, *result, (uint32_t)at, valid) != napi_ok) return false;
  }
  return true;
}

static void release(napi_env env, struct work *work) {
  if (work->async != NULL) napi_delete_async_work(env, work->async);
  if (work->held != NULL) napi_delete_reference(env, work->held);
  for (size_t at = 0; work->rsa != NULL && at < work->count; at++) EVP_PKEY_free(work->rsa[at]);
  free(work->rsa);
  free(work->keys);
  free(work);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct work *work = data;
  napi_value result, message;
  if (status == napi_ok && answer(env, work, &result)) {
    napi_resolve_deferred(env, work->deferred, result);
  } else if (napi_create_string_utf8(env, "the verification was cancelled", NAPI_AUTO_LENGTH, &message) == napi_ok &&
             napi_create_error(env, NULL, message, &result) == napi_ok) {
    napi_reject_deferred(env, work->deferred, result);
  }
  release(env, work);
}

/* Copies a key; one of another length becomes one that is none of P-256. */
static bool get_key(napi_env env, napi_value value, unsigned char key[p256_spki]) {
  struct bytes spki;
  if (!get_bytes(env, value, &spki)) return false;
  if (spki.length == p256_spki) memcpy(key, spki.data, p256_spki);
  return true;
}

/* Takes a share in an RSA key that is kept. */
static bool get_rsa(napi_env env, napi_value value, EVP_PKEY **key) {
  EVP_PKEY *kept = get_tagged(env, value, &rsa_tag);
  if (kept == NULL || EVP_PKEY_up_ref(kept) != 1) return false;
  *key = kept;
  return true;
}

/* Reads one claim, and its key if there is one for each. */
static bool read_claim(napi_env env, const napi_value arguments[3], uint32_t at, struct work *work) {
  napi_value key, digest, signature;
  size_t length = work->key != NULL ? pinned_digest_length(work->key) : sha256_digest;
  if (work->key == NULL) {
    if (napi_get_element(env, arguments[0], at, &key) != napi_ok) return false;
    if (work->rsa != NULL ? !get_rsa(env, key, &work->rsa[at]) : !get_key(env, key, work->keys[at])) return false;
  }
  return napi_get_element(env, arguments[1], at, &digest) == napi_ok &&
         napi_get_element(env, arguments[2], at, &signature) == napi_ok &&
         get_claim(env, length, digest, signature, &work->claims[at]);
}

/* How many there are of each in arrays; 0 if they are no arrays, are of different lengths, or hold too many. */
static uint32_t count_of(napi_env env, const napi_value *arrays, size_t how_many) {
  uint32_t count = 0;
  for (size_t at = 0; at < how_many; at++) {
    bool is_array = false;
    uint32_t length = 0;
    if (napi_is_array(env, arrays[at], &is_array) != napi_ok || !is_array) return 0;
    if (napi_get_array_length(env, arrays[at], &length) != napi_ok || (at > 0 && length != count)) return 0;
    count = length;
  }
  return count > most_claims ? 0 : count;
}

enum keys { pinned_key, p256_keys, rsa_keys };

/* Reads the arrays into new work, whose first argument is `key` or keys of that kind; NULL if they are not what they should be. */
static struct work *read_work(napi_env env, const napi_value arguments[3], enum keys kind, struct pinned *key) {
  uint32_t count = key == NULL ? count_of(env, arguments, 3) : count_of(env, arguments + 1, 2);
  if (count == 0) return NULL;
  struct work *work = calloc(1, sizeof *work + count * sizeof(struct claim));
  if (work == NULL) return NULL;
  work->key = key;
  work->count = count;
  if (kind == p256_keys && (work->keys = calloc(count, sizeof *work->keys)) == NULL) goto failed;
  if (kind == rsa_keys && (work->rsa = calloc(count, sizeof *work->rsa)) == NULL) goto failed;
  for (uint32_t at = 0; at < count; at++) {
    if (!read_claim(env, arguments, at, work)) goto failed;
  }
  return work;
failed:
  release(env, work);
  return NULL;
}

/* Hands work over; NULL if Node refuses. */
static napi_value queue(napi_env env, struct work *work) {
  napi_value name, promise;
  if (napi_create_string_latin1(env, "verify", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, work, &work->async) != napi_ok ||
      napi_create_promise(env, &work->deferred, &promise) != napi_ok || napi_queue_async_work(env, work->async) != napi_ok) {
    release(env, work);
    return NULL;
  }
  return promise;
}

static napi_value verify_pinned_many(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  size_t count = 3;
  struct pinned *key = NULL;
  struct work *work = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      (key = get_pinned(env, arguments[0])) == NULL || (work = read_work(env, arguments, pinned_key, key)) == NULL) {
    napi_throw_type_error(env, NULL, "expected (key, digests of the curve's length, as many signatures)");
    return NULL;
  }
  if (napi_create_reference(env, arguments[0], 1, &work->held) != napi_ok) {
    release(env, work);
    return NULL;
  }
  return queue(env, work);
}

static napi_value verify_each(napi_env env, napi_callback_info info, enum keys kind) {
  napi_value arguments[3];
  size_t count = 3;
  struct work *work = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      (work = read_work(env, arguments, kind, NULL)) == NULL) {
    napi_throw_type_error(env, NULL, "expected (keys, as many digests of 32 bytes, as many signatures)");
    return NULL;
  }
  return queue(env, work);
}

static napi_value verify_many(napi_env env, napi_callback_info info) { return verify_each(env, info, p256_keys); }

static napi_value verify_rsa_many(napi_env env, napi_callback_info info) { return verify_each(env, info, rsa_keys); }

static bool export(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

bool export_pinned(napi_env env, napi_value exports) {
  return export(env, exports, "pin", pin) && export(env, exports, "pinLater", pin_later) &&
         export(env, exports, "verifyPinned", verify_pinned) &&
         export(env, exports, "verifyPinnedMany", verify_pinned_many) && export(env, exports, "verifyMany", verify_many) &&
         export(env, exports, "keepRsa", keep_rsa) && export(env, exports, "verifyRsaMany", verify_rsa_many);
}
