/** Says every PKCS#11 call in words, for a dry run. PINs are never said. */
import * as v from "valibot";
import { encodeHex } from "../core/formats/encoding.ts";
import { nameOf } from "./pkcs11-templates.ts";

const attribute = v.object({ type: v.number(), value: v.optional(v.unknown()) });
const mechanism = v.object({ mechanism: v.number() });

/** A library that does the same and tells `say` of each call before it is made. */
export function traced<Library extends object>(
  library: Library,
  say: (call: string) => void,
): Library {
  return new Proxy(library, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...given: unknown[]): unknown => {
        if (typeof name === "string" && name.startsWith("C_")) {
          say(`${name}(${words(name, given).join(", ")})`);
        }
        const result: unknown = Reflect.apply(member, target, given);
        return result;
      };
    },
  });
}

function words(name: string, given: readonly unknown[]): readonly string[] {
  switch (name) {
    case "C_InitToken":
      return ["slot", "SO PIN", JSON.stringify(String(given[2]).trimEnd())];
    case "C_InitPIN":
      return ["session", "PIN"];
    case "C_Login":
      return ["session", nameOf("CKU_", Number(given[1])), "PIN"];
    case "C_Sign":
      return ["session", `input of ${bytesIn(given[1])} bytes`];
    default:
      return given.map(word);
  }
}

function bytesIn(value: unknown): number {
  return value instanceof Uint8Array ? value.length : 0;
}

function word(value: unknown): string {
  // Handles are 8 bytes that mean nothing outside this process.
  if (value instanceof Uint8Array) return "handle";
  const template = v.safeParse(v.array(attribute), value);
  if (template.success) return `{${template.output.map(pair).join(", ")}}`;
  const called = v.safeParse(mechanism, value);
  if (called.success) return nameOf("CKM_", called.output.mechanism);
  return JSON.stringify(value) ?? "null";
}

function pair({ type, value }: v.InferOutput<typeof attribute>): string {
  const name = nameOf("CKA_", type);
  if (value === undefined) return name;
  return `${name}=${value instanceof Uint8Array ? encodeHex(value) : JSON.stringify(value)}`;
}
