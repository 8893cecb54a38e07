/*
 * ECDSA over P-256 and P-384 with a key that is verified with again and again (FIPS 186-5 §6.4.2). Verification is u1·G + u2·Q, and
 * OpenSSL makes a table of multiples of Q each time. Here tables are made once. For P-256, OpenSSL's own, by making Q the generator
 * of a second group; for P-384, where OpenSSL has nothing of the kind, ours: the multiples of both points by the 32 smallest numbers,
 * times 64 to each power, so that a term is a sum of 65 points. What is public is all there is here, so nothing takes constant time.
 *
 * Many signatures share one inversion: the inverse of a product gives those of its factors (Montgomery's trick).
 */
#include "pinned-key.h"
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>
#include <string.h>

enum { window_bits = 6, multiples = 1 << (window_bits - 1), windows = 384 / window_bits + 1 };

/* Of window w, 64^w times 1, 2, … 32 times a point. */
struct table {
  EC_POINT *points[windows * multiples];
};

struct pinned {
  size_t octets;
  EC_GROUP *curve;
  /* P-256: the curve with Q for its generator, and OpenSSL's table of its multiples. */
  EC_GROUP *keyed;
  /* P-384. */
  struct table *of_generator;
  struct table *of_key;
};

/* What a thread needs for itself. */
struct scratch {
  BN_CTX *numbers;
  EC_POINT *sum;
  EC_POINT *term;
};

static void table_free(struct table *table) {
  if (table == NULL) return;
  for (size_t at = 0; at < windows * multiples; at++) EC_POINT_free(table->points[at]);
  free(table);
}

void pinned_free(struct pinned *pinned) {
  if (pinned == NULL) return;
  table_free(pinned->of_generator);
  table_free(pinned->of_key);
  EC_GROUP_free(pinned->keyed);
  EC_GROUP_free(pinned->curve);
  free(pinned);
}

size_t pinned_digest_length(const struct pinned *pinned) { return pinned->octets; }

static struct table *table_new(const EC_GROUP *curve, const EC_POINT *point, BN_CTX *numbers) {
  struct table *made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  for (size_t at = 0; at < windows * multiples; at++) {
    const EC_POINT *before = at == 0 ? NULL : made->points[at - 1];
    EC_POINT *next = EC_POINT_new(curve);
    made->points[at] = next;
    if (next == NULL) goto failed;
    if (at == 0) {
      if (EC_POINT_copy(next, point) != 1) goto failed;
    } else if (at % multiples == 0) {
      /* 32 times the window's point, doubled, is the next window's. */
      if (EC_POINT_dbl(curve, next, before, numbers) != 1) goto failed;
    } else if (EC_POINT_add(curve, next, before, made->points[at - at % multiples], numbers) != 1) {
      goto failed;
    }
  }
  /* Adding a point whose Z is 1 costs less. */
  if (EC_POINTs_make_affine(curve, windows * multiples, made->points, numbers) != 1) goto failed;
  return made;
failed:
  table_free(made);
  return NULL;
}

static bool make_tables(struct pinned *made, const EC_POINT *point, BN_CTX *numbers) {
  if (made->octets == 48) {
    made->of_generator = table_new(made->curve, EC_GROUP_get0_generator(made->curve), numbers);
    made->of_key = table_new(made->curve, point, numbers);
    return made->of_generator != NULL && made->of_key != NULL;
  }
  made->keyed = EC_GROUP_dup(made->curve);
  return made->keyed != NULL &&
         EC_GROUP_set_generator(made->keyed, point, EC_GROUP_get0_order(made->curve),
                                EC_GROUP_get0_cofactor(made->curve)) == 1 &&
         EC_GROUP_precompute_mult(made->keyed, numbers) == 1;
}

struct pinned *pinned_new(struct bytes encoded) {
  struct pinned *made = calloc(1, sizeof *made);
  BN_CTX *numbers = BN_CTX_new();
  EC_POINT *point = NULL;
  bool good = false;
  if (made == NULL || numbers == NULL) goto done;
  made->octets = encoded.length / 2;
  made->curve = EC_GROUP_new_by_curve_name(made->octets == 48 ? NID_secp384r1 : NID_X9_62_prime256v1);
  if (made->curve == NULL) goto done;
  point = EC_POINT_new(made->curve);
  /* Refuses what is not on the curve, and what has not its length. */
  if (point == NULL || EC_POINT_oct2point(made->curve, point, encoded.data, encoded.length, numbers) != 1) goto done;
  if (EC_POINT_is_at_infinity(made->curve, point)) goto done;
  good = make_tables(made, point, numbers);
done:
  EC_POINT_free(point);
  BN_CTX_free(numbers);
  ERR_clear_error();
  if (good) return made;
  pinned_free(made);
  return NULL;
}

/* Adds a multiple of the table's point to the sum. Digits lie between -31 and 32: what is above is taken off again a window higher. */
static bool add_multiple(const struct pinned *key, const struct table *table, const BIGNUM *factor, struct scratch *own) {
  unsigned char octets[48];
  if (BN_bn2lebinpad(factor, octets, sizeof octets) != sizeof octets) return false;
  unsigned carry = 0;
  for (size_t window = 0; window < windows; window++) {
    size_t bit = window * window_bits;
    unsigned two = bit / 8 < sizeof octets ? octets[bit / 8] : 0;
    if (bit / 8 + 1 < sizeof octets) two |= (unsigned)octets[bit / 8 + 1] << 8;
    unsigned digit = ((two >> bit % 8) & (2 * multiples - 1)) + carry;
    carry = digit > multiples;
    if (digit == 0 || digit == 2 * multiples) continue;
    const EC_POINT *term = table->points[window * multiples + (carry ? 2 * multiples - digit : digit) - 1];
    if (carry) {
      if (EC_POINT_copy(own->term, term) != 1) return false;
      if (EC_POINT_invert(key->curve, own->term, own->numbers) != 1) return false;
      term = own->term;
    }
    if (EC_POINT_add(key->curve, own->sum, own->sum, term, own->numbers) != 1) return false;
  }
  return carry == 0;
}

/* The sum is u1·G + u2·Q. */
static bool add_terms(const struct pinned *key, const BIGNUM *u1, const BIGNUM *u2, struct scratch *own) {
  if (key->keyed == NULL) {
    return EC_POINT_set_to_infinity(key->curve, own->sum) == 1 && add_multiple(key, key->of_generator, u1, own) &&
           add_multiple(key, key->of_key, u2, own);
  }
  return EC_POINT_mul(key->curve, own->sum, u1, NULL, NULL, own->numbers) == 1 &&
         EC_POINT_mul(key->keyed, own->term, u2, NULL, NULL, own->numbers) == 1 &&
         EC_POINT_add(key->curve, own->sum, own->sum, own->term, own->numbers) == 1;
}

/*
 * True if the x-coordinate of the sum, modulo the order, is r. The sum has x = X / Z²; instead of dividing, r · Z² is compared with X,
 * for r and, where that is still below the field's prime, for r + n.
 */
static bool has_x(const struct pinned *key, const BIGNUM *r, struct scratch *own) {
  bool equal = false;
  BN_CTX *numbers = own->numbers;
  const BIGNUM *order = EC_GROUP_get0_order(key->curve);
  const BIGNUM *prime = EC_GROUP_get0_field(key->curve);
  if (EC_POINT_is_at_infinity(key->curve, own->sum)) return false;
  BN_CTX_start(numbers);
  BIGNUM *x = BN_CTX_get(numbers);
  BIGNUM *z = BN_CTX_get(numbers);
  BIGNUM *wanted = BN_CTX_get(numbers);
  BIGNUM *above = BN_CTX_get(numbers);
  if (above == NULL) goto done;
  if (EC_POINT_get_Jprojective_coordinates_GFp(key->curve, own->sum, x, NULL, z, numbers) != 1) goto done;
  if (BN_mod_sqr(z, z, prime, numbers) != 1) goto done;
  if (BN_mod_mul(wanted, r, z, prime, numbers) != 1) goto done;
  equal = BN_cmp(wanted, x) == 0;
  if (equal || BN_add(above, r, order) != 1 || BN_cmp(above, prime) >= 0) goto done;
  if (BN_mod_mul(wanted, above, z, prime, numbers) != 1) goto done;
  equal = BN_cmp(wanted, x) == 0;
done:
  BN_CTX_end(numbers);
  return equal;
}

/* True if the signature's bytes are the only encoding of r and s, as OpenSSL itself demands. */
static bool is_canonical(const ECDSA_SIG *signature, const struct claim *claim) {
  unsigned char again[longest_signature];
  unsigned char *end = again;
  if (i2d_ECDSA_SIG(signature, NULL) != (int)claim->signature_length) return false;
  return i2d_ECDSA_SIG(signature, &end) == (int)claim->signature_length &&
         memcmp(again, claim->signature, claim->signature_length) == 0;
}

static bool is_in_range(const BIGNUM *number, const BIGNUM *order) {
  return !BN_is_negative(number) && !BN_is_zero(number) && BN_ucmp(number, order) < 0;
}

/* NULL unless the claim's bytes are r and s in range, encoded as they must be. */
static ECDSA_SIG *read_signature(const struct pinned *key, const struct claim *claim) {
  const BIGNUM *order = EC_GROUP_get0_order(key->curve);
  const unsigned char *at = claim->signature;
  ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)claim->signature_length);
  if (signature != NULL && is_canonical(signature, claim) && is_in_range(ECDSA_SIG_get0_r(signature), order) &&
      is_in_range(ECDSA_SIG_get0_s(signature), order)) {
    return signature;
  }
  ECDSA_SIG_free(signature);
  return NULL;
}

/* The steps and names of FIPS 186-5 §6.4.2, from where the inverse of s is known. */
static bool is_valid(const struct pinned *key, const struct claim *claim, const BIGNUM *r, const BIGNUM *inverse,
                     struct scratch *own) {
  bool valid = false;
  BN_CTX *numbers = own->numbers;
  const BIGNUM *order = EC_GROUP_get0_order(key->curve);
  BN_CTX_start(numbers);
  BIGNUM *e = BN_CTX_get(numbers);
  BIGNUM *u1 = BN_CTX_get(numbers);
  BIGNUM *u2 = BN_CTX_get(numbers);
  if (u2 == NULL || BN_bin2bn(claim->digest, (int)key->octets, e) == NULL) goto done;
  if (BN_mod_mul(u1, e, inverse, order, numbers) != 1) goto done;
  if (BN_mod_mul(u2, r, inverse, order, numbers) != 1) goto done;
  valid = add_terms(key, u1, u2, own) && has_x(key, r, own);
done:
  BN_CTX_end(numbers);
  return valid;
}

/* A claim that can be read, and the product of all s up to its own. */
struct reading {
  struct claim *claim;
  ECDSA_SIG *signature;
  BIGNUM *product;
};

/* Reads what can be read; how many those are. False if there is no memory. */
static bool read_all(const struct pinned *key, struct claim *claims, size_t count, struct reading *readings, size_t *read,
                     BN_CTX *numbers) {
  const BIGNUM *order = EC_GROUP_get0_order(key->curve);
  for (size_t at = 0; at < count; at++) {
    ECDSA_SIG *signature = read_signature(key, &claims[at]);
    if (signature == NULL) continue;
    struct reading *reading = &readings[(*read)++];
    const BIGNUM *s = ECDSA_SIG_get0_s(signature);
    *reading = (struct reading){&claims[at], signature, BN_new()};
    if (reading->product == NULL) return false;
    if (*read == 1) {
      if (BN_copy(reading->product, s) == NULL) return false;
    } else if (BN_mod_mul(reading->product, reading[-1].product, s, order, numbers) != 1) {
      return false;
    }
  }
  return true;
}

void pinned_verify(const struct pinned *key, struct claim *claims, size_t count) {
  const BIGNUM *order = EC_GROUP_get0_order(key->curve);
  struct scratch own = {BN_CTX_new(), EC_POINT_new(key->curve), EC_POINT_new(key->curve)};
  struct reading *readings = calloc(count, sizeof *readings);
  BIGNUM *rest = BN_new(), *inverse = BN_new();
  size_t read = 0;
  for (size_t at = 0; at < count; at++) claims[at].valid = false;
  if (own.numbers == NULL || own.sum == NULL || own.term == NULL || readings == NULL || rest == NULL || inverse == NULL)
    goto done;
  if (!read_all(key, claims, count, readings, &read, own.numbers) || read == 0) goto done;
  if (BN_mod_inverse(rest, readings[read - 1].product, order, own.numbers) == NULL) goto done;
  /* From the last to the first: `rest` is the inverse of the product of all s up to this one. */
  for (size_t at = read; at-- > 0;) {
    struct reading *reading = &readings[at];
    const BIGNUM *r = ECDSA_SIG_get0_r(reading->signature);
    const BIGNUM *s = ECDSA_SIG_get0_s(reading->signature);
    if (at == 0) {
      if (BN_copy(inverse, rest) == NULL) goto done;
    } else if (BN_mod_mul(inverse, rest, readings[at - 1].product, order, own.numbers) != 1 ||
               BN_mod_mul(rest, rest, s, order, own.numbers) != 1) {
      goto done;
    }
    reading->claim->valid = is_valid(key, reading->claim, r, inverse, &own);
  }
done:
  for (size_t at = 0; at < read; at++) {
    ECDSA_SIG_free(readings[at].signature);
    BN_free(readings[at].product);
  }
  free(readings);
  BN_free(rest);
  BN_free(inverse);
  EC_POINT_free(own.sum);
  EC_POINT_free(own.term);
  BN_CTX_free(own.numbers);
  ERR_clear_error();
}
