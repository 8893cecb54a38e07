/**
 * Holds values against schemas of valibot, as valibot would, where a value is right: it is done twice for every ask, and valibot makes
 * an object for each member of each value to be able to say what is wrong with it. Here nothing is said: what is not plainly right is
 * left to the schema itself, which stays the one word on what is right. So this knows only the kinds of schema that `events/` is made of.
 */
import type { Schema } from "../events/contract.ts";

/**
 * The same schema, quicker for values that are right; the very schema if there is something in it that is not known here. What it gives
 * is made of new objects and arrays, as what valibot gives.
 */
export function quick(schema: Schema): Schema {
  const read = compile(schema as unknown as Node); // what it is besides Standard Schema is looked at, not assumed
  if (read === null) return schema;
  const standard = schema["~standard"];
  const validate = (value: unknown): ReturnType<typeof standard.validate> => {
    const given = read(value);
    return given === odd ? standard.validate(value) : { value: given };
  };
  return { "~standard": { version: 1, vendor: standard.vendor, validate } };
}

/** For a value that is not plainly right. */
const odd: unique symbol = Symbol("odd");

/** Gives a value as its schema would, or {@link odd}. */
type Reader = (value: unknown) => unknown;

/** What a schema or an action of valibot may have. */
interface Node {
  readonly kind?: string;
  readonly type?: string;
  readonly async?: boolean;
  readonly fallback?: unknown;
  readonly default?: unknown;
  readonly pipe?: readonly Node[];
  readonly entries?: { readonly [key: string]: Node };
  readonly item?: Node;
  readonly wrapped?: Node;
  readonly key?: unknown;
  readonly value?: Node;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
  readonly check?: (value: unknown) => boolean;
  readonly requirement?: unknown;
}

type Test = (value: unknown) => boolean;

function compile(schema: Node): Reader | null {
  if (schema.kind !== "schema" || schema.async !== false || schema.fallback !== undefined)
    return null;
  if (schema.pipe !== undefined) return compilePipe(schema.pipe);
  switch (schema.type ?? "") {
    case "strict_object":
      return compileObject(schema.entries ?? {});
    case "array":
      return schema.item === undefined ? null : compileArray(schema.item);
    case "optional":
      return schema.wrapped === undefined || schema.default !== undefined
        ? null
        : compileOptional(schema.wrapped);
    case "record":
      return compileRecord(schema);
    case "variant":
      return compileVariant(schema);
    default: {
      const test = testOf(schema);
      return test && ((value) => (test(value) ? value : odd));
    }
  }
}

/** Schemas of what has no parts. */
function testOf({ type = "", literal, options, check }: Node): Test | null {
  switch (type) {
    case "string":
    case "bigint":
    case "boolean":
      return (value) => typeof value === type;
    case "number":
      return (value) => typeof value === "number" && !Number.isNaN(value);
    case "unknown":
      return () => true;
    case "literal":
      return (value) => value === literal;
    case "picklist":
      return options === undefined ? null : (value) => options.includes(value);
    case "custom":
      return check ?? null;
    default:
      return null;
  }
}

function compilePipe([first, ...actions]: readonly Node[]): Reader | null {
  const read = first && compile(first);
  const tests = actions.map(actionOf);
  if (!read || !tests.every((test) => test !== null)) return null;
  const [only] = tests;
  if (only !== undefined && tests.length === 1) {
    return (value) => {
      const given = read(value);
      return given === odd || !only(given) ? odd : given;
    };
  }
  return (value) => {
    const given = read(value);
    if (given === odd) return odd;
    for (const test of tests) if (!test(given)) return odd;
    return given;
  };
}

type Ordered = number | bigint;

/** What the steps of a pipe demand. A length is of text, bytes or an array, and what is compared a number: the schema before says so. */
function actionOf({ kind, type = "", requirement }: Node): Test | null {
  if (kind !== "validation") return null;
  const bound = requirement as Ordered;
  const isBound = typeof requirement === "number" || typeof requirement === "bigint";
  switch (type) {
    case "min_length":
      return isBound ? (value) => (value as ArrayLike<unknown>).length >= bound : null;
    case "max_length":
      return isBound ? (value) => (value as ArrayLike<unknown>).length <= bound : null;
    case "min_value":
      return isBound ? (value) => (value as Ordered) >= bound : null;
    case "max_value":
      return isBound ? (value) => (value as Ordered) <= bound : null;
    case "integer":
    case "safe_integer":
    case "check":
      return typeof requirement === "function" ? (value) => requirement(value) === true : null;
    case "regex":
      return requirement instanceof RegExp && !requirement.global && !requirement.sticky
        ? (value) => requirement.test(value as string)
        : null;
    default:
      return null;
  }
}

function compileObject(entries: { readonly [key: string]: Node }): Reader | null {
  const members = Object.entries(entries).map(([key, schema]) => {
    const read = compile(schema);
    return read && { key, read, optional: schema.type === "optional" };
  });
  if (!members.every((member) => member !== null)) return null;
  // What every object inherits under that name could pass for a member.
  if (members.some(({ key }) => key in Object.prototype)) return null;
  const keys = new Set(members.map(({ key }) => key));
  return (value) => {
    if (!isPlain(value)) return odd;
    const read: { [key: string]: unknown } = {};
    for (const { key, read: readPart, optional } of members) {
      const given = value[key];
      if (given === undefined && !Object.hasOwn(value, key)) {
        if (!optional) return odd;
        continue;
      }
      const part = readPart(given);
      if (part === odd) return odd;
      read[key] = part;
    }
    // By name and not by number: a member that is not enumerable must not make room for one that the schema does not have.
    for (const key in value) if (!keys.has(key)) return odd;
    return read;
  };
}

/** True for objects that inherit nothing but what all do. */
function isPlain(value: unknown): value is { readonly [key: string]: unknown } {
  return (
    typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
  );
}

function compileArray(item: Node): Reader | null {
  const read = compile(item);
  return (
    read &&
    ((value) => {
      if (!Array.isArray(value)) return odd;
      const all: unknown[] = [];
      // By index, as the schema goes: an array may have an iterator of its own that tells of others.
      const given = value as readonly unknown[];
      for (let at = 0; at < given.length; at++) {
        const part = read(given[at]);
        if (part === odd) return odd;
        all.push(part);
      }
      return all;
    })
  );
}

function compileOptional(wrapped: Node): Reader | null {
  const read = compile(wrapped);
  return read && ((value) => (value === undefined ? undefined : read(value)));
}

/** Keys that could be an object's own machinery are left to the schema. */
function compileRecord({ key, value: node }: Node): Reader | null {
  const readKey = compile(key as Node);
  const readValue = node && compile(node);
  if (!readKey || !readValue) return null;
  return (value) => {
    if (typeof value !== "object" || value === null) return odd;
    const given = value as { readonly [key: string]: unknown };
    const read: { [key: string]: unknown } = {};
    for (const name in given) {
      if (name in read || name === "prototype" || !Object.hasOwn(given, name)) return odd;
      if (readKey(name) !== name) return odd;
      const part = readValue(given[name]);
      if (part === odd) return odd;
      read[name] = part;
    }
    return read;
  };
}

/** Only of objects that one member tells apart by a literal, each by another. */
function compileVariant({ key, options = [] }: Node): Reader | null {
  if (typeof key !== "string") return null;
  const readers = new Map<unknown, Reader>();
  for (const option of options as readonly Node[]) {
    const name = option.entries?.[key];
    const read = option.type === "strict_object" ? compile(option) : null;
    if (!read || name?.type !== "literal" || name.pipe !== undefined || readers.has(name.literal)) {
      return null;
    }
    readers.set(name.literal, read);
  }
  return (value) => {
    if (typeof value !== "object" || value === null) return odd;
    const read = readers.get((value as { readonly [name: string]: unknown })[key]);
    return read === undefined ? odd : read(value);
  };
}
