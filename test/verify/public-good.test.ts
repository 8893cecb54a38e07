import { describe, expect, test } from "vitest";
import { type Case, cases, verifyCase } from "./public-good.ts";

describe("bundles other people made", () => {
  test.for(Object.entries<Case>(cases))("verifies: %s", ([, theCase]) => {
    const verified = verifyCase(theCase);
    expect(verified.identity).toEqual({
      subjectAltName: theCase.identity,
      oidcIssuer: theCase.oidcIssuer,
    });
    expect(verified.times).toHaveLength(1);
  });
});
