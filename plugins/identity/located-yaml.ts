/** YAML, and JSON as a part of it, with the line of everything: for files whose author has to be told where to look. */
import { isAlias, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

/** A value of a file, and where it stands. */
export interface Located {
  readonly file: string;
  /** `file:line`. */
  readonly where: string;
  /** The members of a map, in order. @throws {Malformed} if it is none; nothing counts as an empty one. */
  entries(): readonly (readonly [string, Located])[];
  /** The members that may be there, each under its first name or the second. @throws {Malformed} on any other. */
  members<Name extends string>(names: { readonly [name in Name]: string }): ReadonlyMap<
    Name,
    Located
  >;
  /** @throws {Malformed} unless it is one. */
  text(): string;
  flag(): boolean;
  /** An error about this place. */
  wrong(what: string): Malformed;
  /** Runs `work`, whose complaint is about this place. */
  attempt<T>(work: () => T): T;
}

/** @throws {Malformed} if it is not YAML. */
export function locate(file: string, bytes: Uint8Array): Located {
  const lines = new LineCounter();
  const document = parseDocument(decodeUtf8(bytes), {
    version: "1.2",
    uniqueKeys: true,
    strict: true,
    lineCounter: lines,
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new Malformed(`${file}: ${problem.message.split("\n")[0] ?? ""}`);
  const resolve = (node: unknown): Node | null => {
    const found: unknown = isAlias(node) ? node.resolve(document) : node;
    return isNode(found) ? found : null;
  };
  const lineOf = (node: Node | null, otherwise: number): number => {
    const offset = node?.range?.[0];
    return offset === undefined ? otherwise : lines.linePos(offset).line;
  };
  return place({ file, resolve, lineOf }, document.contents, 1);
}

interface Reading {
  readonly file: string;
  readonly resolve: (node: unknown) => Node | null;
  readonly lineOf: (node: Node | null, otherwise: number) => number;
}

function place(reading: Reading, node: unknown, line: number): Located {
  const { file, resolve, lineOf } = reading;
  const value = resolve(node);
  const where = `${file}:${line}`;
  const wrong = (what: string) => new Malformed(`${where}: ${what}`);
  const entries = () => {
    if (value === null || (isScalar(value) && value.value === null)) return [];
    if (!isMap(value)) throw wrong("expected a map");
    return value.items.map((pair): readonly [string, Located] => {
      const key = resolve(pair.key);
      if (!isScalar(key) || typeof key.value !== "string") throw wrong("expected names as keys");
      // Where the alias stands that is the key, not where its anchor does.
      const at = lineOf(isNode(pair.key) ? pair.key : key, line);
      return [key.value, place(reading, pair.value, at)];
    });
  };
  return {
    file,
    where,
    entries,
    wrong,
    members<Name extends string>(names: { readonly [name in Name]: string }) {
      const found = new Map<Name, Located>();
      const known = Object.entries(names) as [Name, string][];
      for (const [key, member] of entries()) {
        const name = known.find(([yaml, json]) => key === yaml || key === json)?.[0];
        if (name === undefined) throw member.wrong(`"${key}" cannot be carried over`);
        found.set(name, member);
      }
      return found;
    },
    text() {
      if (isScalar(value) && typeof value.value === "string") return value.value;
      throw wrong("expected a text");
    },
    flag() {
      if (isScalar(value) && typeof value.value === "boolean") return value.value;
      throw wrong("expected true or false");
    },
    attempt(work) {
      try {
        return work();
      } catch (thrown) {
        if (!(thrown instanceof Malformed)) throw thrown;
        throw wrong(thrown.message);
      }
    },
  };
}
