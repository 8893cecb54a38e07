/** Fulcio, Rekor and the token endpoint over a Sigstore in memory, and a home that knows them: enough to sign with the CLI. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { LogEntry } from "../../core/formats/bundle-entry.ts";
import { decodeBase64, encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { canonicalize } from "../../core/formats/jcs.ts";
import { parseJson } from "../../core/formats/json.ts";
import { formatPem, parsePem } from "../../core/formats/pem.ts";
import { canonicalBody, dsseEntry, parseProposedEntry } from "../../core/formats/rekor-entry.ts";
import { formatTrustedRoot } from "../../core/formats/trusted-root.ts";
import { sigstoreBox, type Spoil } from "./sigstore-box.ts";

interface Told {
  readonly status: number;
  readonly body: string;
}

/** What a test may change between two requests. */
interface Behaviour {
  spoil: Spoil;
  /** Statuses to answer with before the right answer, by path; or whole answers. */
  readonly before: Map<string, (number | Told)[]>;
  /** Requests that came, as `METHOD path`. */
  readonly seen: string[];
}

/** A running box. */
export interface BoxServices extends AsyncDisposable {
  readonly home: string;
  readonly folder: string;
  readonly origin: string;
  readonly behaviour: Behaviour;
}

/** The admin secret of the home. */
export const adminSecret = "box-admin-secret";

/** An ID token nobody signed, which the box's Fulcio takes at its word. */
export function boxToken(claims: { readonly [name: string]: string }): string {
  return [
    "eyJhbGciOiJub25lIn0",
    Buffer.from(JSON.stringify(claims)).toString("base64url"),
    "c2ln",
  ].join(".");
}

/** Starts a box on a free port. */
export async function boxServices(): Promise<BoxServices> {
  const folder = await mkdtemp(join(tmpdir(), "chancery-box-"));
  const home = join(folder, "home");
  const behaviour: Behaviour = { spoil: {}, before: new Map(), seen: [] };
  const answer = await answering(behaviour, home);
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.writeHead(500).end(JSON.stringify({ code: 13, message: String(error) }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // Listening on a port, so the address is one.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const instance = {
    version: 1,
    id: "box",
    origin,
    treeId: "1",
    createdAt: "2026-01-01T00:00:00Z",
  };
  await writeFile(join(home, "instance.json"), JSON.stringify(instance));
  return {
    home,
    folder,
    origin,
    behaviour,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function answering(behaviour: Behaviour, home: string) {
  const box = sigstoreBox(new Date(Date.now() - 86_400_000));
  await mkdir(join(home, "trust"), { recursive: true });
  await mkdir(join(home, "secrets"));
  await writeFile(join(home, "trust", "trusted_root.json"), formatTrustedRoot(box.trustedRoot));
  await writeFile(join(home, "secrets", "admin"), `${adminSecret}\n`);
  const entries = new Map<string, string>();

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method, url = "", headers } = request;
    const body = await text(request);
    behaviour.seen.push(`${method} ${url}`);
    const send = (status: number, value: object, extra: { [name: string]: string } = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...extra });
      response.end(JSON.stringify(value));
    };
    const status = behaviour.before.get(url)?.shift();
    if (typeof status === "object") return send(status.status, parseJson(status.body) as object); // what tests tell
    if (status === 409) {
      const log = JSON.parse(logged(box.log, body, behaviour.spoil)) as object;
      const id = "ab".repeat(32);
      entries.set(`${url}/${id}`, JSON.stringify(log));
      return send(409, { code: 409, message: "exists" }, { location: `/api/v1/log/entries/${id}` });
    }
    if (status !== undefined) return send(status, { code: status, message: "as told" });
    if (entries.has(url)) return send(200, JSON.parse(entries.get(url) ?? "") as object);
    switch (`${method} ${url}`) {
      case "POST /oidc/token": {
        const form = new URLSearchParams(body);
        if (headers.authorization !== `Bearer ${adminSecret}`)
          return send(403, { error: "access_denied" });
        return send(200, { id_token: boxToken({ sub: "1", email: form.get("email") ?? "" }) });
      }
      case "POST /api/v2/signingCert":
        return send(200, certified(box.certify, body, behaviour.spoil));
      case "POST /api/v1/log/entries":
        return send(201, JSON.parse(logged(box.log, body, behaviour.spoil)) as object);
    }
    return send(404, { code: 404, message: "no such thing" });
  };
}

function certified(
  certify: ReturnType<typeof sigstoreBox>["certify"],
  body: string,
  spoil: Spoil,
): object {
  const { credentials, publicKeyRequest } = JSON.parse(body) as {
    credentials: { oidcIdentityToken: string };
    publicKeyRequest: { publicKey: { content: string } };
  };
  const payload = credentials.oidcIdentityToken.split(".")[1] ?? "";
  const { email, sub } = JSON.parse(Buffer.from(payload, "base64url").toString()) as {
    email?: string;
    sub: string;
  };
  const leaf = certify(
    parsePem(publicKeyRequest.publicKey.content, "PUBLIC KEY"),
    {
      san: email === undefined ? { kind: "uri", value: sub } : { kind: "email", value: email },
      oidcIssuer: "http://localhost/oidc",
      at: new Date(Math.floor(Date.now() / 1000) * 1000),
    },
    spoil,
  );
  return {
    signedCertificateEmbeddedSct: { chain: { certificates: [formatPem("CERTIFICATE", leaf)] } },
  };
}

function logged(log: ReturnType<typeof sigstoreBox>["log"], body: string, spoil: Spoil): string {
  const proposed = parseProposedEntry(encodeUtf8(body));
  const entry = proposed.kind === "dsse" ? dsseEntry(proposed, proposed.verifiers) : proposed;
  return anonymous(log(canonicalBody(entry), entry.kind, new Date(), spoil));
}

function anonymous(entry: LogEntry): string {
  const { inclusionProof: proof } = entry;
  if (proof === null || entry.signedEntryTimestamp === null)
    throw new Error("the box promises and proves");
  const anon = {
    logID: encodeHex(entry.logId),
    logIndex: Number(entry.index),
    integratedTime: Number(entry.integratedTimeSeconds),
    body: encodeBase64(entry.canonicalizedBody),
    verification: {
      signedEntryTimestamp: encodeBase64(entry.signedEntryTimestamp),
      inclusionProof: {
        logIndex: Number(proof.index),
        treeSize: Number(proof.size),
        rootHash: encodeHex(proof.root),
        hashes: proof.hashes.map(encodeHex),
        checkpoint: proof.checkpoint,
      },
    },
  };
  return canonicalize(parseJson(JSON.stringify({ ["cd".repeat(40)]: anon })));
}

/** The signature in a bundle's text with its first bit changed. */
export function spoilSignature(bundle: string): string {
  return bundle.replace(/("signature":")([^"]+)/, (_, head: string, base64: string) => {
    const bytes = decodeBase64(base64);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    return head + encodeBase64(bytes);
  });
}
