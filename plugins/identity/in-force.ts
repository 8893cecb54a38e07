/**
 * The issuers and providers that are in force: those of the section at the start, and from then on what `config.yaml` of the home and
 * the files it names say, which are looked at every second. What cannot be used leaves the ones before in force, and health says so.
 */
import { createHash, randomInt } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { Malformed } from "../../core/formats/malformed.ts";
import { StartRefused } from "../../core/plugin.ts";
import { createIssuers, type Issuers } from "./issuers.ts";
import { createKeyRings, type KeyRings } from "./key-rings.ts";
import { loadIdentity, type LoadedIdentity } from "./loading.ts";
import { identity } from "./manifest.ts";
import type { UseOnce } from "./one-time.ts";
import { createVerifier, type Verify } from "./verifier.ts";

/** What tokens are held against. */
export interface Force {
  readonly issuers: Issuers;
  readonly verify: Verify;
  readonly rings: KeyRings;
}

/** Keeps issuers in force. */
export interface InForce extends Disposable {
  readonly now: () => Force;
  /** Since when, and why, what is on the disk is not what is in force; null if it is. */
  readonly trouble: () => { readonly reason: string; readonly since: Date } | null;
}

type Context = Parameters<Parameters<typeof identity.implement>[0]>[0];
type Config = Context["config"];

/** How often files are looked at. */
const lookEveryMs = 1_000;

/**
 * Puts the section in force and watches. `useOnce` is null where the section wants no store of used tokens at the start.
 *
 * @throws {StartRefused} if there is nothing to begin with.
 */
export async function enforce(context: Context, useOnce: UseOnce | null): Promise<InForce> {
  const { clock, journal, home } = context;
  const surroundings = { ...context, jitter: () => randomInt(1_000) / 1_000 };
  const force = (config: Config, loaded: LoadedIdentity, before?: KeyRings): Force => {
    refuseNewStore(loaded, useOnce);
    const issuers = createIssuers(loaded.configs, loaded.providers);
    const rings = createKeyRings(surroundings, loaded.files, before);
    // Everything there is to be met is met now, so that health knows of those nobody has asked for yet.
    for (const { config: one } of issuers.configured) {
      const issuer = issuers.find(one.issuerUrl);
      if (issuer !== null) rings.of(issuer);
    }
    const { skewSeconds } = config;
    const verify = createVerifier({ issuers, keysOf: rings.of, clock, skewSeconds, useOnce });
    for (const warning of loaded.warnings) journal.warn("configuration", { warning });
    return { issuers, verify, rings };
  };
  let config = context.config;
  const first = await refusing(async () => await loadIdentity(config, home));
  let digest = digestOf(config, first);
  let now = await refusing(() => force(config, first));
  /** The section that was read last, while it cannot be used: what it names is what somebody is mending. */
  let tried: Config | null = null;
  let seen = "";
  let trouble: ReturnType<InForce["trouble"]> = null;

  const look = async (): Promise<void> => {
    const found = await signatureOf(tried ?? config, home());
    if (found === seen) return;
    seen = found;
    try {
      const next = (await readSection(join(home(), "config.yaml"))) ?? config;
      tried = next;
      const loaded = await loadIdentity(next, home);
      const nextDigest = digestOf(next, loaded);
      if (nextDigest !== digest) {
        now = force(next, loaded, now.rings);
        journal.info("issuers-loaded", { sha256: nextDigest, issuers: loaded.configs.length });
        // What is named now may be other files.
        [config, digest, seen] = [next, nextDigest, ""];
      }
      [tried, trouble] = [null, null];
    } catch (thrown) {
      if (!(thrown instanceof Malformed)) throw thrown;
      const reason = `the issuers cannot be loaded, those before are in force: ${thrown.message}`;
      if (trouble?.reason !== reason) journal.error("issuers-not-loaded", { reason });
      trouble = { reason, since: trouble?.since ?? clock.now() };
    }
  };
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look()
      .catch((cause: unknown) => journal.error("issuers-not-loaded", { cause }))
      .finally(() => (looking = false));
  }, lookEveryMs);
  timer.unref();
  return { now: () => now, trouble: () => trouble, [Symbol.dispose]: () => clearInterval(timer) };
}

/** The store of used tokens is made at a start, and by nobody else. @throws {Malformed} */
function refuseNewStore({ configs }: LoadedIdentity, useOnce: UseOnce | null): void {
  const wants = configs.find(({ oneTime }) => oneTime);
  if (wants === undefined || useOnce !== null) return;
  throw new Malformed(`issuer ${wants.issuerUrl}: the first with oneTime takes a restart`);
}

/** @throws {StartRefused} for what is malformed. */
async function refusing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new StartRefused(thrown.message, { cause: thrown });
  }
}

/** What tells that a file may have changed, of all that the configuration names, without reading them. */
async function signatureOf(config: Config, home: string): Promise<string> {
  const { issuers, providers, fulcioConfig } = config;
  const files = [
    "config.yaml",
    ...providers.map(({ file }) => file),
    ...(fulcioConfig === undefined ? [] : [fulcioConfig]),
    ...issuers
      .flatMap(({ jwksFile, authorityFile }) => [jwksFile ?? [], authorityFile ?? []])
      .flat(),
  ];
  const stats = files.map(async (file) => {
    const path = isAbsolute(file) ? file : join(home, file);
    const found = await stat(path).catch(() => null);
    return found === null ? [file] : [file, found.mtimeMs, found.size, found.ino];
  });
  return JSON.stringify(await Promise.all(stats));
}

/** Of everything that decides what a token comes to. */
function digestOf({ skewSeconds }: Config, { configs, providers, files }: LoadedIdentity): string {
  const known = providers.map(({ provider, sha256 }) => [provider.type, sha256.toHex()]);
  const hash = createHash("sha256").update(JSON.stringify({ skewSeconds, configs, known }));
  for (const [name, bytes] of files) hash.update(`${name} ${bytes.length} `).update(bytes);
  return hash.digest("hex");
}

/** The room's section of a file; null if there is no such file, as where a process is configured otherwise. @throws {Malformed} */
async function readSection(path: string): Promise<Config | null> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true, strict: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) throw new Malformed(`config.yaml: ${problem.message.split("\n")[0] ?? "not YAML"}`);
  const section: unknown = (document.toJS({ maxAliasCount: 0 }) as { identity?: unknown } | null)
    ?.identity;
  const checked = v.safeParse(identity.manifest.config, section);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw new Malformed(`config.yaml: identity.${v.getDotPath(issue) ?? ""}: ${issue.message}`);
}
