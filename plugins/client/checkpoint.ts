/** A log's newest checkpoint, from the service, believed for its signature only. */
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import type { Checkpoint } from "../../core/formats/checkpoint.ts";
import type { TrustedLog, TrustedRoot } from "../../core/formats/trusted-root.ts";
import { request } from "./remote.ts";
import { usageError } from "./terminal.ts";
import { verifyCheckpoint } from "./verify/inclusion.ts";
import { NotVerified } from "./verify/not-verified.ts";

/** A checkpoint that one of the trusted root's logs signed. */
export interface SignedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly trusted: TrustedLog;
  /** The signed note. */
  readonly note: string;
}

/**
 * Fetches and verifies the checkpoint of the log called `name`.
 *
 * @throws {CommandError} if the service does not answer or has no such log.
 * @throws {NotVerified} if no trusted log signed what it answers.
 */
export async function fetchCheckpoint(
  origin: string,
  name: string,
  { tlogs, ctlogs }: TrustedRoot,
): Promise<SignedCheckpoint> {
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) throw usageError(`"${name}" is not the name of a log`);
  const answer = await request({
    method: "GET",
    url: `${origin}/logs/${name}/checkpoint`,
    what: `the checkpoint of the log ${name}`,
    accept: [200],
  });
  const signed = whoSigned(decodeUtf8(answer.body), { tlogs, ctlogs });
  if (signed !== null) return signed;
  throw new NotVerified(
    "log-entry",
    `no log of the trusted root signed the checkpoint that ${origin} gives for the log ${name}`,
  );
}

/** The checkpoint in a note, if a trusted log signed it. */
export function whoSigned(
  note: string,
  { tlogs, ctlogs }: Pick<TrustedRoot, "tlogs" | "ctlogs">,
): SignedCheckpoint | null {
  for (const trusted of [...tlogs, ...ctlogs]) {
    const checkpoint = signedBy(note, trusted);
    if (checkpoint !== null) return { checkpoint, trusted, note };
  }
  return null;
}

function signedBy(note: string, trusted: TrustedLog): Checkpoint | null {
  try {
    return verifyCheckpoint(note, trusted);
  } catch (thrown) {
    if (thrown instanceof NotVerified) return null;
    throw thrown;
  }
}
