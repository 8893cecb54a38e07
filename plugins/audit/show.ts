/** What was found in the trail, for people. Everything that came from outside is made harmless for a terminal first. */
import type { Deeds, Dossier, SignInRefusal } from "./lookup.ts";
import type { BodyOf } from "./record.ts";
import type { CountedRefusal } from "./refusals.ts";

/** What the reader of a dossier needs besides the trail. */
export interface Shown {
  /** Of the logs that have one: Rekor v1's tree ids, decimal, by log. */
  readonly treeIds: ReadonlyMap<string, string>;
}

const width = 14;

/** Lines about one certificate or key. */
export function showDossier(dossier: Dossier, shown: Shown): readonly string[] {
  const { issued, serial, fingerprint, publicKeySha256, gaps } = dossier;
  const claimed = dossier.signatureEntries
    .flatMap(({ signers }) => signers)
    .find((signer) => signer.fingerprint === fingerprint && signer.san !== undefined);
  const name =
    issued?.san ??
    (claimed === undefined ? "nobody known" : `somebody who claims to be ${claimed.san ?? ""}`);
  return [
    plain(name),
    ...(issued === null ? [] : showIssued(issued)),
    ...line("serial", serial),
    ...line("certificate", fingerprint === null ? null : `sha256:${fingerprint}`),
    ...line("public key", publicKeySha256 === null ? null : `sha256:${publicKeySha256}`),
    ...dossier.refused.flatMap((one) => line("given up", `${time(one.at)} ${one.reason}`)),
    ...block(
      "CT log",
      dossier.certificateEntries.map(
        ({ log, index, at, of }) => `${log} #${index}, ${time(at)}, ${of}`,
      ),
      "no entry",
    ),
    ...block(
      "signatures",
      dossier.signatureEntries.flatMap((one) => showEntry(one, shown)),
      "no entry",
    ),
    ...gaps.flatMap((gap) => line("MISSING", gap)),
  ];
}

/** Lines about what somebody did, oldest first. */
export function showDeeds(
  { certificates, refusals, signIns, signInRefusals }: Deeds,
  shown: Shown,
): readonly string[] {
  const deeds = [
    ...certificates.map((one) => ({ at: startOf(one), lines: showDossier(one, shown) })),
    ...refusals.map((one) => ({ at: one.at, lines: showRefusal(one) })),
    ...signIns.map((one) => ({ at: one.at, lines: showSignIn(one) })),
    ...signInRefusals.map((one) => ({ at: one.at, lines: showSignInRefusal(one) })),
  ];
  return deeds
    .toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    .flatMap(({ lines }, at) => (at === 0 ? lines : ["", ...lines]));
}

/** Text in which nothing can move the cursor or hide. */
export function plain(text: string): string {
  return text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

function startOf({ issued, signatureEntries }: Dossier): string {
  return issued?.at ?? signatureEntries[0]?.at ?? "";
}

function showIssued({
  at,
  oidcIssuer,
  subject,
  san,
  requestId,
  extensions,
  provenance,
}: BodyOf<"issued">) {
  return [
    ...line("issued", time(at)),
    ...line("identity of", `${oidcIssuer}${subject === san ? "" : `, subject ${subject}`}`),
    ...showProvenance(provenance),
    ...Object.entries(extensions).flatMap(([name, value]) => line(spelled(name), value)),
    ...line("request", requestId ?? null),
  ];
}

function showRefusal(refused: BodyOf<"refused">): readonly string[] {
  const { at, code, reason, oidcIssuer, san, subject, serial, requestId, provenance } = refused;
  return [
    `${plain(san ?? subject ?? "somebody")}: refused`,
    ...line("refused", `${time(at)}, ${code}: ${reason}`),
    ...line("identity of", oidcIssuer ?? null),
    ...showProvenance(provenance),
    ...line("serial", serial ?? null),
    ...line("request", requestId ?? null),
  ];
}

const words = {
  account: "with an account of this home",
  "admin-secret": "as a demo account, with the admin secret",
  upstream: "by the word of another provider",
} as const;

function showSignIn(signedIn: BodyOf<"signed-in">): readonly string[] {
  const { at, oidcIssuer, san, subject, audience, by, upstream, tokenSha256 } = signedIn;
  return [
    `${plain(san ?? subject)}: signed in`,
    ...line(
      "signed in",
      `${time(at)}, ${words[by]}${upstream === undefined ? "" : `, ${upstream}`}`,
    ),
    ...line("identity of", `${oidcIssuer}${subject === san ? "" : `, subject ${subject}`}`),
    ...line("token", `sha256:${tokenSha256}, for ${audience}`),
  ];
}

/** A line about refusals of nobody in particular. */
export function showCounted(refusal: CountedRefusal): string {
  const { of, at, code, reason, oidcIssuer, account, network, count } = refusal;
  const who = account === undefined ? "" : `, account ${account}`;
  const by = oidcIssuer === undefined ? "" : `, ${oidcIssuer}`;
  return plain(`${time(at)}  ${count} x ${of}  ${code}: ${reason}${who}, from ${network}${by}`);
}

/** Attempts at the embedded sign-in that came to nothing. */
function showSignInRefusal(refusal: SignInRefusal): readonly string[] {
  const { at, code, reason, oidcIssuer, account, network, count } = refusal;
  return [
    `${plain(account ?? "nobody known")}: sign-in refused${count === 1 ? "" : `, ${count} times`}`,
    ...line("refused", `${time(at)}, ${code}: ${reason}`),
    ...line("at", oidcIssuer),
    ...line("from", network),
  ];
}

function showProvenance(provenance: BodyOf<"issued">["provenance"]): readonly string[] {
  if (provenance === undefined) return line("decided", "before this release kept how");
  const { provider, providerVersion, mappingSha256, assurance, decision } = provenance;
  const { acr, amr = [], authTimeS } = assurance;
  const signedIn = [
    ...(acr === undefined ? [] : [`acr ${acr}`]),
    ...(amr.length === 0 ? [] : [`by ${amr.join(", ")}`]),
    ...(authTimeS === undefined ? [] : [`at ${time(new Date(authTimeS * 1_000).toISOString())}`]),
  ];
  const by =
    decision &&
    `rule ${decision.rule} of policy ${decision.policyVersion} (${decision.policySha256.slice(0, 16)})`;
  return [
    ...line("provider", `${provider}, version ${providerVersion} (${mappingSha256.slice(0, 16)})`),
    ...line(
      "assurance",
      signedIn.length === 0 ? "the token says nothing of it" : signedIn.join(", "),
    ),
    ...line("decided by", by ?? null),
  ];
}

function showEntry(
  { log, index, at, type, digests, leafHash }: BodyOf<"signature-entry">,
  { treeIds }: Shown,
) {
  const treeId = treeIds.get(log);
  return [
    `${log} #${index}, ${time(at)}, ${type}`,
    ...digests.map(({ of, algorithm, value }) => `  ${of} ${algorithm}:${value}`),
    ...(treeId === undefined ? [] : [`  uuid ${uuidOf(treeId, leafHash)}`]),
  ];
}

/** Rekor v1's name of an entry: the tree id as 16 hex digits, then the leaf hash. */
export function uuidOf(treeId: string, leafHash: string): string {
  return BigInt(treeId).toString(16).padStart(16, "0") + leafHash;
}

/** `runInvocationUri` as `run invocation uri`. */
function spelled(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function time(at: string): string {
  return at.replace("T", " ").replace(/\.\d+Z$/, "Z");
}

function line(label: string, value: string | null): readonly string[] {
  return value === null ? [] : [`  ${label.padEnd(width)} ${plain(value)}`];
}

function block(label: string, values: readonly string[], none: string): readonly string[] {
  if (values.length === 0) return line(label, none);
  return values.flatMap((value, at) => line(at === 0 ? label : "", value));
}
