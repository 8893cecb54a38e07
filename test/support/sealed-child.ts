/**
 * Runs an instance in the network namespace it was started in, whose only interface is the loopback: genesis, then the counting
 * PKCS#11 module in place of the real one, then `npm start`. Both ports can be reached from outside by Unix sockets, which do not
 * belong to a network namespace, and a DNS server counts who wants to know anything.
 *
 * Arguments: folder, PKCS#11 module.
 */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream";

const [folder = "", module = ""] = process.argv.slice(2);
const start = new URL("../../deploy/start.ts", import.meta.url).pathname;

let questions = 0;
writeFileSync(join(folder, "questions"), "0");
const names = createSocket("udp4").on("message", () =>
  writeFileSync(join(folder, "questions"), String(++questions)),
);
names.bind(53, "127.0.0.53");
await once(names, "listening");

for (const [name, variable] of [
  ["plain", "CHANCERY_PORT"],
  ["tls", "CHANCERY_TLS_PORT"],
] as const) {
  const port = Number(process.env[variable]);
  const relay = createServer({ allowHalfOpen: true }, (outside) => {
    const inside = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    pipeline(outside, inside, () => undefined);
    pipeline(inside, outside, () => undefined);
  });
  relay.listen(join(folder, name));
  await once(relay, "listening");
}

const genesis = spawn(process.execPath, [start, "--once"], { stdio: "inherit" });
const [code] = (await once(genesis, "exit")) as [number | null];
if (code !== 0) process.exit(code ?? 1);
const configuration = join(process.env["CHANCERY_HOME"] ?? "", "config.yaml");
const text = readFileSync(configuration, "utf8");
writeFileSync(configuration, text.replace(/^(\s+module:) .*$/m, `$1 ${module}`));

const supervisor = spawn(process.execPath, [start], { stdio: "inherit" });
process.on("SIGTERM", () => supervisor.kill("SIGTERM"));
const [left] = (await once(supervisor, "exit")) as [number | null];
process.exit(left ?? 1);
