/** The health of the gRPC services (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): serving until the door drains. */
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { CA } from "./proto/fulcio-messages.ts";
import { Health, HealthCheckResponse_ServingStatus as status } from "./proto/health-messages.ts";

/** What can be asked about: the server as a whole, and each service. */
const known: ReadonlySet<string> = new Set(["", CA.typeName, Health.typeName]);

/** The service. */
export function healthService(draining: AbortSignal): ServiceImpl<typeof Health> {
  const now = () => ({ status: draining.aborted ? status.NOT_SERVING : status.SERVING });
  return {
    check({ service }) {
      if (!known.has(service)) throw new ConnectError("unknown service", Code.NotFound);
      return now();
    },
    async *watch({ service }, { signal }) {
      if (!known.has(service)) {
        yield { status: status.SERVICE_UNKNOWN };
        return;
      }
      yield now();
      if (draining.aborted) return;
      await aborted(AbortSignal.any([signal, draining]));
      if (!signal.aborted) yield now();
    },
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}
