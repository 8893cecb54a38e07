/**
 * What the door counts, under the names that Fulcio's, Rekor's and the timestamp authority's dashboards know. Latency and rates of HTTP
 * and gRPC are taken here, once. Labels are of closed sets: routes and methods that there are, so that no caller can add series.
 */
import { Counter, Histogram, Registry } from "prom-client";
import { Code } from "@connectrpc/connect";
import type { Metric } from "../../events/contract.ts";
import { type AnsweredRequest, buckets, createRequestMeter } from "./request-meter.ts";

/** A call that has ended. */
export interface EndedCall {
  readonly service: string;
  readonly method: string;
  readonly stream: boolean;
  readonly code: number;
  readonly seconds: number;
}

/** The door's counters. */
export interface DoorMeter {
  request(request: AnsweredRequest): void;
  call(call: EndedCall): void;
  metrics(): Promise<readonly Metric[]>;
}

/** Counters at zero. */
export function createDoorMeter(): DoorMeter {
  const registry = new Registry();
  const requests = createRequestMeter();
  return {
    request: (request) => requests.request(request),
    call: countCalls(registry),
    async metrics() {
      // What prom-client gives has more members than cross the bus; the names and values are these.
      const all = (await registry.getMetricsAsJSON()) as unknown as readonly Metric[];
      const calls = all.map(({ name, help, type, values }) => ({
        name,
        help,
        type,
        aggregator: "sum" as const,
        values: values.map(({ metricName, labels, value }) => ({
          ...(metricName !== undefined && { metricName }),
          labels: { ...labels },
          value,
        })),
      }));
      return [...requests.metrics(), ...calls];
    },
  };
}

function countCalls(registry: Registry): DoorMeter["call"] {
  const { counter, histogram } = makers(registry);
  const labels = ["grpc_type", "grpc_service", "grpc_method"] as const;
  const started = counter("grpc_server_started_total", "Calls started", ...labels);
  const handled = counter("grpc_server_handled_total", "Calls ended", ...labels, "grpc_code");
  const took = histogram("grpc_server_handling_seconds", "How long calls take", ...labels);
  return ({ service, method, stream, code, seconds }) => {
    const about = {
      grpc_type: stream ? "server_stream" : "unary",
      grpc_service: service,
      grpc_method: method,
    };
    started.inc(about);
    handled.inc({ ...about, grpc_code: code === 0 ? "OK" : (Code[code] ?? "Unknown") });
    took.observe(about, seconds);
  };
}

function makers(registry: Registry) {
  const registers = [registry];
  return {
    histogram: <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Histogram({ name, help, labelNames, buckets, registers }),
    counter: <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Counter({ name, help, labelNames, registers }),
  };
}
