/**
 * An instance that cannot reach anything: its network has a loopback interface and no route, so that a packet it wants to send
 * shows in the kernel's counters, and every signature of its token is counted by the fault module. Needs root.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { faultModule } from "./fault-module.ts";
import { environmentOf, freshPlace } from "./instance.ts";

/** A running instance, seen from outside. */
export interface SealedInstance extends AsyncDisposable {
  readonly home: string;
  readonly origin: string;
  /** Unix sockets in front of its ports. */
  readonly plain: { readonly path: string };
  readonly tls: { readonly path: string };
  pid(name: "vault" | "services"): number;
  /** Signatures the token has made. */
  signatures(): number;
  /** Names asked for, and packets that had nowhere to go. */
  packets(): number;
  /** What its network consists of, loopback aside. */
  network(): readonly string[];
}

/** Makes an instance and starts it. @throws without the right to make network namespaces. */
export async function startSealed(): Promise<SealedInstance> {
  const place = await freshPlace();
  const folder = join(place.home, "..");
  const { module, count } = countingModule(folder);
  const resolver = join(folder, "resolv.conf");
  writeFileSync(resolver, "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n");
  const inside = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"';
  const inner = new URL("sealed-child.ts", import.meta.url).pathname;
  const child = spawn(
    "unshare",
    // prettier-ignore
    ["--net", "--mount", "sh", "-c", inside, resolver, process.execPath, inner, folder, module],
    {
      env: { ...environmentOf(place), PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  await greetedTwice(child);
  const pid = (name: string): number =>
    (JSON.parse(readFileSync(join(place.home, "run", `${name}.json`), "utf8")) as { pid: number })
      .pid;
  const seen = (file: string): string =>
    readFileSync(`/proc/${pid("services")}/net/${file}`, "utf8");
  return {
    home: place.home,
    origin: `http://localhost:${place.port}`,
    plain: { path: join(folder, "plain") },
    tls: { path: join(folder, "tls") },
    pid,
    signatures: () => Number(readFileSync(count, "utf8")),
    packets: () =>
      Number(readFileSync(join(folder, "questions"), "utf8")) +
      noRoutes(seen("snmp")) +
      Number(/^Ip6OutNoRoutes\s+(\d+)$/m.exec(seen("snmp6"))?.[1] ?? Number.NaN),
    network: () => [
      ...[...seen("dev").matchAll(/^ *([^ :]+):/gm)].map(([, name = ""]) => name),
      ...seen("route").trim().split("\n").slice(1),
    ],
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) {
        child.kill("SIGTERM");
        await once(child, "exit");
      }
      await place.remove();
    },
  };
}

/** The fault module with its files' names built in, because a vault gets no environment from outside. */
function countingModule(folder: string): { readonly module: string; readonly count: string } {
  const { path, environment } = faultModule();
  const module = join(folder, "libcounting.so");
  const count = join(folder, "signatures");
  const files = { ...environment, P11_COUNT: count };
  writeFileSync(count, "0");
  const lines = Object.entries(files).map(([name, value]) => `setenv("${name}","${value}",1);`);
  const source = join(folder, "counting.c");
  writeFileSync(
    source,
    [
      "#include <stdlib.h>",
      `__attribute__((constructor)) static void files(void) { ${lines.join(" ")} }`,
      "extern unsigned long C_GetFunctionList(void *list);",
      "unsigned long (*const keep)(void *) = C_GetFunctionList;",
    ].join("\n"),
  );
  execFileSync("gcc", [
    "-shared",
    "-fPIC",
    "-o",
    module,
    source,
    path,
    `-Wl,-rpath,${join(path, "..")}`,
  ]);
  return { module, count };
}

/** OutNoRoutes of the pair of lines that /proc/net/snmp has for IP. */
function noRoutes(text: string): number {
  const [names = "", values = ""] = text.split("\n").filter((line) => line.startsWith("Ip: "));
  return Number(values.split(" ")[names.split(" ").indexOf("OutNoRoutes")] ?? Number.NaN);
}

/** Once for the genesis and once to stay. */
async function greetedTwice(child: ReturnType<typeof spawn>): Promise<void> {
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      said += chunk.toString("utf8");
      if (said.split("Try:").length > 2) resolve();
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.once("exit", (code) => reject(new Error(`the instance ended with ${code}:\n${said}`)));
  });
}
