/*
 * Verification with a key that comes again and again, for Node.
 *
 * pin(point) -> key or null: an uncompressed point of P-256 or P-384, null if it is none of the curve.
 * verifyPinned(key, digest, signature) -> boolean: as many bytes of digest as the curve has, the signature in DER.
 * verifyPinnedMany(key, digests, signatures) -> promise of booleans: arrays of them, on a thread of libuv's pool.
 *
 * Bytes are Uint8Arrays. What is not a valid signature is false; only misuse throws.
 */
#include "addon.h"
#include "pinned-key.h"
#include <stdlib.h>
#include <string.h>

enum { most_claims = 4096 };

static const napi_type_tag pinned_tag = {0x63e1a7c02b7d4f55, 0x9d1c6e0b8f42aa37};

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  pinned_free(data);
}

static napi_value pin(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  size_t count = 1;
  struct bytes point;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      !get_bytes(env, argument, &point) || (point.length != 65 && point.length != longest_point)) {
    napi_throw_type_error(env, NULL, "expected an uncompressed point of 65 or 97 bytes");
    return NULL;
  }
  struct pinned *made = pinned_new(point);
  if (made == NULL) return napi_get_null(env, &result) == napi_ok ? result : NULL;
  if (napi_create_external(env, made, finalize, NULL, &result) != napi_ok) {
    pinned_free(made);
    return NULL;
  }
  return napi_type_tag_object(env, result, &pinned_tag) == napi_ok ? result : NULL;
}

/* NULL unless the value is a key of ours. */
static struct pinned *get_pinned(napi_env env, napi_value value) {
  napi_valuetype type;
  bool is_ours = false;
  void *key = NULL;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return NULL;
  if (napi_check_object_type_tag(env, value, &pinned_tag, &is_ours) != napi_ok || !is_ours) return NULL;
  return napi_get_value_external(env, value, &key) == napi_ok ? key : NULL;
}

/* Copies what a claim is about, so that no thread looks at memory of JavaScript's. A signature that is too long is an empty one. */
static bool get_claim(napi_env env, const struct pinned *key, napi_value digest, napi_value signature, struct claim *claim) {
  struct bytes digested, encoded;
  if (!get_bytes(env, digest, &digested) || digested.length != pinned_digest_length(key)) return false;
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
      (key = get_pinned(env, arguments[0])) == NULL || !get_claim(env, key, arguments[1], arguments[2], &claim)) {
    napi_throw_type_error(env, NULL, "expected (key, digest of the curve's length, signature)");
    return NULL;
  }
  pinned_verify(key, &claim, 1);
  if (napi_get_boolean(env, claim.valid, &result) != napi_ok) return NULL;
  return result;
}

/* Work for another thread. */
struct work {
  struct pinned *key;
  /* Keeps the key alive. */
  napi_ref held;
  napi_deferred deferred;
  napi_async_work async;
  size_t count;
  struct claim claims[];
};

static void execute(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
  pinned_verify(work->key, work->claims, work->count);
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

/* Reads the arrays into new work; NULL if they are not what they should be. */
static struct work *read_work(napi_env env, const napi_value arguments[3]) {
  struct pinned *key = get_pinned(env, arguments[0]);
  uint32_t count = 0, others = 0;
  bool are_arrays[2] = {false, false};
  if (key == NULL || napi_is_array(env, arguments[1], &are_arrays[0]) != napi_ok ||
      napi_is_array(env, arguments[2], &are_arrays[1]) != napi_ok || !are_arrays[0] || !are_arrays[1] ||
      napi_get_array_length(env, arguments[1], &count) != napi_ok ||
      napi_get_array_length(env, arguments[2], &others) != napi_ok || count != others || count == 0 || count > most_claims) {
    return NULL;
  }
  struct work *work = calloc(1, sizeof *work + count * sizeof(struct claim));
  if (work == NULL) return NULL;
  work->key = key;
  work->count = count;
  for (uint32_t at = 0; at < count; at++) {
    napi_value digest, signature;
    if (napi_get_element(env, arguments[1], at, &digest) != napi_ok ||
        napi_get_element(env, arguments[2], at, &signature) != napi_ok ||
        !get_claim(env, key, digest, signature, &work->claims[at])) {
      free(work);
      return NULL;
    }
  }
  return work;
}

static napi_value verify_many(napi_env env, napi_callback_info info) {
  napi_value arguments[3], name, promise;
  size_t count = 3;
  struct work *work = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      (work = read_work(env, arguments)) == NULL) {
    napi_throw_type_error(env, NULL, "expected (key, digests of the curve's length, as many signatures)");
    return NULL;
  }
  if (napi_create_reference(env, arguments[0], 1, &work->held) != napi_ok ||
      napi_create_string_latin1(env, "verifyPinnedMany", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, work, &work->async) != napi_ok ||
      napi_create_promise(env, &work->deferred, &promise) != napi_ok || napi_queue_async_work(env, work->async) != napi_ok) {
    release(env, work);
    return NULL;
  }
  return promise;
}

static bool export(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

bool export_pinned(napi_env env, napi_value exports) {
  return export(env, exports, "pin", pin) && export(env, exports, "verifyPinned", verify_pinned) &&
         export(env, exports, "verifyPinnedMany", verify_many);
}
