/** Where in its file a policy says what decided: for whoever is told which line to change. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";

/**
 * The line of the rule that decided, or of the default that did; null if the text does not have it, as where a default is implied.
 * `rule` is as in a verdict; `section` is where in the text the policy stands.
 */
export function lineOfRule(
  text: string,
  { rule, oidcIssuer }: { readonly rule: string; readonly oidcIssuer: string },
  section: readonly string[] = [],
): number | null {
  const lines = new LineCounter();
  const { contents } = parseDocument(text, { version: "1.2", lineCounter: lines });
  const policy = section.reduce<unknown>(memberOf, contents);
  const lineOf = (node: Node | null): number | null => {
    const offset = node?.range?.[0];
    return offset === undefined ? null : lines.linePos(offset).line;
  };
  if (rule === "default") return lineOf(keyOf(policy, "default"));
  if (rule === "default:issuer") return lineOf(keyOf(memberOf(policy, "issuers"), oidcIssuer));
  if (rule.startsWith("limit:")) return lineOf(keyOf(policy, "limits"));
  const rules = memberOf(policy, "rules");
  if (!isSeq(rules)) return null;
  const found = rules.items.find((item) => {
    const id = memberOf(item, "id");
    return isScalar(id) && id.value === rule;
  });
  return lineOf(isMap(found) ? found : null);
}

/** Where an entry of a list stands whose member `name` is `value`. */
export function lineOfEntry(
  text: string,
  list: readonly string[],
  { name, value }: { readonly name: string; readonly value: string },
): number | null {
  const lines = new LineCounter();
  const { contents } = parseDocument(text, { version: "1.2", lineCounter: lines });
  const items = list.reduce<unknown>(memberOf, contents);
  if (!isSeq(items)) return null;
  for (const item of items.items) {
    const member = memberOf(item, name);
    if (!isScalar(member) || member.value !== value) continue;
    const offset = isMap(item) ? item.range?.[0] : undefined;
    return offset === undefined ? null : lines.linePos(offset).line;
  }
  return null;
}

function memberOf(node: unknown, name: string): unknown {
  return isMap(node) ? node.get(name, true) : undefined;
}

function keyOf(node: unknown, name: string): Node | null {
  if (!isMap(node)) return null;
  for (const { key } of node.items) if (isScalar(key) && key.value === name) return key;
  return null;
}
