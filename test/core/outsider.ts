/** A plugin that may do nothing but follow the facts of `right`. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { factsAfter } from "../../events/contract.ts";
import { right } from "./bus-contract.ts";

/** How facts of `right` are asked for, without its schemas. */
export const happened = { ...factsAfter("right"), question: v.any(), answer: v.any() };

/** The manifest. */
export const outsider = definePlugin({
  name: "outsider",
  summary: "",
  config: v.any(),
  offers: [],
  needs: [],
  emits: [],
  follows: right.emits,
  keeps: { tables: [] },
  reaches: [],
}).manifest;
