/** The artifact a command names: read once, held if it is small, streamed if it is not. */
import { type Hash, createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { HashName } from "../../core/crypto/hash.ts";
import { maxHeldBytes, openFile, readUpTo } from "./files.ts";
import { usageError } from "./terminal.ts";
import { type Artifact, artifactKnownBy, artifactOf } from "./verify/artifact.ts";

/** Takes the artifact's bytes in order, as node:crypto's Hash and Sign do. */
export interface Sink {
  update(bytes: Uint8Array): unknown;
}

/**
 * Reads an artifact. Each of `sinks` gets exactly the bytes that are hashed, even if the file changes meanwhile.
 *
 * @throws {CommandError} with exit code 3 if it cannot be read, 2 if it is empty.
 */
export async function readArtifact(path: string, sinks: readonly Sink[] = []): Promise<Artifact> {
  await using file = await openFile(path, "the artifact");
  const { bytes, whole } = await readUpTo(file, maxHeldBytes);
  if (bytes.length === 0) {
    throw usageError(`the artifact ${path} is empty: a signature over nothing proves nothing`);
  }
  for (const sink of sinks) sink.update(bytes);
  return whole ? artifactOf(bytes) : await streamRest(file, bytes, sinks);
}

const names: readonly HashName[] = ["sha256", "sha384", "sha512"];

async function streamRest(
  file: FileHandle,
  first: Uint8Array,
  sinks: readonly Sink[],
): Promise<Artifact> {
  const hashes = new Map<HashName, Hash>(names.map((name) => [name, createHash(name)]));
  for (const hash of hashes.values()) hash.update(first);
  const all = [...sinks, ...hashes.values()];
  const chunk = new Uint8Array(1024 * 1024);
  // Sequential: each read starts where the one before ended.
  for (let at = first.length; ;) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) break;
    for (const sink of all) sink.update(chunk.subarray(0, bytesRead));
    at += bytesRead;
  }
  const digests: Partial<Record<HashName, Uint8Array>> = {};
  for (const [name, hash] of hashes) digests[name] = new Uint8Array(hash.digest());
  return artifactKnownBy(digests);
}
