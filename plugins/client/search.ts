/** The service's search: a page, read strictly, and its inclusion proofs, verified. */
import * as v from "valibot";
import { decodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { verifyInclusion } from "../../core/formats/merkle.ts";
import type { TrustedRoot } from "../../core/formats/trusted-root.ts";
import { whoSigned } from "./checkpoint.ts";
import { jsonOf, request } from "./remote.ts";
import { CommandError, exitCodes } from "./terminal.ts";
import { NotVerified } from "./verify/not-verified.ts";

const number = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const hex = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2})+$/));

const hit = v.looseObject({
  log: v.string(),
  index: number,
  leafHash: hex,
  integratedTime: v.string(),
  kind: v.string(),
  digests: v.array(v.object({ algorithm: v.string(), value: v.string() })),
  signers: v.array(
    v.looseObject({
      key: v.optional(v.string()),
      sans: v.array(v.object({ kind: v.string(), value: v.string() })),
      extensions: v.record(v.string(), v.string()),
    }),
  ),
  inclusionProof: v.optional(v.array(hex)),
});

const page = v.looseObject({
  hits: v.array(hit),
  cursor: v.optional(v.string()),
  logs: v.array(v.object({ log: v.string(), indexed: number, size: number })),
  heads: v.array(
    v.object({ log: v.string(), treeSize: number, rootHash: hex, checkpoint: v.string() }),
  ),
  counted: v.optional(
    v.object({
      total: number,
      exact: v.boolean(),
      facets: v.record(v.string(), v.array(v.object({ value: v.string(), count: number }))),
    }),
  ),
});

/** A page of hits. */
export type Page = v.InferOutput<typeof page>;
/** One of them. */
export type Hit = Page["hits"][number];

/** Asks for a page. @throws {CommandError} */
export async function fetchPage(origin: string, parameters: URLSearchParams): Promise<Page> {
  const what = "the search";
  const url = `${origin}/api/search?${parameters.toString()}`;
  const answer = await request({ method: "GET", url, what, accept: [200, 400] });
  if (answer.status === 400) {
    const { message } = v.parse(v.looseObject({ message: v.string() }), jsonOf(answer, what));
    throw new CommandError(exitCodes.usage, message);
  }
  const read = v.safeParse(page, jsonOf(answer, what));
  if (read.success) return read.output;
  throw new CommandError(exitCodes.failed, `${what}: the service's answer is not understood`);
}

/** Does nothing if every hit is in the tree of a checkpoint that a trusted log signed. @throws {NotVerified} otherwise */
export function verifyPage({ hits, heads }: Page, trustedRoot: TrustedRoot): void {
  for (const { log, index, leafHash, inclusionProof } of hits) {
    const head = heads.find((one) => one.log === log);
    const signed = head && whoSigned(head.checkpoint, trustedRoot);
    const root = head && decodeHex(head.rootHash);
    const isIncluded =
      signed &&
      root &&
      inclusionProof &&
      equalBytes(signed.checkpoint.root, root) &&
      verifyInclusion({
        leafHash: decodeHex(leafHash),
        index: BigInt(index),
        size: signed.checkpoint.size,
        proof: inclusionProof.map(decodeHex),
        root,
      });
    if (!isIncluded) {
      throw new NotVerified("log-entry", `entry ${index} of the log ${log} is not proven`);
    }
  }
}
