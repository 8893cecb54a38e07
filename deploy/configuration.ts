/** `config.yaml` of a demo home: every section of every plugin, as genesis decides it. It holds no secret. */
import { stringify } from "yaml";
import type { Instance } from "../config/schema.ts";

/** SoftHSM's module on Debian; other modules are for installations that are not demos. */
export const softHsmModule = "/usr/lib/softhsm/libsofthsm2.so";

/** The CA of the TLS listener, below the home. */
const localAuthority = "trust/tls/ca.pem";

/** The policy of a new home, below it. */
export const policyFile = "policy.yaml";

/** The text of a new home's {@link policyFile}: everybody whom an accepted issuer knows. */
export const demoPolicy = `# Who may have a certificate. Read again when it changes; a broken file leaves the one before in force, and says so.
# chancery policy lint, test and diff tell what a change would do; chancery policy schema prints the schema for editors.
version: demo
default: allow
rules: []
`;

/** Names of the logs of a demo: the CT log's and both Rekors' partitions and URLs. */
export const demoLogs = { ct: "ct", rekor: "rekor", rekorV2: "rekor-v2" } as const;

/** The text of a new home's `config.yaml`. */
export function formatConfiguration(
  { origin, port, tlsPort, treeId }: Instance,
  metricsPort?: number,
): string {
  const issuer = `${origin}/oidc`;
  const sections = {
    hsm: { module: softHsmModule, tokenLabel: "chancery-online" },
    identity: { issuers: [{ issuerUrl: issuer, audience: "sigstore", provider: "email" }] },
    idp: { issuer, accounts: "any" },
    policy: { file: policyFile },
    issuer: { key: "issuing-ca", lifetimeSeconds: 600 },
    ct: { log: demoLogs.ct },
    log: {
      logs: [
        { name: demoLogs.ct, format: "rfc6962", key: "ct-log" },
        { name: demoLogs.rekor, format: "rekor-v1", key: "rekor-v1-log", treeId },
        { name: demoLogs.rekorV2, format: "rekor-v2", key: "rekor-v2-log" },
      ],
    },
    rekor: { log: demoLogs.rekor, treeId, v2: { log: demoLogs.rekorV2 } },
    timestamp: { key: "timestamp" },
    trust: {},
    ...(metricsPort !== undefined && { metrics: { port: metricsPort } }),
    http: { publicUrl: origin, port, tlsPort, demo: true, rekorV2Log: demoLogs.rekorV2 },
    ...ownAuthority(origin),
  };
  const head = [
    " Chancery: one section a plugin. Written at genesis; origin, ports and the OIDC issuer's URL are in certificates and",
    " trust metadata since then, so changing them here does not move the instance. DEMO: accounts are not real.",
  ];
  return stringify(sections, { commentString: (text) => text, lineWidth: 120 }).replace(
    /^/,
    `${head.map((line) => `#${line}`).join("\n")}\n`,
  );
}

/** The services fetch the keys of the demo's issuer from this very instance, over TLS if its origin is: then they trust its CA. */
function ownAuthority(origin: string) {
  return origin.startsWith("https:") ? { outbound: { authorityFiles: [localAuthority] } } : {};
}
