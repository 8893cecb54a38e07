import { expect, it } from "vitest";
import { isEmailAddress } from "../../core/formats/email.ts";

const domain = (length: number) => `${`${"a".repeat(49)}.`.repeat(4)}${"b".repeat(length - 200)}`;

it.each([
  "a@b",
  "user@example.com",
  "first.last+tag@sub.example.co",
  "o'hara@x-y.example",
  `${"a".repeat(64)}@b`,
  `a@${domain(252)}`,
])("takes %s", (text) => expect(isEmailAddress(text)).toBe(true));

it.each([
  "",
  "a",
  "@b",
  "a@",
  "a@@b",
  "a b@c",
  ".a@b",
  "a.@b",
  "a..b@c",
  "a@.b",
  "a@b.",
  "a@b..c",
  "a@-b",
  "a@b-",
  "a@b_c",
  "a@[127.0.0.1]",
  '"a"@b',
  "a@b\n",
  "\na@b",
  "a\u0000@b",
  "é@b",
  "a@é",
  "a(comment)@b",
  "a,b@c",
  "a@b,c@d",
  "<a@b>",
  `${"a".repeat(65)}@b`,
  `a@${"b".repeat(64)}`,
  `a@${domain(253)}`,
])("refuses %j", (text) => expect(isEmailAddress(text)).toBe(false));
