/** The product's own source files, parsed once, for the rules that look at them. */
import { globSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { parseSync } from "oxc-parser";

/** Every TypeScript file of ours. */
export const files: readonly string[] = globSync(
  "{core,plugins,hsm,events,config,deploy,test}/**/*.ts",
).toSorted();

/** Files that are part of the product, not its tests. */
export const productFiles: readonly string[] = files.filter((file) => !file.startsWith("test/"));

/** A file's text. */
export const read = (file: string): string => readFileSync(file, "utf8");

/** What a file imports: paths from the root for our own files, names for packages. */
export function importsOf(file: string): string[] {
  const source = read(file);
  const { module, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const specifiers = [
    ...module.staticImports.map((it) => it.moduleRequest.value),
    ...module.staticExports.flatMap((it) =>
      it.entries.flatMap((entry) => entry.moduleRequest?.value ?? []),
    ),
    ...module.dynamicImports.map(({ moduleRequest: { start, end } }) =>
      source.slice(start + 1, end - 1),
    ),
  ];
  return specifiers.map((it) => (it.startsWith(".") ? posix.join(posix.dirname(file), it) : it));
}

/** A declaration at the top of a module that others can import. */
export interface Exported {
  readonly name: string;
  readonly line: number;
  /** True if a doc comment stands right above. */
  readonly documented: boolean;
}

/** What a file exports by declaration; re-exports are documented where they come from. */
export function exportsOf(file: string): Exported[] {
  const source = read(file);
  const { program, comments } = parseSync(file, source);
  return program.body.flatMap((statement) => {
    if (statement.type !== "ExportNamedDeclaration" || !statement.declaration) return [];
    const documented = comments.some(
      ({ type, value, end }) =>
        type === "Block" &&
        value.startsWith("*") &&
        end <= statement.start &&
        /^\s*$/.test(source.slice(end, statement.start)),
    );
    const line = source.slice(0, statement.start).split("\n").length;
    return namesOf(statement.declaration).map((name) => ({ name, line, documented }));
  });
}

/** A file's text with its comments blanked out. */
export function codeOf(file: string): string {
  const source = read(file);
  let code = source;
  for (const { start, end } of parseSync(file, source).comments) {
    const blank = source.slice(start, end).replace(/[^\n]/g, " ");
    code = `${code.slice(0, start)}${blank}${code.slice(end)}`;
  }
  return code;
}

/** Lines that hold code, not comments and not blank. */
export function codeLines(file: string): number {
  return codeOf(file)
    .split("\n")
    .filter((line) => line.trim() !== "").length;
}

interface Declared {
  readonly id?: { readonly name?: string } | null;
  readonly declarations?: readonly { readonly id: { readonly name?: string } }[];
}

function namesOf(declaration: object): string[] {
  // Each kind of declaration has one of the two.
  const { id, declarations } = declaration as Declared;
  if (declarations) return declarations.flatMap((it) => it.id.name ?? []);
  return id?.name === undefined ? [] : [id.name];
}
