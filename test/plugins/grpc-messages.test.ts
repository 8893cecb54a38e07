/** The generated messages against the `.proto` files they were generated from: `npm run generate` was not forgotten. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { file_fulcio } from "../../plugins/http/proto/fulcio-messages.ts";
import { file_health } from "../../plugins/http/proto/health-messages.ts";

test.for([
  ["fulcio", file_fulcio],
  ["health", file_health],
] as const)("%s-messages.ts is generated from %s.proto as it is", ([name, { proto }]) => {
  const path = new URL(`../../plugins/http/proto/${name}.proto`, import.meta.url);
  const text = readFileSync(path, "utf8");
  const numbered = [...text.matchAll(/^\s*(?:[\w.]+ )*?(\w+) = (\d+);$/gm)];
  const written = numbered.map(([, field, number]) => `${field} ${number}`);
  const generated = [
    ...proto.messageType.flatMap(({ field, enumType }) => [
      ...field.map((one) => `${one.name} ${one.number}`),
      ...enumType.flatMap(({ value }) => value.map((one) => `${one.name} ${one.number}`)),
    ]),
    ...proto.enumType.flatMap(({ value }) => value.map((one) => `${one.name} ${one.number}`)),
  ];
  expect(generated.map(String).toSorted((a, b) => a.localeCompare(b))).toEqual(
    written.toSorted((a, b) => a.localeCompare(b)),
  );
  expect(written.length).toBeGreaterThan(4);
  const methods = [...text.matchAll(/rpc (\w+)\(/g)].map(([, method]) => method);
  expect(proto.service.flatMap(({ method }) => method.map((one) => one.name))).toEqual(methods);
});
