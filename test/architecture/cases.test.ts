/** Every flaw of others that `test/README.md` lists has the tests it names, and no test names one that is not listed. */
import { expect, test } from "vitest";
import { files, read } from "./source.ts";

const listed = new Map(
  read("test/README.md")
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => cells[1]?.startsWith("TC-") === true)
    .map(([, id = "", , , where = ""]) => [
      id,
      [...where.matchAll(/`([^`]+)`/g)].map(([, file = ""]) => file),
    ]),
);

/** The ids in the names of a file's tests. */
function idsIn(file: string): Set<string> {
  const named = read(file).matchAll(/["'`](?:TC-[A-Z]+\d+[ :,]+)+/g);
  return new Set([...named].flatMap(([text]) => text.match(/TC-[A-Z]+\d+/g) ?? []));
}

const tested = new Map(
  files.filter((file) => file.endsWith(".test.ts")).map((file) => [file, idsIn(file)]),
);

test("the list is whole: no number of a kind is left out", () => {
  for (const [kind, last] of [
    ["F", 11],
    ["J", 8],
  ] as const) {
    for (let number = 1; number <= last; number++) {
      expect([...listed.keys()]).toContain(`TC-${kind}${number}`);
    }
  }
});

test.for([...listed])("%s is tested where the list says", ([id, where]) => {
  expect(where.length).toBeGreaterThan(0);
  for (const file of where) expect([...(tested.get(file) ?? [])], file).toContain(id);
});

test("no test has an id that the list does not know, or is missing from its row", () => {
  const strays = [...tested].flatMap(([file, ids]) =>
    [...ids].filter((id) => listed.get(id)?.includes(file) !== true).map((id) => `${file}: ${id}`),
  );
  expect(strays).toEqual([]);
});
