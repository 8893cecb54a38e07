/**
 * The disk's reserve: below it nothing new is promised, so that what has been taken can be finished, recorded and shut down in order,
 * and no log dies of a full disk. It is looked at every second; between two looks no more comes than the pool takes.
 */
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "../../events/failure.ts";

const everyMs = 1_000;
const largestReserveBytes = 1024 ** 3;
const reserveFraction = 0.05;

/** What a file system has, in bytes. */
export interface Space {
  readonly free: number;
  readonly size: number;
}

/** Tells what the file system of a path has; null if that cannot be known. */
export type Look = (path: string) => Promise<Space | null>;

/** True if less is free than is kept in reserve: by default a twentieth of the disk, at most 1 GiB. */
export function isShort({ free, size }: Space, reserveBytes?: number): boolean {
  const reserve = reserveBytes ?? Math.min(largestReserveBytes, size * reserveFraction);
  return free < reserve;
}

/** Watches the disk of a home, until disposed. */
export class Reserve implements Disposable {
  readonly #timer: NodeJS.Timeout;
  readonly #look: () => Promise<void>;
  #isShort = false;

  private constructor(look: () => Promise<boolean>) {
    this.#look = async () => void (this.#isShort = await look());
    this.#timer = setInterval(() => void this.#look(), everyMs).unref();
  }

  /** Has looked once when it resolves. */
  static async watch(
    home: string,
    {
      reserveBytes,
      look = spaceOf,
    }: { readonly reserveBytes?: number | undefined; readonly look?: Look },
  ): Promise<Reserve> {
    const reserve = new Reserve(async () => {
      const space = await look(home);
      return space !== null && isShort(space, reserveBytes);
    });
    await reserve.#look();
    return reserve;
  }

  /** Why nothing new is taken, or null. */
  get trouble(): string | null {
    return this.#isShort ? "the disk has reached its reserve; make room" : null;
  }

  /** @throws {Failure} overloaded */
  require(): void {
    if (this.trouble !== null) throw new Failure("overloaded", this.trouble);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** What the file system has on which the path is, or will be. */
async function spaceOf(path: string): Promise<Space | null> {
  try {
    const { bavail, blocks, bsize } = await statfs(path);
    return { free: bavail * bsize, size: blocks * bsize };
  } catch {
    return path === dirname(path) ? null : await spaceOf(dirname(path));
  }
}
