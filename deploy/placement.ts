/** Which processes a home asks for, in its `config.yaml`. */
import { readConfiguration } from "../config/load.ts";
import { addTokenStorage } from "../config/storage.ts";
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

/** Makes what a changed `config.yaml` needs and a home of before does not have. @throws {Refusal} if it cannot be used. */
export async function addStorage(home: string): Promise<void> {
  try {
    await addTokenStorage(home);
  } catch (problem) {
    throw new Refusal(problem instanceof Error ? problem.message : String(problem));
  }
}
