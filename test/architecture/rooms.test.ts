/** Who may import whom. Adding a line here is an architectural decision; say why in the commit. */
import { expect, test } from "vitest";
import { files, importsOf, productFiles } from "./source.ts";

/** First match wins. `$1` is whatever the first group of `who` captured. */
const rooms = [
  { who: "events/", mayImport: "events/" },
  { who: "core/formats/", mayImport: "core/formats/" },
  { who: "core/crypto/", mayImport: "core/(crypto|formats)/" },
  { who: "core/main.ts$", mayImport: "(core|events|config)/" },
  { who: "core/", mayImport: "(core|events)/" },
  {
    who: "hsm/",
    mayImport: "(hsm|events|core/formats|core/crypto)/|core/(plugin|durable|clock|journal).ts$",
  },
  { who: "plugins/identity/providers/", mayImport: "plugins/identity/provider.ts$" },
  {
    who: "plugins/storage/",
    mayImport: "(plugins/storage|core/formats)/|core/(storage|durable|niceness).ts$",
  },
  {
    who: "plugins/([^/]+)/",
    mayImport:
      "(plugins/$1|events|core/formats|core/crypto)/|core/(plugin|storage|durable|clock|journal|fetch|rate|tally|niceness|deadlines).ts$",
  },
  {
    who: "config/",
    mayImport:
      "(config|core|events)/|(hsm|plugins/[^/]+)/(manifest|plugin|commands).ts$|plugins/storage/[a-z]+.ts$",
  },
  {
    who: "deploy/",
    mayImport: "(deploy|config|core/formats)/|core/(acl|durable|exit-codes|node-version).ts$",
  },
  { who: "test/", mayImport: "" },
];

/** Packages that only one place may touch. */
const reserved = [
  { name: "pkcs11js", onlyIn: /^hsm\/pkcs11(-templates)?\.ts$/ },
  { name: "@nats-io/", onlyIn: /^(core\/nats|deploy\/nats)\.ts$/ },
  { name: "fastify", onlyIn: /^plugins\/(http|idp)\// },
  {
    name: "node:http",
    onlyIn: /^plugins\/(http|idp|metrics|client)\/|^deploy\/probe\.ts$|^core\/fetch\.ts$/,
  },
  { name: "node:http2", onlyIn: /^plugins\/(http|idp)\/|^plugins\/client\/workload-api\.ts$/ },
  { name: "@connectrpc/", onlyIn: /^plugins\/http\// },
  { name: "prom-client", onlyIn: /^plugins\/(http|metrics)\/|^core\/meter\.ts$/ },
  { name: "cbor-x", onlyIn: /^core\/wire\.ts$/ },
  { name: "pino", onlyIn: /^core\/pino-journal\.ts$/ },
  { name: "yaml", onlyIn: /^(config|deploy|plugins\/(identity|policy))\/|^hsm\/ceremony\// },
  { name: "xstate", onlyIn: /^hsm\/ceremony\// },
  { name: "@peculiar/x509", onlyIn: /^hsm\/ceremony\// },
  // The search index is derived data: a store of the kernel's would end the process when its disk is full.
  { name: "node:sqlite", onlyIn: /^(plugins\/(storage|search)|hsm)\// },
] as const;

const isOurs = (target: string): boolean => /^[a-z]+\/.*\.ts$/.test(target);
const isPackage = (target: string, name: string): boolean =>
  target === name || target.startsWith(name.endsWith("/") ? name : `${name}/`);

test.for(files)("%s imports only what its room allows", (file) => {
  const room = rooms.find(({ who }) => new RegExp(`^${who}`).test(file));
  if (!room) throw new Error("this file is in no room");
  const own = new RegExp(`^${room.who}`).exec(file)?.[1] ?? "";
  const allowed = new RegExp(`^(?:${room.mayImport.replace("$1", own)})`);
  const imports = importsOf(file);
  expect(imports.filter((target) => isOurs(target) && !allowed.test(target))).toEqual([]);
});

test.for(productFiles)("%s leaves other rooms' packages alone", (file) => {
  const imports = importsOf(file);
  const poached = reserved.filter(
    ({ name, onlyIn }) => !onlyIn.test(file) && imports.some((target) => isPackage(target, name)),
  );
  expect(poached.map(({ name }) => name)).toEqual([]);
});

test("the rules looked at something", () => {
  expect(productFiles.length).toBeGreaterThan(60);
  for (const { onlyIn, name } of reserved) {
    const users = productFiles.filter((file) =>
      importsOf(file).some((target) => isPackage(target, name)),
    );
    expect(
      users.filter((file) => onlyIn.test(file)),
      name,
    ).not.toEqual([]);
  }
});
