/** What the figures were measured on. */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg, release, totalmem, version } from "node:os";
import { verifyDigestNative } from "../../core/crypto/digest-verify.ts";

/** Facts about the machine and the software, by name. */
export type Machine = Readonly<{ [name: string]: string }>;

/** Describes the machine; `folder` is where the instances' data lies. */
export function describeMachine(folder: string): Machine {
  return {
    measured: new Date().toISOString(),
    revision: said("git", ["describe", "--always", "--dirty"]),
    processor: `${cpus()[0]?.model.trim() ?? "unknown"}, ${availableParallelism()} cores`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    kernel: `${release()} ${version()}`,
    filesystem: said("findmnt", ["-n", "-o", "FSTYPE,SOURCE,OPTIONS", "-T", folder]),
    node: `${process.version} (V8 ${process.versions.v8}, OpenSSL ${process.versions.openssl}, SQLite ${process.versions["sqlite"] ?? "?"})`,
    softhsm: said("softhsm2-util", ["--version"]),
    nats: said("nats-server", ["--version"]),
    "verification over digests": verifyDigestNative === null ? "pure fallback" : "native addon",
    "load average before": loadAverage(),
  };
}

/** One, five and fifteen minutes. */
export function loadAverage(): string {
  return loadavg()
    .map((value) => value.toFixed(2))
    .join(" ");
}

function said(program: string, args: readonly string[]): string {
  try {
    const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
    const text = execFileSync(program, args, {
      encoding: "utf8",
      env: { ...process.env, PATH: path },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return text.trim().replaceAll(/\s+/g, " ");
  } catch {
    return "unknown";
  }
}
