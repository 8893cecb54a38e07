/** The demo genesis as a ceremony: the script of `deploy/ceremonies/demo-genesis.yaml` with the parameters of one instance. */
import { performCeremony, rehearseCeremony } from "../config/ceremonies.ts";
import type { Instance } from "../config/schema.ts";
import { softHsmModule } from "./configuration.ts";
import { Refusal } from "./refusal.ts";

const script = new URL("./ceremonies/demo-genesis.yaml", import.meta.url).pathname;

/** Makes tokens, keys, certificates, keyring and trust material in the folder `home`, after a rehearsal. @throws {Refusal} */
export async function performGenesisCeremony(
  home: string,
  { origin, treeId }: Instance,
): Promise<void> {
  // Clients hold a checkpoint's name against the host of the log's URL, without its port (interop: note names).
  const parameters = {
    origin,
    treeId,
    logOrigin: new URL(origin).hostname,
    organization: "chancery-demo",
  };
  try {
    const request = { script, home, module: softHsmModule, parameters };
    await rehearseCeremony(request);
    await performCeremony(request);
  } catch (problem) {
    throw new Refusal(
      `the genesis ceremony stopped: ${problem instanceof Error ? problem.message : String(problem)}`,
    );
  }
}
