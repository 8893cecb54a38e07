/** Certificate transparency (RFC 6962): holds submissions against the rules, and lets the log room keep them. */
import { equalBytes } from "../../core/formats/encoding.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import { appendEntry } from "../../events/log.ts";
import { acceptChain, readTrust } from "./chain.ts";
import { ct } from "./manifest.ts";
import { inLog, reads } from "./reads.ts";

const noExtensions = new Uint8Array();

export default ct.implement(async ({ ask, clock, config }) => {
  const { log, accepts } = config;
  const described = await Promise.all(accepts.map(async (key) => await ask(describeKey, { key })));
  const trust = readTrust(
    described.map(({ chain = [] }) => chain),
    clock.now(),
  );

  async function add(kind: "certificate" | "precertificate", chain: readonly Uint8Array[]) {
    const entry = acceptChain(kind, chain, trust, clock.now());
    const taken = await inLog(() => ask(appendEntry, { log, entry }), ["log-frozen"]);
    const { logId, integratedAtMs: timestampMs, promise: signature } = taken;
    if (signature === undefined) {
      throw new Failure(
        "log-unavailable",
        `the log "${log}" gives no SCT: is it of format rfc6962?`,
      );
    }
    return { logId, timestampMs, extensions: noExtensions, signature };
  }

  return {
    handlers: {
      addChain: async ({ chain }) => await add("certificate", chain),
      addPreChain: async ({ chain }) => await add("precertificate", chain),
      ...reads({ ask, config }),
      async getRoots() {
        await Promise.resolve();
        const certificates = trust.roots.map(({ certificate }) => certificate.der);
        // Several issuing CAs may share a root.
        const isFirst = (der: Uint8Array, at: number): boolean =>
          certificates.findIndex((other) => equalBytes(other, der)) === at;
        return { certificates: certificates.filter(isFirst) };
      },
    },
  };
});
