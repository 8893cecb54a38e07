/* ECDSA with a key that is verified with again and again. Nothing here knows of Node. */
#ifndef PINNED_KEY_H
#define PINNED_KEY_H

#include "addon.h"

/* A P-384 signature takes 104 bytes at most, one of P-256 72, one of RSA with 4096 bits 512. */
enum { longest_point = 97, longest_digest = 48, longest_signature = 512 };

struct pinned;

/* One signature to be verified, and whether it is good. */
struct claim {
  unsigned char digest[longest_digest];
  unsigned char signature[longest_signature];
  size_t signature_length;
  bool valid;
};

/* The key of an uncompressed point of P-256 or P-384; NULL if it is none, or there is no memory. */
struct pinned *pinned_new(struct bytes point);
void pinned_free(struct pinned *pinned);

/* How long digests are that its signatures are over. */
size_t pinned_digest_length(const struct pinned *pinned);

/* Decides about all claims. It only reads the key, so that any number of threads may verify with one. */
void pinned_verify(const struct pinned *pinned, struct claim *claims, size_t count);

#endif
