/**
 * Lets a few go on in each turn of the event loop. What a group commit or a batch of signatures has released would otherwise all go on
 * at once: the vault would wait until the services have worked for all of them, and the services until it has signed for all. In slices
 * one works on the first while the other works on the next. Whoever comes alone does not wait.
 */
export function inSlicesOf(perTurn: number): () => Promise<void> {
  const waiting: (() => void)[] = [];
  let passed = 0;
  let isCounting = false;

  const nextTurn = (): void => {
    passed = 0;
    isCounting = false;
    for (const go of waiting.splice(0, perTurn)) {
      count();
      go();
    }
  };
  const count = (): void => {
    passed++;
    if (isCounting) return;
    isCounting = true;
    // Two turns on: what this slice asks leaves at the end of the first, as a message of its own.
    setImmediate(() => setImmediate(nextTurn));
  };
  return async () => {
    if (passed >= perTurn) {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return;
    }
    count();
  };
}
