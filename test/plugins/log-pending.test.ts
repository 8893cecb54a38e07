import { expect, test } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { PendingEntries } from "../../plugins/log/pending.ts";

const candidate = { kind: "body", body: encodeUtf8("body") } as const;

test("who looks for an entry in the store hears that it left memory meanwhile, and of no other entry", () => {
  const pending = new PendingEntries();
  const [own, other] = [encodeUtf8("own"), encodeUtf8("other")];
  const entry = pending.add(own, candidate);
  {
    using search = pending.search(own);
    using second = pending.search(own);
    using elsewhere = pending.search(other);
    pending.settle(entry);
    expect([search.hasLeft, second.hasLeft, elsewhere.hasLeft]).toEqual([true, true, false]);
    search.hasLeft = false;
    pending.settle(pending.add(other, candidate));
    expect([search.hasLeft, elsewhere.hasLeft]).toEqual([false, true]);
  }
  using later = pending.search(own);
  expect(later.hasLeft).toBe(false);
});
