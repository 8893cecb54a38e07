/** Subjects, the permissions to use them and the keys that go with them, derived from manifests and from nothing else. */
import { type Ask, factsAfter, reportHealth, reportMetrics } from "../events/contract.ts";
import type { Manifest } from "./plugin.ts";

/** The asker is part of the subject, so NATS itself vouches for who is asking. `*` for any. */
export function askSubject(ask: Ask, asker: string): string {
  return `chancery.v1.ask.${ask.room}.${ask.name}.${asker}`;
}

/** "Facts exist": the facts themselves are asked for. */
export function wakeSubject(room: string): string {
  return `chancery.v1.wake.${room}`;
}

/** "A process has begun to answer for this room": whoever asked the one before it need not wait any longer. */
export function startedSubject(room: string): string {
  return `chancery.v1.started.${room}`;
}

/** Where answers to a plugin's asks arrive, below this prefix. */
export function inboxPrefix(asker: string): string {
  return `_INBOX.${asker}`;
}

/** Allow-lists of a NATS user; what is on neither is refused. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Least privilege: what the manifests do not mention, a plugin cannot even send. One entry a plugin, by name. */
export function permissions(manifests: readonly Manifest[]): ReadonlyMap<string, Permissions> {
  const pairs = askingPairs(manifests);
  return new Map(
    manifests.map((manifest) => {
      const { name, offers, emits, follows } = manifest;
      const askers = pairs.filter(([, answerer]) => answerer === name).map(([asker]) => asker);
      const answered = [...offers, ...(emits.length > 0 ? [factsAfter(name)] : [])];
      return [
        name,
        {
          publish: unique([
            ...asked(manifest, manifests).map((ask) => askSubject(ask, name)),
            ...(emits.length > 0 ? [wakeSubject(name)] : []),
            startedSubject(name),
            ...askers.map((asker) => `${inboxPrefix(asker)}.>`),
          ]),
          subscribe: unique([
            ...[...answered, reportHealth(name)].map((ask) => askSubject(ask, "*")),
            ...(isMeasured(manifests) ? [askSubject(reportMetrics(name), "*")] : []),
            ...follows.map(({ room }) => wakeSubject(room)),
            ...unique(asked(manifest, manifests).map(({ room }) => startedSubject(room))),
            `${inboxPrefix(name)}.>`,
          ]),
        },
      ];
    }),
  );
}

/** True if anybody asks rooms for their metrics; else they offer none. */
export function isMeasured(manifests: readonly Manifest[]): boolean {
  return manifests.some(({ measures }) => measures === true);
}

/** Every pair that needs a key of its own: who asks whom, and who vouches to whom. */
export function pairs(
  manifests: readonly Manifest[],
): (readonly [asker: string, answerer: string])[] {
  const vouching = manifests.flatMap(({ name, vouchesTo = [] }) =>
    vouchesTo.map((room) => [name, room] as const),
  );
  const all = [...askingPairs(manifests), ...vouching];
  return [...new Map(all.map((pair) => [pair.join("--"), pair])).values()];
}

function askingPairs(manifests: readonly Manifest[]): (readonly [string, string])[] {
  const all = manifests.flatMap((manifest) =>
    asked(manifest, manifests).map(({ room }) => [manifest.name, room] as const),
  );
  const others = all.filter(([asker, answerer]) => asker !== answerer);
  return [...new Map(others.map((pair) => [pair.join("--"), pair])).values()];
}

/** Everything a plugin, or the kernel in its name, may ask. */
function asked(
  { needs, follows, oversees, measures }: Manifest,
  manifests: readonly Manifest[],
): Ask[] {
  return [
    ...needs,
    ...unique(follows.map(({ room }) => room)).map((room) => factsAfter(room)),
    ...(oversees ? manifests.map(({ name }) => reportHealth(name)) : []),
    ...(measures ? manifests.map(({ name }) => reportMetrics(name)) : []),
  ];
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
