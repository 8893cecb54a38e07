/** The journal as one JSON object a line, by pino. Written synchronously, so that the last line before a crash is there. */
import pino from "pino";
import type { Journal } from "./journal.ts";

/** Fields that are never written, at the top or one or two levels down. */
const secrets = ["idToken", "pin", "adminSecret", "seed", "authorization"];

/** Makes the journals of one process, by plugin. */
export function pinoJournal(
  process: string,
  destination: { write(line: string): void } = pino.destination({ dest: 2, sync: true }),
): (plugin: string) => Journal {
  const root = pino(
    {
      base: { process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: {
        paths: secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: "[redacted]",
      },
      serializers: { cause: describe },
    },
    destination,
  );
  return (plugin) => {
    const journal = root.child({ plugin });
    return {
      info: (event, fields) => journal.info({ event, ...fields }),
      warn: (event, fields) => journal.warn({ event, ...fields }),
      error: (event, fields) => journal.error({ event, ...fields }),
    };
  };
}

/** An error with its chain of causes, which stay in this process and its journal. */
function describe(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const { name, message, stack, cause } = thrown;
  const first = stack?.split("\n").slice(1, 9).join("\n");
  const chain = cause === undefined || depth > 4 ? {} : { cause: describe(cause, depth + 1) };
  return { name, message, stack: first, ...chain };
}
