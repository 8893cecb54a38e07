/** What a campaign shoots at: each route of the door, and its gRPC method. */
import type { fc } from "@fast-check/vitest";
import { expect } from "vitest";
import type { Reply, Transport } from "../support/door-client.ts";
import type { Row } from "../support/door-material.ts";
import { expectQuietError } from "../support/outcome.ts";
import { callMutants, callOf, frame, openCalls } from "./calls.ts";
import { type Mutant, mutantsOf } from "./mutations.ts";

/** An answer: its status or gRPC code, and whether it was what a good request gets. */
export interface Verdict {
  readonly code: number;
  readonly accepted: boolean;
}

/** A route or a method, and how it is tried. */
export interface Target<Try> {
  readonly name: string;
  /** Its share of a campaign. */
  readonly weight: number;
  /** True if not even a good request changes anything. */
  readonly reads: boolean;
  readonly tries: fc.Arbitrary<Try>;
  /** Puts all at once. @throws if an answer is not one that the documentation has for something a client did. */
  put(tries: readonly Try[]): Promise<readonly Verdict[]>;
  /** @throws unless a good request is still taken. */
  expectGood(): Promise<void>;
}

/** The statuses that the documentation of the routes has for something a client did. */
const documented = new Set([200, 201, 303, 400, 401, 403, 404, 405, 409, 413, 415, 422]);
/** gRPC's codes for something a client did, and for nothing wrong. */
const codes: ReadonlySet<number> = new Set([0, 3, 8, 12, 13]);
/** A connection has that many streams at most. */
const callsAtOnce = 90;

/** A route of the door. */
export function routeTarget({ route, good, status }: Row, send: Transport): Target<Mutant> {
  const reads = good.method === "GET";
  return {
    name: route,
    weight: reads ? 1 : 5,
    reads,
    tries: mutantsOf(good),
    async put(tries) {
      return await Promise.all(
        tries.map(async ({ wish, how }) => {
          const reply = await send(wish);
          expectDocumented(reply, `${route}: ${how}`);
          return { code: reply.status, accepted: reply.status < 400 };
        }),
      );
    },
    async expectGood() {
      expect((await send(good)).status).toBe(status);
    },
  };
}

/** The method for certificates, by the REST request that asks the same. */
export function callTarget(
  port: number,
  request: string,
): Target<{ readonly body: Uint8Array; readonly how: string }> {
  const good = callOf(request);
  return {
    name: "gRPC CreateSigningCertificate",
    weight: 10,
    reads: false,
    tries: callMutants(good),
    async put(tries) {
      const verdicts: Verdict[] = [];
      for (let at = 0; at < tries.length; at += callsAtOnce) {
        using calls = openCalls(port);
        const some = tries.slice(at, at + callsAtOnce).map(async ({ body, how }) => {
          const { status, code, message } = await calls.send(body);
          expect([status, codes.has(code)], `${how}: ${code} ${message}`).toEqual([200, true]);
          expect(message, how).not.toMatch(/[{}"/\\]/);
          return { code, accepted: code === 0 };
        });
        verdicts.push(...(await Promise.all(some)));
      }
      return verdicts;
    },
    async expectGood() {
      using calls = openCalls(port);
      expect((await calls.send(frame(good.message()))).code).toBe(0);
    },
  };
}

function expectDocumented(reply: Reply, about: string): void {
  expect(documented, `${about}: ${JSON.stringify(reply)}`).toContain(reply.status);
  if (reply.status >= 400 && reply.status !== 409) expectQuietError(reply);
}
