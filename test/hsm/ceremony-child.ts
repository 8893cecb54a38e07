/** A ceremony that kills its own process, as a power cut would: after the nth persisted transition, or before the nth call of a name. */
import { text } from "node:stream/consumers";
import { type CeremonyRequest, runCeremony } from "../../hsm/ceremony/run.ts";

const { request, transition, call } = JSON.parse(await text(process.stdin)) as {
  readonly request: CeremonyRequest;
  readonly transition?: number;
  readonly call?: { readonly name: string; readonly number: number };
};
let [transitions, calls] = [0, 0];
const die = (): void => void process.kill(process.pid, "SIGKILL");
try {
  await runCeremony(request, "perform", {
    persisted: () => {
      transitions += 1;
      if (transitions === transition) die();
    },
    call: (said) => {
      if (call === undefined || !said.startsWith(`${call.name}(`)) return;
      calls += 1;
      if (calls === call.number) die();
    },
  });
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
