/** What lies on a token, before and after: nothing may be there in the end that the ceremony neither found nor made. */
import { encodeHex } from "../../core/formats/encoding.ts";
import type { TokenObject } from "../pkcs11.ts";
import type { TranscriptLine } from "./transcript.ts";

/** One line an object, sorted. */
export type Inventory = readonly string[];

/** Class, label and identifier of each object. */
export function inventoryOf(objects: readonly Omit<TokenObject, "handle">[]): Inventory {
  return objects.map(({ kind, label, id }) => `${kind} ${label} ${encodeHex(id)}`).toSorted();
}

/** What a transcript's lines say must be on a token in the end: what was found, and what was made, without what was destroyed. */
export function expectedInventory(lines: readonly TranscriptLine[], token: string): Inventory {
  const of = (what: string) =>
    lines.filter((line) => line.what === what && line.detail["token"] === token);
  const pairs = (what: string) =>
    of(what).flatMap(({ detail }) =>
      ["private key", "public key"].map(
        (kind) => `${kind} ${String(detail["label"])} ${String(detail["id"])}`,
      ),
    );
  const found = of("inventory before").flatMap(({ detail }) =>
    Array.isArray(detail["objects"]) ? detail["objects"].map(String) : [],
  );
  const gone = new Set(pairs("destroyed"));
  return [...found, ...pairs("key")].filter((object) => !gone.has(object)).toSorted();
}
