import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { decodeHex, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { authenticate, sameMac } from "../../core/seals.ts";

/** Keys and texts of RFC 4231, cases 1 and 2, behind a label and its zero byte; the MACs are from OpenSSL's command line. */
const vectors = [
  {
    key: "0b".repeat(20),
    label: "ask",
    message: "Hi There",
    mac: "7621e4975b52843070ea418bfd90a2f7e63373eb4fc2f03659e87c019048998e",
  },
  {
    key: "4a656665",
    label: "vouch a b",
    message: "what do ya want for nothing?",
    mac: "26427fa022e9e26ddb0f7cc86ddfa569d6001afe5d596c16183708816496b348",
  },
];

test("a MAC is what another implementation makes", () => {
  for (const { key, label, message, mac } of vectors) {
    expect(encodeHex(authenticate(decodeHex(key), label, encodeUtf8(message)))).toBe(mac);
  }
});

test("another key, label or message has another MAC, and what is a part of a larger array is read as it is", () => {
  const key = randomBytes(32);
  const message = randomBytes(100);
  const mac = authenticate(key, "ask", message);
  expect(sameMac(authenticate(randomBytes(32), "ask", message), mac)).toBe(false);
  expect(sameMac(authenticate(key, "answer", message), mac)).toBe(false);
  expect(sameMac(authenticate(key, "ask", message.subarray(1)), mac)).toBe(false);
  const larger = Uint8Array.from([...randomBytes(7), ...message, ...randomBytes(7)]);
  expect(sameMac(authenticate(key, "ask", larger.subarray(7, 107)), mac)).toBe(true);
  expect(sameMac(mac.subarray(0, 31), mac)).toBe(false);
});
