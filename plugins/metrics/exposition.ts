/** What rooms have counted as one page (https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4). */
import { AggregatorRegistry, type MetricObject, Registry } from "prom-client";
import type { Metric } from "../../events/contract.ts";

/** The type of the page. */
export const pageType = Registry.PROMETHEUS_CONTENT_TYPE;

/** One page of the metrics of all rooms, those of one name and label set summed up. */
export async function formatPage(rooms: readonly (readonly Metric[])[]): Promise<string> {
  const all = [...rooms, fulcioMetrics(rooms), buildInfo];
  // A metric of ours has every member that prom-client's own form needs.
  return await AggregatorRegistry.aggregate(all as unknown as MetricObject[][]).metrics();
}

/** Certificates by Fulcio's name: what the issuer has answered. */
function fulcioMetrics(rooms: readonly (readonly Metric[])[]): readonly Metric[] {
  const answered = rooms
    .flat()
    .filter(({ name }) => name === "chancery_ask_duration_seconds")
    .flatMap(({ values }) => values)
    .filter(
      ({ metricName, labels }) =>
        metricName?.endsWith("_count") === true &&
        labels["ask"] === "issueCertificate" &&
        labels["outcome"] === "ok",
    );
  const value = answered.reduce((sum, sample) => sum + sample.value, 0);
  const help = "The total number of certificates generated";
  const values = [{ labels: {}, value }];
  return [{ name: "fulcio_new_certs", help, type: "counter", aggregator: "sum", values }];
}

const buildInfo: readonly Metric[] = [
  {
    name: "fulcio_build_info",
    help: "The program that answers",
    type: "gauge",
    aggregator: "sum",
    values: [{ labels: { program: "chancery", node_version: process.version }, value: 1 }],
  },
];
