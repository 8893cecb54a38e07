/** The metrics listener: the names that dashboards know, what moves them, and that no request can add a series. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { formatPem } from "../../core/formats/pem.ts";
import metrics from "../../plugins/metrics/plugin.ts";
import { bootDoor, type Door, sendRaw } from "../support/door.ts";
import { grpcClient } from "../support/grpc-client.ts";

let door: Door;
let origin: string;
beforeAll(async () => {
  door = await bootDoor(
    {},
    { plugins: [metrics], config: { metrics: { port: 0, addresses: ["127.0.0.1"] } } },
  );
  const listening = door.journal.find(({ event }) => event === "metrics-listening");
  origin = `http://127.0.0.1:${String(listening?.fields["port"])}`;
});
afterAll(async () => await door.dispose());

const body = JSON.stringify({
  publicKeyRequest: {
    publicKey: { content: formatPem("PUBLIC KEY", new Uint8Array([0x30, 1, 2])) },
    proofOfPossession: "AQI=",
  },
});
const headers = { "content-type": "application/json", authorization: "Bearer a.b.c" };
const ask = async (path = "/api/v2/signingCert") =>
  await (await fetch(`${door.origin}${path}`, { method: "POST", headers, body })).text();

/** Samples by name and labels. */
async function scrape(): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`${origin}/metrics`);
  expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
  const lines = (await response.text()).split("\n").filter((line) => /^[a-z]/.test(line));
  return new Map(
    lines.map((line): [string, number] => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

test("certificates, requests and calls are counted under Fulcio's names", async () => {
  const before = await scrape();
  expect(before.get("fulcio_new_certs")).toBe(0);
  await ask();
  await ask();
  const { issueCertificate } = door.answer;
  door.answer["issueCertificate"] = "identity-rejected";
  await ask();
  door.answer["issueCertificate"] = issueCertificate;
  await (await fetch(`${door.origin}/api/v1/log`)).text();
  using client = grpcClient(`localhost:${door.tlsPort}`, door.certificate);
  await client.call("CA/GetTrustBundle", {});
  await client.call("CA/CreateSigningCertificate", {});
  const after = await scrape();
  const samples = Object.fromEntries(after);
  const call = 'grpc_type="unary",grpc_service="dev.sigstore.fulcio.v2.CA"';
  expect(samples).toMatchObject({
    fulcio_new_certs: 2,
    'http_requests_total{code="200",method="post"}': 2,
    'http_requests_total{code="400",method="post"}': 1,
    'http_requests_total{code="200",method="get"}': 1,
    'fulcio_api_latency_count{code="200",method="post"}': 2,
    'fulcio_api_latency_count{code="400",method="post"}': 1,
    'rekor_qps_by_api{path="/api/v1/log",method="get",code="200"}': 1,
    'rekor_api_latency_count{path="/api/v1/log",code="200"}': 1,
    [`grpc_server_started_total{${call},grpc_method="GetTrustBundle"}`]: 1,
    [`grpc_server_handled_total{${call},grpc_method="GetTrustBundle",grpc_code="OK"}`]: 1,
    [`grpc_server_handled_total{${call},grpc_method="CreateSigningCertificate",grpc_code="InvalidArgument"}`]: 1,
    'chancery_ask_duration_seconds_count{room="issuer",ask="issueCertificate",outcome="ok"}': 2,
    'chancery_ask_duration_seconds_count{room="issuer",ask="issueCertificate",outcome="identity-rejected"}': 1,
  });
  expect([...after.keys()].some((name) => name.startsWith("fulcio_build_info{"))).toBe(true);
});

test("what no client should send adds no series after the first of its kind", async () => {
  const garbage = async (seed: string): Promise<void> => {
    for (const path of [
      `/${seed}`,
      `/api/v2/${seed}`,
      `/logs/${seed}/checkpoint`,
      `/tuf/${seed}`,
    ]) {
      await (await fetch(`${door.origin}${path}`)).text();
    }
    await sendRaw(door.port, `GET /%${seed} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await sendRaw(door.port, `PUT /${seed} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await sendRaw(door.port, `TRACE /${seed} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  };
  await garbage("first");
  const before = (await scrape()).size;
  for (const seed of ["second", "third", "__proto__", "a-b"]) await garbage(seed);
  expect((await scrape()).size).toBe(before);
});

test("there is one page, which asks nothing of who reads it", async () => {
  for (const path of ["/", "/metrics/", "/metrics?x", "/healthz"]) {
    expect((await fetch(`${origin}${path}`)).status).toBe(404);
  }
  expect((await fetch(`${origin}/metrics`, { method: "POST" })).status).toBe(404);
  expect(await (await fetch(`${origin}/metrics`, { method: "HEAD" })).text()).toBe("");
  expect((await fetch(`${door.origin}/metrics`)).status).toBe(404);
});
