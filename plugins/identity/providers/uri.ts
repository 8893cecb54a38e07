/** Machines whose subject is a URI below a domain the issuer answers for. */
import type { Provider } from "../provider.ts";

export default {
  type: "uri",
  challenge: "sub",
  san: { kind: "uri", template: "sub" },
  subjectDomain: true,
  required: [],
  extensions: [],
} satisfies Provider;
