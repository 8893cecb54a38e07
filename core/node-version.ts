/** The oldest Node the product runs on: below it, `Uint8Array.fromBase64` and `await using` are missing or unfinished. */
const oldest = [26, 5, 1] as const;

/** What is wrong with this version of Node, in one sentence; null if nothing is. */
export function unsuitableNode(version: string): string | null {
  const parts = version.replace(/^v/, "").split(".").map(Number);
  for (const [index, least] of oldest.entries()) {
    const part = parts[index] ?? 0;
    if (part > least) return null;
    if (part < least) {
      return `this is Node ${version}, and Chancery needs ${oldest.join(".")} or newer: start it with "npm start", which brings its own`;
    }
  }
  return null;
}
