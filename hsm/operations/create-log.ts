/**
 * Another transparency log: its key in the vault, bound to its origin, its own storage, and clients that trust it before it takes its
 * first entry. It runs from the next start of the process that hosts logs.
 */
import { importPublicKey } from "../../core/crypto/keys.ts";
import { decodeUtf8, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { noteKeyId } from "../../core/formats/note.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { formatSigningConfig, parseSigningConfig } from "../../core/formats/signing-config.ts";
import {
  formatTrustedRoot,
  logKeyDetails,
  parseTrustedRoot,
  type TrustedLog,
} from "../../core/formats/trusted-root.ts";
import { latestHead } from "../../events/log.ts";
import { VaultRefused } from "../errors.ts";
import {
  conduct,
  type OperationRequest,
  type OperationResult,
  type OperationStep,
  type Site,
} from "./conduct.ts";
import { type Published, readPublished } from "./published.ts";
import {
  generateInVault,
  type NewTarget,
  openOffline,
  publish,
  requireNewKey,
  trustedRootName,
} from "./steps.ts";

/** Kinds of key a log may have. */
export const logAlgorithms = ["ecdsa-p256", "ed25519"] as const;

/** One of {@link logAlgorithms}. */
type LogAlgorithm = (typeof logAlgorithms)[number];

/** What is asked for. */
export interface LogCreation {
  readonly log: string;
  readonly format: "rfc6962" | "rekor-v1" | "rekor-v2";
  /** Label of its key. */
  readonly key: string;
  /** Kind of its key: P-256, or for Rekor v2 Ed25519, which the public network of witnesses demands. */
  readonly algorithm: LogAlgorithm;
  /** First line of its checkpoints (of Rekor v1 followed by the tree's number), and the name on their signature. */
  readonly origin: string;
  /** Where clients find it. */
  readonly baseUrl: string;
  /** True if it is to take the entries that clients send from now on. */
  readonly serve: boolean;
  /** RFC 6962: it takes the certificates that end from `start` on and before `end`. */
  readonly interval?: { readonly start: Date; readonly end: Date } | undefined;
  /** Rekor v1: the tree's number, and the frozen log whose indices it goes on from. */
  readonly tree?: { readonly id: string; readonly after: string } | undefined;
  /** The log of the same format that it takes over from while the instance runs, and for Rekor v1 its own tree's number. */
  readonly takesOver?: { readonly from: string; readonly treeId?: string | undefined } | undefined;
}

/** What only the configuration's room can do: durable, and done again it changes nothing. */
export interface LogHouse {
  /** @throws {VaultRefused} if there is such a log, or storage for one, or no room for it in the configuration. */
  readonly requireNew: (creation: LogCreation) => Promise<void>;
  /** Makes the log's storage, which nothing but this operation does. `announced` if an interrupted run may have made it. */
  readonly createStorage: (log: string, announced: boolean) => Promise<void>;
  /** Adds the log, which begins at an index, to the configuration, and answers the SHA-256 of what that is now. */
  readonly configure: (creation: LogCreation, firstIndex: bigint) => Promise<string>;
}

/** What a log's key signs, by the log's format. */
const purposes = {
  rfc6962: ["scts", "treeHead", "checkpoint"],
  "rekor-v1": ["signedEntryTimestamps", "checkpoint"],
  "rekor-v2": ["checkpoint"],
} as const;

/** How every new log begins: its key, its storage, and clients that trust it before it takes an entry. */
export function announceLog(
  { offlineToken }: OperationRequest,
  creation: LogCreation,
  house: LogHouse,
): readonly OperationStep[] {
  const { log, format, key, algorithm, origin, tree, takesOver } = creation;
  const treeId = tree?.id ?? takesOver?.treeId;
  return [
    openOffline(offlineToken, { certifies: false }),
    generateInVault({
      label: key,
      algorithm,
      purposes: [...purposes[format]],
      askers: ["log"],
      origin: treeId === undefined ? origin : `${origin} - ${treeId}`,
      noteName: origin,
    }),
    makeStorage(log, house),
    publish(`publish trust in ${log}`, async (published, site) => {
      return await withLog(published, creation, site);
    }),
  ];
}

/** Creates a log. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function createLog(
  request: OperationRequest,
  creation: LogCreation,
  house: LogHouse,
): Promise<OperationResult> {
  const { log, format, key, origin, baseUrl, serve, interval, tree } = creation;
  return await conduct(request, {
    name: `create-${log}`,
    parameters: {
      log,
      format,
      key,
      ...algorithmParameter(creation),
      origin,
      baseUrl,
      serve: String(serve),
      ...(tree && { treeId: tree.id, after: tree.after }),
      ...(interval && { start: interval.start.toISOString(), end: interval.end.toISOString() }),
    },
    async precondition() {
      await requireNewKey(request.ask, key);
      await house.requireNew(creation);
      if (tree) await firstIndexAfter(tree.after, request);
    },
    steps: [
      ...announceLog(request, creation, house),
      {
        title: `add ${log} to the configuration`,
        async perform({ bench: { transcript } }) {
          const firstIndex = tree ? await firstIndexAfter(tree.after, request) : 0n;
          const sha256 = await house.configure(creation, firstIndex);
          transcript.once("configured", { log }, () => ({
            sha256,
            firstIndex: String(firstIndex),
          }));
        },
      },
    ],
  });
}

/** Said only where it is not the one that every log had once: an operation that was begun then goes on. */
export function algorithmParameter({ algorithm }: LogCreation): { readonly algorithm?: string } {
  return algorithm === "ecdsa-p256" ? {} : { algorithm };
}

/** Makes a log's storage, once. */
function makeStorage(log: string, house: LogHouse): OperationStep {
  return {
    title: `make the storage of ${log}`,
    async perform({ bench: { transcript } }) {
      const announced = transcript.recall("making storage", { log }) !== null;
      transcript.once("making storage", { log });
      await house.createStorage(log, announced);
      transcript.once("storage", { log });
    },
  };
}

/** The targets by which clients trust a new log. */
async function withLog(
  published: Published,
  { key, format, algorithm, origin, baseUrl, serve }: LogCreation,
  { bench }: Site,
): Promise<readonly NewTarget[]> {
  const root = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
  const { publicKey } = bench.key(key);
  const log: TrustedLog = {
    baseUrl,
    publicKey,
    keyDetails: logKeyDetails(importPublicKey(publicKey).algorithm),
    validFor: { start: bench.startedAt, end: null },
    logId: noteKeyId(origin, publicKey),
  };
  const content = formatTrustedRoot(
    format === "rfc6962"
      ? { ...root, ctlogs: [...root.ctlogs, log] }
      : { ...root, tlogs: [...root.tlogs, log] },
  );
  const of = format === "rfc6962" ? "CTFE" : "Rekor";
  return [
    { name: trustedRootName, content: encodeUtf8(content) },
    {
      name: `${key}.pub`,
      content: encodeUtf8(formatPem("PUBLIC KEY", publicKey)),
      // Clients that choose by usage refuse a log of any other key, and with it everything.
      ...(algorithm === "ecdsa-p256" && { usage: { of, uri: baseUrl } }),
    },
    ...(serve && format !== "rfc6962"
      ? await reopened(published, {
          start: bench.startedAt,
          generation: format === "rekor-v1" ? 1 : 2,
        })
      : []),
  ];
}

/** Where the indices of the tree after a frozen one begin. @throws {VaultRefused} if it is not frozen, for clients too */
async function firstIndexAfter(log: string, { home, ask }: OperationRequest): Promise<bigint> {
  const { logId, head, firstIndex = 0n } = await ask(latestHead, { log });
  const published = await readPublished(home, ask);
  const { tlogs } = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
  const trusted = tlogs.find((one) => equalBytes(one.logId, logId));
  if (!trusted || trusted.validFor.end === null) {
    throw new VaultRefused(
      `"${log}" takes entries: freeze it first (freeze-log ${log} --without-successor)`,
    );
  }
  return firstIndex + head.size;
}

/** Signing configurations in which this generation of Rekor had ended name it again. */
async function reopened(
  published: Published,
  { start, generation }: { readonly start: Date; readonly generation: 1 | 2 },
): Promise<readonly NewTarget[]> {
  const changed: NewTarget[] = [];
  for (const { name } of published.targets.targets) {
    if (!name.startsWith("signing_config")) continue;
    const config = parseSigningConfig(decodeUtf8(await published.read(name)));
    const isEnded = ({ majorApiVersion, validFor }: (typeof config.rekorTlogUrls)[number]) =>
      majorApiVersion === generation && validFor.end !== null;
    if (!config.rekorTlogUrls.some(isEnded)) continue;
    const rekorTlogUrls = config.rekorTlogUrls.map((service) =>
      isEnded(service) ? { ...service, validFor: { start, end: null } } : service,
    );
    const content = formatSigningConfig({ ...config, rekorTlogUrls });
    changed.push({ name, content: encodeUtf8(content) });
  }
  return changed;
}
