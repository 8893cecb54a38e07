/** The JSON Schema (draft 2020-12) of policy files, for editors: derived from the schema that the room parses with. */
import { type ConversionConfig, type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import { policySchema } from "./document.ts";

/** The published schema, `plugins/policy/policy.schema.json`. What it cannot say (time zones, two rules with one id) the room refuses. */
export function policyJsonSchema(): string {
  const head = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Chancery policy",
  };
  return `${JSON.stringify({ ...head, ...convert(policySchema) }, null, 2)}\n`;
}

const options: ConversionConfig = {
  typeMode: "input",
  errorMode: "ignore",
  target: "draft-2020-12",
  // Maps are looked at before the schema library is: what stands behind that look is their schema.
  overrideSchema({ valibotSchema }) {
    const { standsFor } = valibotSchema as { readonly standsFor?: GenericSchema }; // put there by document.ts
    return standsFor && convert(standsFor);
  },
};

function convert(schema: GenericSchema): JsonSchema {
  const { $schema: _, ...converted } = toJsonSchema(schema, options);
  return converted;
}
