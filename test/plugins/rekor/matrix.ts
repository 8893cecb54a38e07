/** Every JSON path of a good value, each with its member deleted, null, empty, of another type or nested. */

type Path = readonly (string | number)[];

/** What is put in a member's place, given what was there; undefined deletes it. */
const replacements: readonly ((value: unknown) => unknown)[] = [
  () => undefined,
  () => null,
  () => "",
  () => "x",
  () => "\u0000",
  () => "A".repeat(100_000),
  () => 0,
  () => -1,
  () => 1.5,
  () => 1e308,
  () => true,
  () => false,
  () => [],
  () => ({}),
  () => [null],
  () => ({ length: 1, 0: "x" }),
  (value) => [value],
  (value) => ({ value }),
  (value) => ({ toString: value }),
  (value) => Array.from({ length: 60 }).reduce((inner: unknown) => [inner], value),
  (value) => (typeof value === "string" ? `${value}=` : [[value]]),
  (value) => (typeof value === "string" ? `\u0001${value}` : { value: null }),
];

function* pathsOf(value: unknown, at: Path = []): Generator<Path> {
  yield at;
  if (value === null || typeof value !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    yield* pathsOf(member, [...at, Array.isArray(value) ? Number(name) : name]);
  }
}

function replace(value: unknown, [first, ...rest]: Path, by: (old: unknown) => unknown): unknown {
  if (first === undefined) return by(value);
  if (Array.isArray(value)) {
    return value
      .map((item, at) => (at === first ? replace(item, rest, by) : (item as unknown)))
      .filter((item) => item !== undefined);
  }
  // Only called with paths that pathsOf has found in this value.
  const members = value as { readonly [name: string]: unknown };
  return { ...members, [first]: replace(members[first], rest, by) };
}

/** A name for each damaged value. */
export function casesOf(value: unknown): { readonly name: string; readonly value: unknown }[] {
  return [...pathsOf(value)].flatMap((path) =>
    replacements.map((by, at) => ({
      name: `${path.join(".") || "(root)"} #${at}`,
      value: replace(value, path, by),
    })),
  );
}
