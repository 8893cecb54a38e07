/** Which processes a home asks for, and which port of metrics, in its `config.yaml`. */
import { readConfiguration } from "../config/load.ts";
import { addTokenStorage, reachStorage } from "../config/storage.ts";
import { type PlannedProcess, processesOf } from "../config/processes.ts";
import { Refusal } from "./refusal.ts";

/** The processes to run, in the order in which they need each other. @throws {Refusal} if `config.yaml` cannot be used. */
export async function readProcesses(home: string): Promise<readonly PlannedProcess[]> {
  try {
    const { placement } = await readConfiguration(home);
    return processesOf(placement);
  } catch (problem) {
    throw new Refusal(problem instanceof Error ? problem.message : String(problem));
  }
}

/** Finds the storage, and makes in it what a changed `config.yaml` needs and a home of before does not have. @throws {Refusal} if it cannot be used. */
export async function addStorage(home: string): Promise<void> {
  try {
    await reachStorage(home);
    await addTokenStorage(home);
  } catch (problem) {
    throw new Refusal(problem instanceof Error ? problem.message : String(problem));
  }
}

/**
 * The port of the home's metrics, if it has any.
 *
 * @throws {Refusal} if another one was asked for: no published URL holds it, so it may be changed, in the file that says it.
 */
export async function readMetricsPort(
  home: string,
  asked: number | undefined,
): Promise<number | undefined> {
  const { sections } = await readConfiguration(home).catch((problem: unknown) => {
    throw new Refusal(problem instanceof Error ? problem.message : String(problem));
  });
  // The plugin's own schema looks at it again when the services start.
  const { port } = (sections["metrics"] ?? {}) as { readonly port?: number };
  if (asked !== undefined && asked !== port) {
    const now = port === undefined ? "no metrics" : `metrics on port ${port}`;
    throw new Refusal(
      `${home} is configured for ${now}, not on port ${asked}: write "metrics: { port: ${asked} }" into its config.yaml, or unset CHANCERY_METRICS_PORT`,
    );
  }
  return port;
}
