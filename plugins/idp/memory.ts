/**
 * Where `oidc-provider` keeps sessions, interactions, grants and codes: in memory, bounded, each with its end. Nothing of it is worth
 * a commit to the disk: whoever loses it in a restart signs in again, a code that dies with its process cannot be used twice, and
 * there is no file of live sessions to steal or to forget in a backup.
 */

/** What the provider stores. */
export interface Payload {
  readonly uid?: string;
  readonly userCode?: string;
  readonly grantId?: string;
  readonly accountId?: string;
  consumed?: number;
}

/** The adapter contract of `oidc-provider`, for one kind of thing. */
interface Adapter {
  upsert(id: string, payload: Payload, expiresInSeconds?: number): Promise<void>;
  find(id: string): Promise<Payload | undefined>;
  findByUserCode(userCode: string): Promise<Payload | undefined>;
  findByUid(uid: string): Promise<Payload | undefined>;
  consume(id: string): Promise<void>;
  destroy(id: string): Promise<void>;
  revokeByGrantId(grantId: string): Promise<void>;
}

interface Held {
  readonly payload: Payload;
  readonly endsAtMs: number;
}

/** Things of one kind held at once. A stranger can make some of them; the one made longest ago goes first. */
const maxHeld = 2_000;
const defaultSeconds = 3_600;

/** Makes the adapter of each kind; all of one provider share one memory. */
export function createMemory(nowMs: () => number): (kind: string) => Adapter {
  const shelves = new Map<string, Map<string, Held>>();
  return (kind) => {
    // Whoever has signed in is not driven out by those who have not.
    const known = shelf(`${kind}:known`);
    const anonymous = shelf(`${kind}:anonymous`);
    const kept = [known, anonymous];
    const live = (held: Held | undefined): Payload | undefined =>
      held !== undefined && held.endsAtMs > nowMs() ? held.payload : undefined;
    const look = (fits: (payload: Payload) => boolean): Payload | undefined =>
      kept
        .flatMap((one) => [...one.values()])
        .map(live)
        .find((payload) => payload !== undefined && fits(payload));
    const find = (id: string): Payload | undefined => live(known.get(id) ?? anonymous.get(id));
    return {
      async upsert(id, payload, expiresInSeconds = defaultSeconds) {
        for (const one of kept) one.delete(id);
        const target = payload.accountId === undefined ? anonymous : known;
        target.set(id, { payload, endsAtMs: nowMs() + expiresInSeconds * 1_000 });
        if (target.size > maxHeld) sweep(target);
        await Promise.resolve();
      },
      find: async (id) => await Promise.resolve(find(id)),
      findByUid: async (uid) => await Promise.resolve(look((payload) => payload.uid === uid)),
      findByUserCode: async (userCode) =>
        await Promise.resolve(look((payload) => payload.userCode === userCode)),
      async consume(id) {
        const payload = find(id);
        if (payload !== undefined) payload.consumed = Math.floor(nowMs() / 1_000);
        await Promise.resolve();
      },
      async destroy(id) {
        for (const one of kept) one.delete(id);
        await Promise.resolve();
      },
      async revokeByGrantId(grantId) {
        for (const one of kept) {
          for (const [id, { payload }] of one) if (payload.grantId === grantId) one.delete(id);
        }
        await Promise.resolve();
      },
    };
  };

  function shelf(name: string): Map<string, Held> {
    const made = shelves.get(name) ?? new Map<string, Held>();
    shelves.set(name, made);
    return made;
  }

  /** Drops what has ended, and the oldest if that was nothing. */
  function sweep(held: Map<string, Held>): void {
    for (const [id, { endsAtMs }] of held) if (endsAtMs <= nowMs()) held.delete(id);
    const [oldest] = held.size > maxHeld ? held.keys() : [];
    if (oldest !== undefined) held.delete(oldest);
  }
}
