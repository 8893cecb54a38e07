// Runs in a folder outside the project that has the npm package `sigstore`, as a stranger's program would. Reads JSON jobs from
// standard input, writes one JSON answer: {"results": [...]} or {"error": "..."}.
const sigstore = require("sigstore");
const { readFileSync } = require("node:fs");

const actions = {
  sign: async ({ job, data }) => await sigstore.sign(data, job.options),
  attest: async ({ job, data }) => await sigstore.attest(data, job.payloadType, job.options),
  // What a client does that is given the signing configuration and nothing else.
  build: async ({ job, data }) => {
    const { bundleBuilderFromSigningConfig } = require("@sigstore/sign");
    const { SigningConfig } = require("@sigstore/protobuf-specs");
    const { bundleToJSON } = require("@sigstore/bundle");
    const builder = bundleBuilderFromSigningConfig({
      signingConfig: SigningConfig.fromJSON(job.signingConfig),
      identityProvider: { getToken: async () => job.identityToken },
      bundleType: job.payloadType === undefined ? "messageSignature" : "dsseEnvelope",
    });
    return bundleToJSON(await builder.create({ data, type: job.payloadType }));
  },
  verify: async ({ job, data }) => {
    const signer = await (data
      ? sigstore.verify(job.bundle, data, job.options)
      : sigstore.verify(job.bundle, job.options));
    return signer.identity ?? {};
  },
};

async function work() {
  const results = [];
  for (const job of JSON.parse(readFileSync(0, "utf8"))) {
    const data = job.data === undefined ? undefined : Buffer.from(job.data, "base64");
    results.push(await actions[job.action]({ job, data }));
  }
  return results;
}

work().then(
  (results) => process.stdout.write(JSON.stringify({ results })),
  (error) =>
    process.stdout.write(
      JSON.stringify({ error: `${error.code ?? ""} ${error.message} ${error.cause ?? ""}` }),
    ),
);
