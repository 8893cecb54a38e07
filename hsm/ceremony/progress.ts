/**
 * How far a ceremony is: a state machine whose state is on the disk before the ceremony goes on. The transcript says what was done;
 * this says where to take it up, and the two are held against each other.
 */
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import * as v from "valibot";
import { type Actor, assign, createActor, setup, type SnapshotFrom } from "xstate";
import { durableWrite } from "../../core/durable.ts";
import { parseJson } from "../../core/formats/json.ts";
import { VaultRefused } from "../errors.ts";

type ProgressEvent =
  | { readonly type: "BEGIN" }
  | { readonly type: "EXECUTED" }
  | { readonly type: "CHECKED" }
  | { readonly type: "SEALED" }
  | { readonly type: "STOP"; readonly reason: string }
  | { readonly type: "RESUME" };

interface ProgressContext {
  /** How many steps are done and checked. */
  readonly done: number;
  readonly steps: number;
  /** Why it stopped last. */
  readonly reason: string | null;
}

/** The life of a ceremony. `sealed` is its end; from `stopped` it is taken up again once the reason is gone. */
export const ceremonyMachine = setup({
  types: {
    context: {} as ProgressContext,
    events: {} as ProgressEvent,
    input: {} as { readonly steps: number },
  },
  guards: {
    isLast: ({ context }) => context.done + 1 >= context.steps,
    isComplete: ({ context }) => context.done >= context.steps,
  },
  actions: {
    count: assign({ done: ({ context }) => context.done + 1 }),
    forget: assign({ reason: null }),
  },
}).createMachine({
  id: "ceremony",
  initial: "ready",
  context: ({ input }) => ({ done: 0, steps: input.steps, reason: null }),
  on: {
    STOP: { target: ".stopped", actions: assign({ reason: ({ event }) => event.reason }) },
  },
  states: {
    ready: { on: { BEGIN: "executing" } },
    executing: { on: { EXECUTED: "checking", RESUME: "ready" } },
    checking: {
      on: {
        CHECKED: [
          { guard: "isLast", target: "closing", actions: "count" },
          { target: "ready", actions: "count" },
        ],
        RESUME: "ready",
      },
    },
    closing: { on: { SEALED: "sealed" } },
    stopped: {
      on: {
        RESUME: [
          { guard: "isComplete", target: "closing", actions: "forget" },
          { target: "ready", actions: "forget" },
        ],
      },
    },
    sealed: { type: "final" },
  },
});

const persisted = v.strictObject({
  version: v.literal(1),
  scriptSha256: v.string(),
  /** Lines of the transcript when this was written. */
  lines: v.number(),
  snapshot: v.looseObject({
    value: v.picklist(["ready", "executing", "checking", "closing", "stopped", "sealed"]),
    context: v.strictObject({
      done: v.pipe(v.number(), v.integer(), v.minValue(0)),
      steps: v.number(),
      reason: v.nullable(v.string()),
    }),
  }),
});

/** A ceremony's state, on the disk. */
export class Progress {
  readonly #path: string;
  readonly #scriptSha256: string;
  readonly #isThrownAway: boolean;
  readonly #actor: Actor<typeof ceremonyMachine>;
  readonly #lines: () => number;
  readonly #persisted: () => void;

  /** Takes up what is on the disk, or begins. @throws {VaultRefused} if that is of another script, or ahead of the transcript */
  constructor(
    path: string,
    script: { readonly sha256: string; readonly steps: number; readonly isThrownAway: boolean },
    lines: () => number,
    persistedNow: () => void = () => undefined,
  ) {
    this.#path = path;
    this.#scriptSha256 = script.sha256;
    this.#isThrownAway = script.isThrownAway;
    this.#lines = lines;
    this.#persisted = persistedNow;
    const input = { steps: script.steps };
    const snapshot = existsSync(path) ? this.#read(script, lines()) : undefined;
    this.#actor = createActor(ceremonyMachine, { input, ...(snapshot && { snapshot }) });
    this.#actor.start();
    this.#actor.send({ type: "RESUME" });
  }

  /** How many steps are done and checked. */
  get done(): number {
    return this.#actor.getSnapshot().context.done;
  }

  /** Moves on; resolves once the new state is on the disk. */
  async send(event: ProgressEvent): Promise<void> {
    this.#actor.send(event);
    const snapshot = this.#actor.getPersistedSnapshot();
    const state = { version: 1, scriptSha256: this.#scriptSha256, lines: this.#lines(), snapshot };
    const text = `${JSON.stringify(state)}\n`;
    if (this.#isThrownAway) await writeFile(this.#path, text, { mode: 0o600 });
    else await durableWrite(this.#path, text, 0o600);
    this.#persisted();
  }

  #read(
    script: { readonly sha256: string; readonly steps: number },
    lines: number,
  ): SnapshotFrom<typeof ceremonyMachine> {
    const parsed = v.safeParse(persisted, json(readFileSync(this.#path, "utf8")));
    if (!parsed.success) throw new VaultRefused(`${this.#path} is not the state of a ceremony`);
    const { scriptSha256, snapshot } = parsed.output;
    if (scriptSha256 !== script.sha256 || snapshot.context.steps !== script.steps) {
      throw new VaultRefused(`${this.#path} is the state of another ceremony script`);
    }
    if (parsed.output.lines > lines) {
      throw new VaultRefused(
        `${this.#path} is ahead of the transcript, which has lost lines; restore the transcript, the ceremony does not go on without`,
      );
    }
    // What getPersistedSnapshot wrote, with every member that this machine reads checked above.
    return ceremonyMachine.resolveState({
      value: snapshot.value,
      context: snapshot.context,
      status: snapshot.value === "sealed" ? "done" : "active",
    });
  }
}

function json(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
