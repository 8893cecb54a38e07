/** Reads the signature files of test/vectors/wycheproof. */
import { readFileSync } from "node:fs";
import { decodeHex } from "../../core/formats/encoding.ts";

/** One signature and what a verifier must make of it. */
export interface SignatureCase {
  readonly id: string;
  readonly spki: Uint8Array;
  readonly hash: string;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  /** `acceptable` is a matter of taste; strict verifiers refuse it. */
  readonly result: "valid" | "acceptable" | "invalid";
}

interface File {
  readonly testGroups: readonly {
    readonly publicKeyDer: string;
    readonly sha?: string;
    readonly tests: readonly {
      readonly tcId: number;
      readonly comment: string;
      readonly msg: string;
      readonly sig: string;
      readonly result: SignatureCase["result"];
    }[];
  }[];
}

/** All cases of a file. */
export function readCases(name: string): readonly SignatureCase[] {
  const path = new URL(`../vectors/wycheproof/${name}_test.json`, import.meta.url);
  // The schema of Wycheproof's signature files.
  const file = JSON.parse(readFileSync(path, "utf8")) as File;
  return file.testGroups.flatMap((group) =>
    group.tests.map((test) => ({
      id: `${name} ${test.tcId} ${test.comment}`,
      spki: decodeHex(group.publicKeyDer),
      hash: (group.sha ?? "none").toLowerCase().replace("-", ""),
      message: decodeHex(test.msg),
      signature: decodeHex(test.sig),
      result: test.result,
    })),
  );
}
