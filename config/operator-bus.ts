/** The operator's connection to a live instance. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../core/clock.ts";
import { askAs } from "../core/context.ts";
import { natsBus } from "../core/nats.ts";
import { pairs } from "../core/acl.ts";
import { readNkeySeed, readPairKeys } from "../core/secrets.ts";
import { createTracing } from "../core/trace.ts";
import type { OperatorAsk } from "../hsm/commands.ts";
import { CommandError, exitCodes } from "../plugins/client/commands.ts";
import { readInstance } from "./load.ts";
import { operator, parties } from "./operator.ts";

const connectWithinMs = 3_000;
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Who asks, until disposed. */
export interface OperatorBus extends AsyncDisposable {
  readonly ask: OperatorAsk;
}

/** Connects. @throws {CommandError} if the home has no operator, or nothing serves it */
export async function connectOperator(home: string): Promise<OperatorBus> {
  const { natsPort } = await readInstance(home);
  const { name } = operator;
  await access(join(home, "secrets", "nkeys", `${name}.nk`)).catch((cause: unknown) => {
    throw new CommandError(
      exitCodes.environment,
      `${home} was made before there were operators; start it once with this release, which adds what is missing`,
      { cause },
    );
  });
  const own = pairs(parties).filter(([asker]) => asker === name);
  const pairKeys = await readPairKeys(home, own);
  const plugins = [{ name, seed: await readNkeySeed(home, name) }];
  const servers = [`nats://127.0.0.1:${natsPort}`];
  const journal = () => silent;
  const bus = await natsBus({ servers, plugins, pairKeys, journal, connectWithinMs }).catch(
    (cause: unknown) => {
      throw new CommandError(
        exitCodes.environment,
        `nothing serves ${home} at the moment; start it with "npm start"`,
        { cause },
      );
    },
  );
  const clock = systemClock;
  const ask = askAs(name, { bus, clock, tracing: createTracing(clock) });
  return {
    // The schema of this very ask has accepted the answer.
    ask: async (one, question) => (await ask(one, question)) as never,
    [Symbol.asyncDispose]: async () => await bus[Symbol.asyncDispose](),
  };
}
