import { getPriority } from "node:os";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";

const niceness = new URL("../../core/niceness.ts", import.meta.url).href;

/** What a thread that asked for each of these, one after another, has then. */
async function ends(...asked: readonly number[]): Promise<unknown> {
  const source = `
    const { giveWay } = await import(${JSON.stringify(niceness)});
    const { getPriority } = await import("node:os");
    const { parentPort } = await import("node:worker_threads");
    for (const niceness of ${JSON.stringify(asked)}) giveWay(niceness);
    parentPort.postMessage(getPriority());
  `;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  try {
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  } finally {
    await worker.terminate();
  }
}

test.runIf(process.platform === "linux")(
  "a thread gives way by itself: the others go on as they were, and it never takes more again",
  async () => {
    const before = getPriority();
    expect(await ends(before + 5)).toBe(before + 5);
    expect(await ends(before + 5, before + 1)).toBe(before + 5);
    expect(getPriority()).toBe(before);
  },
);
