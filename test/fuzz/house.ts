/** A whole installation in this process: its home by the real genesis, its rooms on a memory bus, its token behind the counting module. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { openStorage, readConfiguration } from "../../config/load.ts";
import { plugins } from "../../config/plugins.ts";
import { createFetch } from "../../core/fetch.ts";
import { makeInstance } from "../../deploy/genesis.ts";
import { bootForTest, silentJournal } from "../support/boot.ts";
import { faultModule } from "../support/fault-module.ts";
import { freePort } from "../support/ports.ts";
import { openOutside, type Outside } from "./outside.ts";

/** An installation that runs here. */
export interface House extends AsyncDisposable {
  readonly home: string;
  readonly port: number;
  readonly tlsPort: number;
  /** Signatures the token has made. */
  readonly signatures: () => number;
  /** Errors the rooms have written into their journals. */
  readonly errors: readonly string[];
  /** Everything that is not this house, watched: nothing of it is reached but what the configuration names. */
  readonly outside: Outside;
}

/** Makes and boots it. */
export async function openHouse(): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), "chancery-fuzz-"));
  const home = join(folder, "home");
  const [port, tlsPort] = [await freePort(), await freePort()];
  await makeInstance(
    { home, port, tlsPort, publicUrl: undefined, once: true },
    new AbortController().signal,
  );
  const outside = await openOutside(home, port);
  const module = faultModule();
  process.env["SOFTHSM2_CONF"] = join(home, "softhsm2-online.conf");
  // In the file, because identity reads its issuers again from there.
  const file = join(home, "config.yaml");
  const written = parseDocument(await readFile(file, "utf8"));
  for (const issuer of outside.issuers) written.addIn(["identity", "issuers"], issuer);
  await writeFile(file, written.toString());
  const { sections } = await readConfiguration(home);
  const errors: string[] = [];
  const installation = await bootForTest({
    entries: plugins,
    config: {
      ...sections,
      // What is behind the door is to be tried, not its patience with bad tokens.
      http: {
        ...(sections["http"] as object),
        limits: { rejectedPerSecondPerNetwork: 1_000_000, burstRejectedPerNetwork: 1_000_000 },
      },
      hsm: { module: module.path, tokenLabel: "chancery-online", hangLimitMs: 0 },
    },
    storage: await openStorage(home),
    fetch: createFetch({
      allowLoopback: true,
      privateHosts: [],
      extraAuthorities: async () => await Promise.resolve([outside.authority]),
      lookup: outside.lookup,
    }),
    home,
    pin: async () => (await readFile(join(home, "secrets", "pin"), "utf8")).trim(),
    journal: (plugin) => ({
      ...silentJournal,
      error: (event, fields) => errors.push(`${plugin} ${event} ${String(fields?.["cause"])}`),
    }),
  });
  return {
    home,
    port,
    tlsPort,
    signatures: module.count,
    errors,
    outside,
    async [Symbol.asyncDispose]() {
      await installation.dispose();
      outside[Symbol.dispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
