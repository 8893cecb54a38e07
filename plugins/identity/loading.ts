/** What the configuration names as files: providers pinned by their hash, key sets, authorities, a configuration of Fulcio's. */
import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { Malformed } from "../../core/formats/malformed.ts";
import { readFulcioConfig } from "./fulcio-config.ts";
import { known, type KnownProvider } from "./issuers.ts";
import type { Files } from "./key-rings.ts";
import type { IssuerConfig, identity } from "./manifest.ts";
import { readProvider } from "./provider-file.ts";
import { shippedProviders } from "./shipped.ts";

/** The configuration of this room. */
type IdentityConfig = Parameters<Parameters<typeof identity.implement>[0]>[0]["config"];

/** A configuration with everything it names. */
export interface LoadedIdentity {
  readonly configs: readonly IssuerConfig[];
  readonly providers: readonly KnownProvider[];
  readonly files: Files;
  /** What an operator should look at. */
  readonly warnings: readonly string[];
}

const maxFileBytes = 1_048_576;

/** @throws {Malformed} naming the file and what is wrong with it. */
export async function loadIdentity(
  config: IdentityConfig,
  home: () => string,
): Promise<LoadedIdentity> {
  const read = async (file: string): Promise<Uint8Array> => {
    try {
      const bytes = await readFile(isAbsolute(file) ? file : join(home(), file));
      if (bytes.length > maxFileBytes) throw new Malformed(`${file}: larger than 1 MiB`);
      return new Uint8Array(bytes);
    } catch (thrown) {
      if (thrown instanceof Malformed) throw thrown;
      const why = thrown instanceof Error ? thrown.message : "unknown";
      throw new Malformed(`${file}: cannot be read: ${why}`, { cause: thrown });
    }
  };
  const providers = shippedProviders.map(known);
  for (const { file, sha256 } of config.providers) {
    const added = await readProvider(file, await read(file), sha256);
    if (providers.some(({ provider }) => provider.type === added.provider.type)) {
      throw new Malformed(`${file}: there is a provider "${added.provider.type}" already`);
    }
    providers.push(added);
  }
  const configs = [...config.issuers];
  const files = new Map<string, Uint8Array>();
  const warnings: string[] = [];
  if (config.fulcioConfig !== undefined) {
    const file = config.fulcioConfig;
    const carried = readFulcioConfig(
      file,
      await read(file),
      providers.map(({ provider }) => provider),
    );
    providers.push(...carried.providers.map(known));
    configs.push(...carried.issuers);
    warnings.push(...carried.warnings);
    for (const [name, bytes] of carried.files) files.set(name, bytes);
  }
  for (const { jwksFile, authorityFile } of configs) {
    for (const file of [jwksFile, authorityFile]) {
      if (file !== undefined && !files.has(file)) files.set(file, await read(file));
    }
  }
  return { configs, providers, files, warnings };
}
