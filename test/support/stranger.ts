/** A stranger with the npm client `sigstore`, who signs and verifies against an instance that changes, and keeps all that was signed. */
import { X509Certificate } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { chancery, freshPlace, type Instance, type Place, startInstance } from "./instance.ts";
import { type Acknowledged, demoToken, signOnce } from "./signer.ts";
import { preparedPlace } from "./prepared.ts";
import { installSigstoreClient, type Job, type SigstoreClient } from "./sigstore-client.ts";

/** The parts of a bundle that are looked at. */
export interface Bundle {
  verificationMaterial: {
    certificate?: { rawBytes: string };
    x509CertificateChain?: { certificates: { rawBytes: string }[] };
    timestampVerificationData?: unknown;
    tlogEntries: { logIndex: string; canonicalizedBody: string; logId: { keyId: string } }[];
  };
}

const email = "ada@example.com";
const artifact = new TextEncoder().encode("the analytical engine");
const v2Target = "signing_config_rekor_v2.v0.2.json";

type FreshPlace = Place & { readonly remove: () => Promise<void> };

/** Signings that go on until they are ended. */
export interface SigningStream {
  readonly end: () => Promise<readonly Acknowledged[]>;
}

/** One stranger and the instance, which is the stranger's own. */
export class Stranger implements AsyncDisposable {
  /** Everything that was signed, and when. */
  readonly bundles: { readonly when: string; readonly bundle: Bundle }[] = [];
  instance: Instance;
  #verified = 0;
  readonly #client: SigstoreClient;
  readonly #place: FreshPlace;

  private constructor(client: SigstoreClient, place: FreshPlace, instance: Instance) {
    this.#client = client;
    this.#place = place;
    this.instance = instance;
  }

  /** The instance is made by the demo's genesis unless another is named. */
  static async arrive(genesis?: string): Promise<Stranger> {
    const fresh = genesis === undefined ? await preparedPlace() : await freshPlace();
    const client = await installSigstoreClient();
    const place = { ...fresh, ...(genesis !== undefined && { genesis }) };
    return new Stranger(client, place, await startInstance(place));
  }

  async restart(): Promise<void> {
    await this.instance.stop();
    this.instance = await startInstance(this.#place);
  }

  /** Runs `chancery operate` on the instance's home. */
  async operate(...args: readonly string[]) {
    return await chancery(this.instance.home, "operate", ...args);
  }

  /** Signs and logs in v1 until it is ended; what fails is tried again, as a client would. */
  stream(): SigningStream {
    const acknowledged: Acknowledged[] = [];
    let over = false;
    const lanes = Array.from({ length: 2 }, async () => {
      while (!over) {
        const one = await demoToken(this.instance, email)
          .then(async (token) => await signOnce(this.instance, token, email))
          .catch(() => null);
        if (one === null) await sleep(50);
        else acknowledged.push(one);
        // Not to measure, but to be there whenever something happens.
        await sleep(80);
      }
    });
    return {
      async end() {
        over = true;
        await Promise.all(lanes);
        return acknowledged;
      },
    };
  }

  /** The npm client signs and verifies; answers who issued. */
  async signAndVerify(when: string): Promise<string> {
    const options = {
      fulcioURL: this.instance.origin,
      rekorURL: this.instance.origin,
      identityToken: await demoToken(this.instance, email),
    };
    const bundle = (await this.#client.run({ action: "sign", data: artifact, options })) as Bundle;
    this.bundles.push({ when, bundle });
    await this.verify(bundle, await this.trust("one"));
    const { certificate, x509CertificateChain } = bundle.verificationMaterial;
    const leaf = certificate ?? x509CertificateChain?.certificates[0];
    return new X509Certificate(Buffer.from(leaf?.rawBytes ?? "", "base64")).issuer;
  }

  /** Everything that was ever signed verifies, for a client that has been there all the time, one that comes anew, and our CLI. */
  async verifyAll(): Promise<void> {
    const fresh = await this.trust(`fresh-${this.#verified++}`);
    await Promise.all([this.#verifyEach(await this.trust("one")), this.#verifyEach(fresh)]);
    for (const { when, bundle } of this.bundles) {
      const folder = join(this.#client.folder, "cli");
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, "artifact"), artifact);
      await writeFile(join(folder, "bundle.json"), JSON.stringify(bundle));
      const verified = await chancery(
        this.instance.home,
        "verify",
        join(folder, "artifact"),
        `--bundle=${join(folder, "bundle.json")}`,
        `--certificate-identity=${email}`,
        `--certificate-oidc-issuer=${this.instance.origin}/oidc`,
      );
      expect(verified, when).toMatchObject({ code: 0 });
    }
  }

  async verify(bundle: Bundle, options: object): Promise<void> {
    const signer = await this.#client.run(verificationOf(bundle, options));
    expect(signer).toMatchObject({ subjectAlternativeName: email });
  }

  /** One client, which trusts what it is told, looks at everything. */
  async #verifyEach(options: object): Promise<void> {
    const jobs = this.bundles.map(({ bundle }) => verificationOf(bundle, options));
    const signers = await this.#client.runAll(jobs);
    for (const [at, { when }] of this.bundles.entries()) {
      expect(signers[at], when).toMatchObject({ subjectAlternativeName: email });
    }
  }

  /** The npm client signs with Rekor v2, given only the signing configuration that TUF serves. */
  async buildV2(): Promise<Bundle> {
    const signingConfig = JSON.parse(
      await readFile(join(this.instance.home, "trust", v2Target), "utf8"),
    ) as object;
    const bundle = (await this.#client.run({
      action: "build",
      data: artifact,
      signingConfig,
      identityToken: await demoToken(this.instance, email),
    })) as Bundle;
    await this.verify(bundle, await this.trust("one"));
    return bundle;
  }

  /** What a stranger is told: the mirror, the initial root, and who should have signed. */
  async trust(name: string): Promise<object> {
    const root = join(this.#client.folder, `root-${name}.json`);
    await copyFile(join(this.instance.home, "trust", "1.root.json"), root);
    const cache = join(this.#client.folder, "cache", name);
    await mkdir(cache, { recursive: true });
    return {
      tufMirrorURL: `${this.instance.origin}/tuf`,
      tufRootPath: root,
      tufCachePath: cache,
      certificateIdentityEmail: email,
      certificateIssuer: `${this.instance.origin}/oidc`,
    };
  }

  /** The version of the root that a client has come to. */
  async rootVersion(name: string): Promise<number> {
    const cache = join(this.#client.folder, "cache", name);
    const files = await readdir(cache, { recursive: true });
    const path = files.find((file) => file.endsWith("root.json")) ?? "";
    const { signed } = JSON.parse(await readFile(join(cache, path), "utf8")) as {
      signed: { version: number };
    };
    return signed.version;
  }

  /** No damage anywhere, and every transcript verifies. */
  async expectClean(): Promise<void> {
    expect(await chancery(this.instance.home, "fsck")).toMatchObject({ code: 0 });
    const folder = join(this.instance.home, "ceremony");
    const transcripts = (await readdir(folder)).filter((name) =>
      /^operation-.*\.transcript\.jsonl$/.test(name),
    );
    expect(transcripts.length).toBeGreaterThan(0);
    for (const name of transcripts) {
      const verified = await chancery(this.instance.home, "ceremony", "verify", join(folder, name));
      expect(verified, name).toMatchObject({ code: 0 });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.instance[Symbol.asyncDispose]();
    await this.#client[Symbol.asyncDispose]();
    await this.#place.remove();
  }
}

function verificationOf(bundle: Bundle, options: object): Job {
  const { timestampVerificationData } = bundle.verificationMaterial;
  const threshold = timestampVerificationData === undefined ? {} : { timestampThreshold: 1 };
  return { action: "verify", bundle, data: artifact, options: { ...options, ...threshold } };
}
