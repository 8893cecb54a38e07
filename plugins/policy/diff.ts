/** What changes from one policy to another: in their text, and for requests that were decided before. */
import type { Policy, Rule } from "./document.ts";
import { compilePolicy, type Request } from "./evaluate.ts";

/** A line of a difference. */
export interface Change {
  readonly what: "added" | "removed" | "changed" | "moved";
  /** A rule's id, `default`, or `default of <issuer>`. */
  readonly name: string;
  readonly before?: string;
  readonly after?: string;
}

/** A request of the past that would be decided otherwise; null stands for what hangs on claims that no record keeps. */
export interface Redecided<Of> {
  readonly of: Of;
  readonly before: boolean | null;
  readonly after: boolean | null;
  readonly ruleBefore: string;
  readonly ruleAfter: string;
}

/** Differences of content, those of rules in the order of the newer policy and removed ones last. */
export function diffPolicies(before: Policy, after: Policy): readonly Change[] {
  return [
    ...changed("default", before.default, after.default),
    ...[...new Set([...Object.keys(before.issuers), ...Object.keys(after.issuers)])]
      .toSorted()
      .flatMap((issuer) =>
        changed(`default of ${issuer}`, before.issuers[issuer], after.issuers[issuer]),
      ),
    ...diffRules(before.rules, after.rules),
  ];
}

/** Which of `requests` the two policies decide differently, or cannot be known to decide alike. */
export function redecide<Of>(
  before: Policy,
  after: Policy,
  requests: readonly { readonly of: Of; readonly request: Request }[],
): readonly Redecided<Of>[] {
  const [decideBefore, decideAfter] = [compilePolicy(before), compilePolicy(after)];
  return requests.flatMap(({ of, request }) => {
    const [old, now] = [decideBefore(request), decideAfter(request)];
    if (old.allowed === now.allowed && old.allowed !== null) return [];
    // Both hang on the same rule, in the same words: they decide alike whatever the claims were.
    if (old.allowed === null && now.allowed === null && sameUpTo(before, after, old.rule))
      return [];
    const verdicts = { before: old.allowed, after: now.allowed };
    return [{ of, ...verdicts, ruleBefore: old.rule, ruleAfter: now.rule }];
  });
}

/** True if the two policies are one from the rule on. */
function sameUpTo(before: Policy, after: Policy, rule: string): boolean {
  const rest = (policy: Policy) => {
    const from = policy.rules.findIndex(({ id }) => id === rule);
    return JSON.stringify([policy.rules.slice(from), policy.default, policy.issuers]);
  };
  return rest(before) === rest(after);
}

function diffRules(before: readonly Rule[], after: readonly Rule[]): readonly Change[] {
  const old = new Map(before.map((rule) => [rule.id, rule]));
  const kept = new Set(after.map(({ id }) => id));
  const oldOrder = before.filter(({ id }) => kept.has(id)).map(({ id }) => id);
  const newOrder = after.filter(({ id }) => old.has(id)).map(({ id }) => id);
  return [
    ...after.flatMap((rule): readonly Change[] => {
      const was = old.get(rule.id);
      if (was === undefined) return changed(rule.id, undefined, describe(rule));
      if (describe(was) !== describe(rule)) return changed(rule.id, describe(was), describe(rule));
      const [from, to] = [oldOrder.indexOf(rule.id), newOrder.indexOf(rule.id)];
      if (from === to) return [];
      return [{ what: "moved", name: rule.id, before: `${from + 1}.`, after: `${to + 1}.` }];
    }),
    ...before
      .filter(({ id }) => !kept.has(id))
      .flatMap((rule) => changed(rule.id, describe(rule), undefined)),
  ];
}

function changed(
  name: string,
  before: string | undefined,
  after: string | undefined,
): readonly Change[] {
  if (before === after) return [];
  if (before === undefined) return [{ what: "added", name, after: after ?? "" }];
  if (after === undefined) return [{ what: "removed", name, before }];
  return [{ what: "changed", name, before, after }];
}

function describe({ effect, when, unless }: Rule): string {
  const exception = unless === undefined ? "" : ` unless ${JSON.stringify(unless)}`;
  const condition = Object.keys(when).length === 0 ? "" : ` when ${JSON.stringify(when)}`;
  return `${effect}${condition}${exception}`;
}
