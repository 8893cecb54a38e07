/**
 * Counts HTTP requests by route, method and status, by hand: it is done for every request, and prom-client would look up the labels of
 * several metrics each time. What dashboards want to see is made of the counts when somebody looks.
 */
import type { Metric } from "../../events/contract.ts";

/** A request that has been answered. */
export interface AnsweredRequest {
  readonly method: string;
  /** The route's path; undefined for what no route has. */
  readonly route: string | undefined;
  readonly status: number;
  readonly seconds: number;
}

/** From a millisecond to ten seconds. */
export const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** See {@link createRequestMeter}. */
interface RequestMeter {
  request(request: AnsweredRequest): void;
  metrics(): readonly Metric[];
}

/** Requests of one kind: how many took how long. */
interface Series {
  /** How many fell into each bucket and not into the one before it. */
  readonly inBuckets: number[];
  count: number;
  sum: number;
}

/** Requests of one route, method and status. */
interface Counted {
  readonly route: string;
  readonly method: string;
  readonly code: string;
  readonly series: Series;
}

type Labels = Metric["values"][number]["labels"];

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "OPTIONS"]);

/** A meter at zero. */
export function createRequestMeter(): RequestMeter {
  /** By status and method, then by route: no text is made for a request that is like one before it. */
  const kinds = new Map<number, Map<string, Map<string, Counted>>>();
  const countedOf = (status: number, method: string, route: string): Counted => {
    const byMethod = ensure(kinds, status, () => new Map<string, Map<string, Counted>>());
    const byRoute = ensure(byMethod, method, () => new Map<string, Counted>());
    return ensure(byRoute, route, () => ({
      route,
      method: method.toLowerCase(),
      code: String(status),
      series: emptySeries(),
    }));
  };
  return {
    request({ method, route = "", status, seconds }) {
      const { series } = countedOf(status, methods.has(method) ? method : "other", route);
      const bucket = buckets.findIndex((bound) => seconds <= bound);
      if (bucket >= 0) series.inBuckets[bucket] = (series.inBuckets[bucket] ?? 0) + 1;
      series.count += 1;
      series.sum += seconds;
    },
    metrics() {
      const all = [...kinds.values()].flatMap((methodsOf) =>
        [...methodsOf.values()].flatMap((routes) => [...routes.values()]),
      );
      const of = (api: ReturnType<typeof apiOf>) => all.filter(({ route }) => apiOf(route) === api);
      const [fulcio, rekor, stamps] = [of("fulcio"), of("rekor"), of("timestamp")];
      const byPath = ({ route: path, code }: Counted) => ({ path, code });
      const byMethod = ({ code, method }: Counted) => ({ code, method });
      const latency = "API latency on calls";
      return [
        counter("http_requests_total", "Count of all HTTP requests", all, byMethod),
        histogram("fulcio_api_latency", latency, fulcio, byMethod),
        histogram("rekor_api_latency", latency, rekor, byPath),
        counter(
          "rekor_qps_by_api",
          "API calls by path",
          rekor,
          ({ route: path, method, code }) => ({
            path,
            method,
            code,
          }),
        ),
        histogram("timestamp_authority_api_latency", "API latency", stamps, byPath),
      ];
    },
  };
}

function ensure<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

function emptySeries(): Series {
  return { inBuckets: buckets.map(() => 0), count: 0, sum: 0 };
}

function counter(
  name: string,
  help: string,
  counted: readonly Counted[],
  labelsOf: (one: Counted) => Labels,
): Metric {
  const values = summed(counted, labelsOf).map(({ labels, series: { count: value } }) => ({
    labels,
    value,
  }));
  return { name, help, type: "counter", aggregator: "sum", values };
}

function histogram(
  name: string,
  help: string,
  counted: readonly Counted[],
  labelsOf: (one: Counted) => Labels,
): Metric {
  const values = summed(counted, labelsOf).flatMap(({ labels, series }) => {
    let upTo = 0;
    const bounded = buckets.map((le, at) => {
      upTo += series.inBuckets[at] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: upTo };
    });
    return [
      ...bounded,
      { metricName: `${name}_bucket`, labels: { le: "+Inf", ...labels }, value: series.count },
      { metricName: `${name}_sum`, labels, value: series.sum },
      { metricName: `${name}_count`, labels, value: series.count },
    ];
  });
  return { name, help, type: "histogram", aggregator: "sum", values };
}

/** Those of one set of labels together. */
function summed(
  counted: readonly Counted[],
  labelsOf: (one: Counted) => Labels,
): readonly { readonly labels: Labels; readonly series: Series }[] {
  const sums = new Map<string, { readonly labels: Labels; readonly series: Series }>();
  for (const one of counted) {
    const labels = labelsOf(one);
    const { series } = ensure(sums, JSON.stringify(labels), () => ({
      labels,
      series: emptySeries(),
    }));
    for (const [at, count] of one.series.inBuckets.entries()) {
      series.inBuckets[at] = (series.inBuckets[at] ?? 0) + count;
    }
    series.count += one.series.count;
    series.sum += one.series.sum;
  }
  return [...sums.values()];
}

/** Whose API a route is. */
function apiOf(route: string): "fulcio" | "rekor" | "timestamp" | null {
  if (/^\/api\/v\d\/(?:signingCert|rootCert|trustBundle|configuration)$/.test(route))
    return "fulcio";
  if (/^\/api\/v\d\/log(?:\/|$)/.test(route)) return "rekor";
  return route.startsWith("/api/v1/timestamp") ? "timestamp" : null;
}
