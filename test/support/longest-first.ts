/** The order of test files: those that take longest first, so that no long one begins when all others have ended. */
import { readFileSync } from "node:fs";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Seconds by path of a file that takes long, as a run on two cores took them. */
type Durations = { readonly [path: string]: number };

/** Sorts by the recorded durations; what is not recorded comes last, as it is short. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const url = new URL("./durations.json", import.meta.url);
    const durations = JSON.parse(readFileSync(url, "utf8")) as Durations; // it is ours
    const secondsOf = ({ moduleId }: TestSpecification): number =>
      durations[moduleId.slice(moduleId.lastIndexOf("/test/") + 1)] ?? 0;
    return await Promise.resolve(
      files.toSorted(
        (one, other) =>
          secondsOf(other) - secondsOf(one) || one.moduleId.localeCompare(other.moduleId),
      ),
    );
  }
}
