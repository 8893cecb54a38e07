/**
 * Looking again at signatures that another room has verified already. The vault releases none that it has not verified with the pinned
 * key, and what it says is authenticated on its way; so who is given a whole batch of them looks at one, which is what a mistake that
 * concerns all of them (another key, another format) cannot hide from. One at a time, each is looked at.
 */

/** True if this one is to be looked at. */
export type SpotCheck = () => boolean;

/** Picks the first of each turn of the event loop: what one message brought is settled in one turn. */
export function firstOfEachTurn(): SpotCheck {
  let isTaken = false;
  return () => {
    if (isTaken) return false;
    isTaken = true;
    setImmediate(() => (isTaken = false));
    return true;
  };
}

/** Picks every one: what comes from anybody. */
export const everyOne: SpotCheck = () => true;
