/** One issuance from request to certificate: authenticate, prove, record, sign, log and have completed, record. */
import * as v from "valibot";
import { sha256 } from "../../core/crypto/hash.ts";
import type { KeyAlgorithm } from "../../core/crypto/keys.ts";
import type { VerifyLater } from "../../core/crypto/once-verify.ts";
import type { DrawRandom } from "../../core/crypto/random.ts";
import { digestOf } from "../../core/formats/digest.ts";
import { putUint } from "../../core/formats/encoding.ts";
import { serialLength } from "../../core/formats/leaf-profile.ts";
import { unverifiedIssuer } from "../../core/formats/unverified-issuer.ts";
import { addChain, addPreChain } from "../../events/ct.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { completeCertificate, type Signable, sign } from "../../events/hsm.ts";
import { authenticate, refusedIdentity } from "../../events/identity.ts";
import type { issueCertificate } from "../../events/issuer.ts";
import { logKeysOf } from "./active.ts";
import type { Authority } from "./authority.ts";
import type { issuer } from "./manifest.ts";
import { proveClaim, readClaim } from "./possession.ts";
import {
  prepareBareLeaf,
  type PreparedBareLeaf,
  type LeafRequest,
  prepareLeaf,
  type PreparedPrecertificate,
  type SecondLooks,
} from "./prepared.ts";
import {
  type Identified,
  type Intent,
  type Issued,
  type Records,
  type Stage,
  stages,
} from "./records.ts";
import type { RefusalCounts } from "./refusals.ts";

/** What the plugin is given. */
export type IssuerContext = Parameters<Parameters<typeof issuer.implement>[0]>[0];

/** What an issuance works with. */
export interface Desk extends Pick<IssuerContext, "ask" | "clock" | "config" | "journal"> {
  /** The CA that is in use; what began with it is finished with it. */
  readonly authority: Authority;
  readonly records: Records;
  /** The keys that are certified. */
  readonly permitted: ReadonlySet<KeyAlgorithm>;
  /** Verifies proofs of possession. */
  readonly verifyProof: VerifyLater;
  readonly looks: SecondLooks;
  readonly random: DrawRandom;
  /** Waits until this one may go on, if many would at once. */
  readonly turn: () => Promise<void>;
  /** Refusals of whoever did not show who it is. */
  readonly refusals: RefusalCounts;
  /** The next notBefore. @throws {Failure} lint-refused if the clock stands before the last one. */
  readonly nextNotBefore: () => Date;
}

/** A question, and the id of the request that it came with. */
type Question = QuestionOf<typeof issueCertificate> & { readonly requestId: string };

/**
 * Issues one certificate or refuses, and has recorded which before it returns or throws; what was refused before anybody was
 * authenticated is counted, and recorded within a second.
 *
 * @throws {Failure}
 */
export async function issue(desk: Desk, question: Question): Promise<Certified> {
  const { idToken, proof, requestId } = question;
  const tokenDigest = digestOf("sha256", idToken);
  let identified: Identified | null = null;
  let accepted: Accepted;
  try {
    const claim = readClaim(proof);
    const publicKeyHash = sha256(claim.publicKey);
    const answer = await desk.ask(authenticate, { idToken, publicKeyHash });
    const { principal, provenance } = answer;
    identified = { principal, provenance };
    const key = await proveClaim(claim, principal.challenge, desk);
    const notBefore = desk.nextNotBefore();
    const notAfter = new Date(notBefore.getTime() + desk.config.lifetimeSeconds * 1_000);
    const serial = newSerial(desk.clock.now(), desk.random);
    const leaf = { principal, key, serial, notBefore, notAfter };
    const prepared = prepare(leaf, desk);
    const { sealed } = answer;
    const request = { ...identified, requestId, tokenDigest };
    const intent = { ...request, serial, sealed, publicKeyHash, notBefore };
    await desk.records.intend(intent);
    accepted = { intent, prepared };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    complain(desk, failure);
    await recordRefusal(desk, { question, tokenDigest, identified }, failure);
    throw failure;
  }
  return await carryOut(desk, accepted);
}

/** A certificate and, unless it embeds one, its SCT. */
export interface Certified {
  readonly certificate: Uint8Array;
  readonly detachedSct?: AnswerOf<typeof addChain>;
}

interface Refused {
  readonly question: Question;
  readonly tokenDigest: Uint8Array;
  readonly identified: Identified | null;
}

/** A row each for those whose identity is known; the others, and who comes too often, must not be able to buy a commit each. */
async function recordRefusal(
  { records, refusals, clock }: Desk,
  { question: { idToken, network, requestId }, tokenDigest, identified }: Refused,
  failure: Failure,
): Promise<void> {
  const known = identified ?? identityIn(failure);
  if (known === null || failure.code === "rate-limited") {
    const oidcIssuer = known?.principal.oidcIssuer ?? unverifiedIssuer(idToken);
    const { code, message: reason } = failure;
    refusals.count({ code, reason, network, ...(oidcIssuer !== null && { oidcIssuer }) });
    return;
  }
  await records.refused({ ...known, requestId, tokenDigest }, failure, clock.now());
}

/** Whom identity knew and the policy refused. */
function identityIn({ code, details }: Failure): Identified | null {
  if (code !== "policy-refused" && code !== "rate-limited") return null;
  return v.parse(refusedIdentity, details);
}

/** An issuance whose intent is durable. */
interface Accepted {
  readonly intent: Intent;
  readonly prepared: Leaf;
}

/** A leaf whose SCT will be in it, or beside it. */
type Leaf =
  | { readonly scts: "embedded"; readonly leaf: PreparedPrecertificate }
  | { readonly scts: "detached"; readonly leaf: PreparedBareLeaf };

function prepare(request: LeafRequest, { authority, looks, config: { scts } }: Desk): Leaf {
  switch (scts) {
    case "embedded":
      return { scts, leaf: prepareLeaf(request, authority, looks) };
    case "detached":
      return { scts, leaf: prepareBareLeaf(request, authority, looks) };
  }
}

async function carryOut(desk: Desk, { intent, prepared }: Accepted): Promise<Certified> {
  // If we crash from here on, the intent is found open at the next start and given up.
  let stage: Stage = "recorded";
  const reach = (next: Stage): void => {
    if (stages.indexOf(next) > stages.indexOf(stage)) stage = next;
  };
  try {
    const { detachedSct, ...issued } =
      prepared.scts === "embedded"
        ? await certify(desk, { intent, leaf: prepared.leaf }, reach)
        : await certifyBare(desk, { intent, leaf: prepared.leaf }, reach);
    await desk.records.issued(intent, issued);
    const { certificate } = issued;
    return { certificate, ...(detachedSct && { detachedSct }) };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    complain(desk, failure);
    await desk.records.abandoned(intent, stage, failure, desk.clock.now());
    throw failure;
  }
}

type Outcome = Issued & Pick<Certified, "detachedSct">;

/** The vault makes the certificate while the log answers; nobody is given it before both have. */
async function certify(
  desk: Desk,
  { intent, leaf }: { readonly intent: Intent; readonly leaf: PreparedPrecertificate },
  reach: (stage: Stage) => void,
): Promise<Outcome> {
  await desk.turn();
  reach("precertificate asked for");
  const precertificate = leaf.signed(await signLeaf(desk, leaf.redeem(), intent));
  reach("precertificate signed");
  const asked = precertificate.redeem();
  reach("certificate asked for");
  const [sct, completed] = await Promise.all([
    reaching("logged", append(desk, addPreChain, precertificate.der), reach),
    reaching("certificate signed", complete(desk, asked, intent), reach),
  ]);
  const issuedAt = desk.clock.now();
  const certificate = precertificate.completed(completed, sct, issuedAt);
  return { certificate, ctTimestampMs: sct.timestampMs, issuedAt };
}

async function reaching<T>(
  stage: Stage,
  work: Promise<T>,
  reach: (stage: Stage) => void,
): Promise<T> {
  const done = await work;
  reach(stage);
  return done;
}

async function complete(
  { ask, authority, config }: Desk,
  precertificate: Uint8Array,
  { sealed }: Intent,
): Promise<AnswerOf<typeof completeCertificate>> {
  const verdict = sha256(sealed.verdict);
  const logs = logKeysOf(config);
  return await ask(completeCertificate, { key: authority.label, precertificate, verdict, logs });
}

/** What is signed here is nobody's until the log has promised to keep it. */
async function certifyBare(
  desk: Desk,
  { intent, leaf }: { readonly intent: Intent; readonly leaf: PreparedBareLeaf },
  reach: (stage: Stage) => void,
): Promise<Outcome> {
  reach("certificate asked for");
  const signed = leaf.signed(await signLeaf(desk, leaf.redeem(), intent));
  reach("certificate signed");
  const detachedSct = await append(desk, addChain, signed.der);
  const issuedAt = desk.clock.now();
  const certificate = signed.logged(detachedSct, issuedAt);
  return { certificate, ctTimestampMs: detachedSct.timestampMs, issuedAt, detachedSct };
}

async function signLeaf(desk: Desk, tbs: Uint8Array, { sealed }: Intent): Promise<Uint8Array> {
  const signable: Signable = { purpose: "certificate", tbs, verdict: sealed };
  const { signatures } = await desk.ask(sign, { key: desk.authority.label, signable });
  const [signature] = signatures;
  if (signature === undefined || signatures.length !== 1) {
    throw new Failure("key-unavailable", "the vault answered without a signature");
  }
  return signature;
}

const notTheRequesters: ReadonlySet<string> = new Set(["chain-rejected", "internal"]);

/** Whatever keeps a leaf out of the log is the log's fault, not the requester's. */
async function append(
  { ask, authority }: Desk,
  add: typeof addPreChain | typeof addChain,
  leaf: Uint8Array,
) {
  try {
    return await ask(add, { chain: [leaf, ...authority.chain] });
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (!notTheRequesters.has(failure.code)) {
      throw new Failure(failure.code, plain(failure.message), { cause: failure });
    }
    throw new Failure("log-unavailable", "the log did not take the certificate", {
      cause: thrown,
    });
  }
}

const maxReasonLength = 512;

/** What a log says may be anything; what is written down of it is one short line. */
function plain(text: string): string {
  return text.slice(0, maxReasonLength).replaceAll(/\p{Cc}/gu, " ");
}

/** Of a serial, at its beginning. */
const serialTimeLength = 6;

/**
 * A serial of twenty octets, positive and never shorter: the time in milliseconds, then 112 random bits, which is more than anybody
 * can guess. Rows under serials are so in the order of time: a store writes the next ones into one page and not each into another.
 */
function newSerial(now: Date, random: DrawRandom): Uint8Array {
  const serial = new Uint8Array(serialLength);
  putUint(serial, 0, now.getTime(), serialTimeLength);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  serial.set(random(serialLength - serialTimeLength), serialTimeLength);
  return serial;
}

/** Operators hear of what they can do something about; what callers did wrong is in the records. */
function complain({ journal }: Desk, { code, blame, message, cause }: Failure): void {
  if (blame !== "caller") journal.warn("certificate-refused", { code, reason: message, cause });
}
