/**
 * The judge: holds what lies on the disk, what the token counted and what clients were told against each other, as reliability.md
 * §4.1 wants it (L1 to L6; of L7 the ledger's chain and the streams). It never asks the service.
 */
import { hash } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { decodeBase64 } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { parsePem } from "../../core/formats/pem.ts";
import { merkleTreeLeaf } from "../../core/formats/sct.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { embeddedSct } from "../support/embedded-sct.ts";
import { readStamp, signaturesIn, type Stamp } from "./accounts.ts";
import type { Ground } from "./ground.ts";
import {
  missingFacts,
  type RawIssuer,
  type RawLog,
  type RawVault,
  readIssuer,
  readLog,
  readTally,
  readVault,
  readVaultFile,
} from "./raw.ts";
import type { EntryV2 } from "./requests.ts";
import { TreeWalk } from "./tree-walk.ts";

/** What a check found. All but the first must be 0 and empty. */
export interface Verdict {
  readonly acknowledged: number;
  /** Answers that the store does not bear out. */
  readonly lost: number;
  /** Sizes with two roots, or shown trees that are no prefix of the log. */
  readonly forks: number;
  /** Signatures of the token that no row of the ledger explains. */
  readonly unexplained: number;
  readonly violations: readonly string[];
}

const logs = [
  { name: "ct", key: "ct-log" },
  { name: "rekor", key: "rekor-v1-log" },
  { name: "rekor-v2", key: "rekor-v2-log" },
] as const;
type LogName = (typeof logs)[number]["name"];

interface Answer {
  readonly kind: "certificate" | "entry" | "entry-v2" | "timestamp";
  readonly certificates?: readonly string[];
  readonly entry?: {
    readonly body: string;
    readonly logIndex: number;
    readonly verification: {
      readonly inclusionProof: { readonly treeSize: number; readonly rootHash: string };
    };
  };
  readonly entryV2?: EntryV2;
  readonly tstInfo?: string;
}

const skewMs = 2_000;

/** Remembers everything that was ever seen of one instance, and checks it as often as asked. */
export class Checker {
  readonly #ground: Ground;
  /** Every tree ever signed or shown, by log and size. */
  readonly #trees = new Map<LogName, Map<number, Set<string>>>(
    logs.map(({ name }) => [name, new Map()]),
  );
  readonly #entries: { readonly log: LogName; readonly index: number; readonly leaf: string }[] =
    [];
  readonly #stamps: Stamp[] = [];
  readonly #certificates: { serial: string; leaf: string; sha256: string }[] = [];
  readonly #madeBefore: ReadonlyMap<string, number>;
  #read = 0;
  #violations: string[] = [];
  #lost = 0;
  #forks = 0;

  constructor(ground: Ground) {
    this.#ground = ground;
    this.#madeBefore = signaturesIn(readVaultFile(join(ground.folder, "vault-before.db"))).made;
  }

  /** No client may have a request under way. */
  check(): Verdict {
    this.#violations = [];
    this.#lost = 0;
    this.#forks = 0;
    const { place, store } = this.#ground;
    this.#readAnswers();
    // The vault first: the stores can only be newer than what it has signed.
    const vault = readVault(place.home);
    const issuer = readIssuer(store);
    this.#vault(vault);
    for (const { name, key } of logs) this.#log(name, key, vault);
    this.#issuer(issuer, vault);
    this.#timestamps(vault);
    const unexplained = this.#accounts(vault);
    for (const partition of [...logs.map(({ name }) => `log-${name}`), "issuer"]) {
      const missing = missingFacts(store, partition);
      if (missing !== 0) this.#violate(`L7: ${missing} facts are missing from ${partition}`);
    }
    return {
      acknowledged: this.#entries.length + this.#certificates.length + this.#stamps.length,
      lost: this.#lost,
      forks: this.#forks,
      unexplained,
      violations: this.#violations,
    };
  }

  #violate(what: string): void {
    if (this.#violations.length < 20) this.#violations.push(what);
  }

  #readAnswers(): void {
    const { answers } = this.#ground;
    const length = statSync(answers).size - this.#read;
    const bytes = Buffer.alloc(length);
    const descriptor = openSync(answers, "r");
    readSync(descriptor, bytes, 0, length, this.#read);
    closeSync(descriptor);
    this.#read += length;
    for (const line of bytes.toString("utf8").split("\n").filter(Boolean)) {
      this.#answer(JSON.parse(line) as Answer);
    }
  }

  #answer({ entry, entryV2, tstInfo, certificates = [] }: Answer): void {
    if (entryV2 !== undefined) {
      const leaf = leafHash(decodeBase64(entryV2.canonicalizedBody)).toHex();
      this.#entries.push({ log: "rekor-v2", index: Number(entryV2.logIndex), leaf });
      const { treeSize, rootHash } = entryV2.inclusionProof;
      this.#saw("rekor-v2", Number(treeSize), decodeBase64(rootHash).toHex());
      return;
    }
    if (tstInfo !== undefined) {
      this.#stamps.push(readStamp(decodeBase64(tstInfo)));
      return;
    }
    if (entry !== undefined) {
      const leaf = leafHash(decodeBase64(entry.body)).toHex();
      this.#entries.push({ log: "rekor", index: entry.logIndex, leaf });
      const { treeSize, rootHash } = entry.verification.inclusionProof;
      this.#saw("rekor", treeSize, rootHash);
      return;
    }
    const [certificate, issuer] = certificates.map((pem) =>
      parseCertificate(parsePem(`${pem}\n`, "CERTIFICATE")),
    );
    if (certificate === undefined || issuer === undefined) throw new Error("a chain is short");
    const { timestampMs, issuerKeyHash, tbs } = embeddedSct(certificate, issuer);
    const logged = merkleTreeLeaf({ kind: "precertificate", timestampMs, issuerKeyHash, tbs });
    this.#certificates.push({
      serial: certificate.serial.toHex(),
      leaf: leafHash(logged).toHex(),
      sha256: hash("sha256", certificate.der),
    });
  }

  #saw(log: LogName, size: number, root: string): void {
    const roots = this.#treesOf(log).get(size) ?? new Set();
    roots.add(root);
    this.#treesOf(log).set(size, roots);
  }

  #treesOf(log: LogName): Map<number, Set<string>> {
    const trees = this.#trees.get(log);
    if (trees === undefined) throw new Error(`nobody judges the log ${log}`);
    return trees;
  }

  #vault({ rows, breaks, heads }: RawVault): void {
    for (const sequence of breaks) this.#violate(`L7: ledger row ${sequence} breaks the chain`);
    for (const { name, key } of logs) {
      const trees = rows.filter((row) => row.key === key && row.binding?.kind === "tree");
      for (const { binding } of trees) {
        this.#saw(name, Number(binding?.size), binding?.root ?? "");
      }
      const head = heads.find((it) => it.key === key);
      const last = trees.at(-1)?.binding;
      if (String(head?.size) !== last?.size || head?.root !== last?.root) {
        this.#violate(`L1: the guard's tree of ${key} is not the ledger's last`);
      }
    }
  }

  #log(name: LogName, key: string, vault: RawVault): void {
    const log = readLog(this.#ground.store, name);
    if (!log.contiguous) this.#violate(`L1: the indices of ${name} have a gap`);
    for (const { size, root } of log.heads) this.#saw(name, size, root);
    const leaves = this.#prefixes(name, log);
    const signed = vault.heads.find((head) => head.key === key)?.size ?? 0;
    const missing =
      name !== "ct"
        ? this.#entries.filter(
            ({ log, index, leaf }) =>
              log === name && (leaves.get(leaf) !== index || index >= signed),
          )
        : this.#certificates.filter(({ leaf }) => (leaves.get(leaf) ?? signed) >= signed);
    if (missing.length > 0) {
      this.#lost += missing.length;
      this.#violate(`L2: ${missing.length} promises of ${name} are not kept at size ${signed}`);
    }
    this.#times(name, log);
  }

  /** Every tree ever seen must be a prefix of the log. Answers indices by leaf hash. */
  #prefixes(name: LogName, { entries }: RawLog): ReadonlyMap<string, number> {
    const walk = new TreeWalk();
    const leaves = new Map<string, number>();
    const seen = this.#treesOf(name);
    const compare = (): void => {
      const roots = seen.get(walk.size);
      if (roots === undefined) return;
      const root = walk.root();
      const others = [...roots].filter((it) => it !== root);
      if (others.length === 0) return;
      this.#forks += others.length;
      this.#violate(`L1: ${name} at size ${walk.size} has the roots ${[root, ...others].join()}`);
    };
    compare();
    for (const { entry } of entries) {
      leaves.set(walk.append(entry).toHex(), walk.size - 1);
      compare();
    }
    const beyond = [...seen.keys()].filter((size) => size > walk.size);
    if (beyond.length > 0) {
      this.#forks++;
      this.#violate(
        `L1: trees of ${name} up to ${Math.max(...beyond)} were signed, it holds ${walk.size}`,
      );
    }
    return leaves;
  }

  #times(name: LogName, { entries, heads }: RawLog): void {
    const latest = BigInt(Date.now() + skewMs);
    const stamps = heads.flatMap(({ timestampMs }) => timestampMs ?? []);
    for (const [what, times] of [
      ["entry", entries.map(({ atMs }) => atMs)],
      ["tree head", stamps],
    ] as const) {
      const back = times.findIndex((time, at) => time < (times[at - 1] ?? 0n));
      if (back >= 0) this.#violate(`L6: ${what} ${back} of ${name} is before the one before it`);
      if (times.some((time) => time > latest)) {
        this.#violate(`L6: a ${what} of ${name} is ahead of the true time`);
      }
    }
  }

  #issuer(issuer: RawIssuer, vault: RawVault): void {
    for (const { serial, sha256 } of this.#certificates) {
      const outcome = issuer.outcomes.get(serial);
      if (outcome?.outcome === "issued" && outcome.certificateSha256 === sha256) continue;
      this.#lost++;
      this.#violate(`L3: certificate ${serial} was handed out, and its outcome is not that`);
    }
    const serials = new Set(this.#certificates.map(({ serial }) => serial));
    if (serials.size !== this.#certificates.length) this.#violate("L4: a serial was used twice");
    for (const serial of issuer.open) this.#violate(`L3: intent ${serial} has no outcome`);
    for (const serial of issuer.intents) {
      if (issuer.outcomes.has(serial) || issuer.open.has(serial)) continue;
      this.#violate(`L3: intent ${serial} is neither open nor has it an outcome`);
    }
    const signed = new Map<string, number>();
    for (const { binding, retryOf, key } of vault.rows) {
      const { kind = "", serial } = binding ?? {};
      if (serial === undefined || key !== "issuing-ca") continue;
      if (!issuer.intents.has(serial) && !this.#ground.intentsElsewhere.has(serial))
        this.#violate(`L3: ${kind} ${serial} has no intent`);
      if (retryOf === undefined)
        signed.set(`${kind} ${serial}`, (signed.get(`${kind} ${serial}`) ?? 0) + 1);
    }
    for (const [what, count] of signed) {
      if (count > 1) this.#violate(`L4: ${what} was signed ${count} times`);
    }
  }

  /** L6 of the timestamp authority, and that no timestamp was given that its vault does not know of. */
  #timestamps({ rows }: RawVault): void {
    const bindings = rows.flatMap(({ binding, retryOf }) =>
      binding?.kind === "stamp" && retryOf === undefined ? binding : [],
    );
    const times = bindings.map(({ genTimeMs }) => BigInt(genTimeMs ?? 0));
    const back = times.findIndex((time, at) => time < (times[at - 1] ?? 0n));
    if (back >= 0) this.#violate(`L6: timestamp ${back} is before the one before it`);
    if (times.some((time) => time > BigInt(Date.now() + skewMs))) {
      this.#violate("L6: a timestamp is ahead of the true time");
    }
    // A token says whole seconds.
    const seconds = times.map((time) => time / 1_000n);
    const known = new Map(bindings.map(({ serial }, at) => [serial, seconds[at]]));
    if (known.size !== bindings.length) this.#violate("L4: a timestamp's serial was used twice");
    for (const { serial, seconds: told } of this.#stamps) {
      if (known.get(serial) === told) continue;
      this.#lost++;
      this.#violate(`L5: the vault knows of no timestamp ${serial} of second ${told}`);
    }
  }

  /** L5. Answers the signatures that nothing explains. */
  #accounts(vault: RawVault): number {
    const { made, possible } = signaturesIn(vault);
    let unexplained = 0;
    for (const [label, counted] of readTally(this.#ground.folder)) {
      const least = (made.get(label) ?? 0) - (this.#madeBefore.get(label) ?? 0);
      const most = least + (possible.get(label) ?? 0);
      if (counted >= least && counted <= most) continue;
      unexplained += Math.abs(counted - (counted < least ? least : most));
      this.#violate(`L5: ${label} made ${counted} signatures, the ledger has ${least} to ${most}`);
    }
    return unexplained;
  }
}
