/** The only door: turns HTTP into asks and answers into HTTP, and decides nothing else. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../core/plugin.ts";
import { slowStart } from "../../core/rate.ts";
import { createAdmission } from "./admission.ts";
import { type App, createApp } from "./app.ts";
import { keepCredentials, type KeptCredentials } from "./credentials.ts";
import { refusalText } from "./families.ts";
import { allow, passGate } from "./gate.ts";
import { createCalls, isCall, type ServeCall } from "./grpc.ts";
import { createPlainServer, createTlsServer, listen, type Serve } from "./listeners.ts";
import { http } from "./manifest.ts";
import { createDoorMeter, type DoorMeter } from "./meter.ts";
import { passOnTo } from "./pass-on.ts";
import { createRate, type Rate } from "./rate.ts";
import { createRefusals } from "./refusals.ts";
import { doorRoutes } from "./routes.ts";
import { createShedding, type Shedding } from "./shedding.ts";
import { slowStrangers } from "./strangers.ts";

type DoorContext = Context<
  typeof http.manifest.config,
  typeof http.manifest.needs,
  typeof http.manifest.emits
>;

export default http.implement(async (context) => {
  const { ask, clock, config, detached, journal, peers, trace } = context;
  const { publicUrl, demo, ctLog, rekorV2Log, limits } = config;
  const draining = new AbortController();
  const nowMs = (): number => performance.now();
  const rate = rateOf(limits, nowMs);
  await using opened = new AsyncDisposableStack();
  const noted = opened.use(createRefusals(ask, detached, () => clock.now().getTime()));
  const { refusals } = noted;
  const put = slowStrangers(noted.put, limits, nowMs);
  const admission = createAdmission(limits, rate);
  const isDraining = (): boolean => draining.signal.aborted;
  const routes = doorRoutes(
    put,
    { publicUrl, demo, ctLog, rekorV2Log, peers, draining: isDraining },
    passOnTo(context.home()),
  );
  const shedding = opened.use(createShedding({ routes, admission, rate, refusals, journal }));
  const meter = createDoorMeter();
  const serving = {
    meter,
    admission,
    rate,
    refusals,
    limits,
    draining: draining.signal,
    trace,
    journal,
  };
  const app = await createApp({ routes, ...serving });
  const serveCall = createCalls({ ask: put, ...serving });
  const serve = serveBy({ app, serveCall, shedding, journal, meter });
  opened.use(app);
  const credentials = config.tlsPort === undefined ? null : await keepCredentials(context);
  if (credentials !== null) opened.use(credentials);
  await openListeners(serve, context, { credentials, opened });
  const kept = opened.move();
  let closed: Promise<void> | null = null;
  const close = async () => await (closed ??= kept.disposeAsync());
  return {
    handlers: {},
    metrics: async () => await meter.metrics(),
    health() {
      const trouble = credentials?.trouble() ?? null;
      return trouble === null ? { status: "ok" } : { status: "degraded", ...trouble };
    },
    /** Says that it is not ready, waits until that is known, shuts the doors, and finishes what came in before. */
    async drain() {
      draining.abort();
      await sleep(limits.drainNoticeMs);
      await close();
      await noted.refusals.flush();
    },
    [Symbol.asyncDispose]: close,
  };
});

/** What a request goes through before anything of it is read. */
function serveBy({
  app,
  serveCall,
  shedding,
  journal,
  meter,
}: {
  readonly app: App;
  readonly serveCall: ServeCall;
  readonly shedding: Shedding;
  readonly journal: DoorContext["journal"];
  readonly meter: DoorMeter;
}): Serve {
  return (request, response) => {
    const passed = passGate(request);
    if (typeof passed === "number") {
      const id = randomUUID().replaceAll("-", "");
      journal.info("request-refused", { status: passed, request: id });
      refuse(passed, id, response);
      meter.request({ method: request.method ?? "", route: undefined, status: passed, seconds: 0 });
      return;
    }
    request.url = passed.target;
    if ("stream" in request && "stream" in response && isCall(request.headers)) {
      serveCall(request, response);
      return;
    }
    if (shedding.refuses(request, response)) return;
    // Fastify serves the compatibility form of HTTP/2 as it serves HTTP/1; its types know one server at a time.
    app.serve(request as IncomingMessage, response as ServerResponse);
  };
}

function rateOf(limits: DoorContext["config"]["limits"], nowMs: () => number): Rate | null {
  const { requestsPerSecondPerClient: perSecond, burstPerClient: burst, slowStartMs } = limits;
  if (perSecond === undefined) return null;
  return createRate({ perSecond, burst }, nowMs, slowStart(slowStartMs, nowMs));
}

/** Opens every listener of the configuration; those opened are closed again if one cannot be. */
async function openListeners(
  serve: Serve,
  { config, journal }: DoorContext,
  { credentials, opened }: { credentials: KeptCredentials | null; opened: AsyncDisposableStack },
): Promise<void> {
  const { limits } = config;
  for (const host of config.addresses) {
    const plain = () => createPlainServer(serve, limits);
    await open(host, config.port, plain);
    if (credentials !== null) {
      await open(host, config.tlsPort ?? 0, () => {
        const server = createTlsServer(serve, limits, credentials.now);
        credentials.serve(server);
        return server;
      });
    }
  }

  async function open(
    host: string,
    port: number,
    create: () => Parameters<typeof listen>[0],
  ): Promise<void> {
    try {
      const listener = await listen(create(), host, port);
      opened.use(listener);
      journal.info("listening", { host, port: listener.port, tls: port === config.tlsPort });
    } catch (thrown) {
      // Machines without IPv6 are served on IPv4; any other missing address is a mistake in the configuration.
      if (host !== "::1" || !isAbsent(thrown)) throw thrown;
      journal.warn("address-not-available", { host, port });
    }
  }
}

function isAbsent(thrown: unknown): boolean {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : null;
  return code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT";
}

/** Before any route: a plain line of text. */
function refuse(status: number, id: string, response: Parameters<Serve>[1]): void {
  const text = `${refusalText(status)}\n`;
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    "content-length": text.length,
    "x-content-type-options": "nosniff",
    "x-request-id": id,
    ...(status === 405 && { allow }),
    ...(!("stream" in response) && { connection: "close" }),
  };
  if ("stream" in response) response.writeHead(status, headers).end(text);
  else response.writeHead(status, headers).end(text);
}
