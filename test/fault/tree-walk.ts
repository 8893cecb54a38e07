/** A Merkle tree that only grows, written apart from the product's: RFC 6962 §2.1 with the complete subtrees of the right edge. */
import { createHash } from "node:crypto";

const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** See above. */
export class TreeWalk {
  #size = 0;
  readonly #edge: { readonly width: number; readonly hash: Uint8Array }[] = [];

  get size(): number {
    return this.#size;
  }

  /** Answers the leaf hash. */
  append(entry: Uint8Array): Uint8Array {
    const leaf = sha256(Uint8Array.of(0), entry);
    let node = { width: 1, hash: leaf };
    for (let left = this.#edge.at(-1); left?.width === node.width; left = this.#edge.at(-1)) {
      this.#edge.pop();
      const hash = sha256(Uint8Array.of(1), left.hash, node.hash);
      node = { width: node.width * 2, hash };
    }
    this.#edge.push(node);
    this.#size++;
    return leaf;
  }

  /** The root, in hex. */
  root(): string {
    const right = this.#edge.at(-1);
    if (right === undefined) return sha256().toHex();
    let root = right.hash;
    for (const { hash } of this.#edge.slice(0, -1).toReversed()) {
      root = sha256(Uint8Array.of(1), hash, root);
    }
    return Uint8Array.from(root).toHex();
  }
}
