// Runs in a folder outside the project that has the npm package `sigstore`, as a stranger's program would. Reads one JSON job from
// standard input, writes one JSON answer: {"result": ...} or {"error": "..."}.
const sigstore = require("sigstore");
const { readFileSync } = require("node:fs");

const job = JSON.parse(readFileSync(0, "utf8"));
const data = job.data === undefined ? undefined : Buffer.from(job.data, "base64");

const actions = {
  sign: async () => await sigstore.sign(data, job.options),
  attest: async () => await sigstore.attest(data, job.payloadType, job.options),
  // What a client does that is given the signing configuration and nothing else.
  build: async () => {
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
  verify: async () => {
    const signer = await (data
      ? sigstore.verify(job.bundle, data, job.options)
      : sigstore.verify(job.bundle, job.options));
    return signer.identity ?? {};
  },
};

actions[job.action]().then(
  (result) => process.stdout.write(JSON.stringify({ result })),
  (error) =>
    process.stdout.write(
      JSON.stringify({ error: `${error.code ?? ""} ${error.message} ${error.cause ?? ""}` }),
    ),
);
