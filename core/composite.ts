/** The bus of one process of several: plugins placed here talk directly, all others by messages. */
import type { Bus } from "./bus.ts";

/** Sends every ask the shorter way; `here` says which rooms are placed in this process. */
export function compositeBus(local: Bus, remote: Bus, here: (room: string) => boolean): Bus {
  const way = (room: string): Bus => (here(room) ? local : remote);
  return {
    ask: (ask, question, stamp, read) => way(ask.room).ask(ask, question, stamp, read),
    async awaitAnswerer(ask, asker, withinMs) {
      await way(ask.room).awaitAnswerer(ask, asker, withinMs);
    },
    answer(ask, answerer) {
      local.answer(ask, answerer);
      remote.answer(ask, answerer);
    },
    wake(room) {
      local.wake(room);
      remote.wake(room);
    },
    onWake(room, follower, listener) {
      way(room).onWake(room, follower, listener);
    },
    async ready() {
      await local.ready();
      await remote.ready();
    },
    async drain(withinMs) {
      // Others first: what they still wait for may need answers from here.
      await remote.drain(withinMs);
      await local.drain(withinMs);
    },
    async [Symbol.asyncDispose]() {
      await remote[Symbol.asyncDispose]();
      await local[Symbol.asyncDispose]();
    },
  };
}
