/**
 * Watches every way out of this process: names that are looked up, connections and packets. What nobody allowed is noted and refused, so
 * that no code of ours or of a library's can reach an address which is not in the configuration without a test hearing of it.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import dgram from "node:dgram";
import dns from "node:dns";
import dnsPromises from "node:dns/promises";
import { syncBuiltinESMExports } from "node:module";
import { isIP, type LookupFunction, Socket, type TcpNetConnectOpts } from "node:net";

/** A connection that was allowed. */
export interface Reached {
  /** The host as whoever connects calls it, and the port. */
  readonly name: string;
  /** Addresses that the connection was given for it. */
  readonly addresses: readonly string[];
}

/** Where somebody may go. */
export interface Permit {
  /** The port on loopback that stands for `host:port`; null if nobody may connect to that. */
  readonly standIn: (name: string) => number | null;
  /** True for an address that such a host may be reached at. */
  readonly mayBeAt: (address: string, name: string) => boolean;
  /** True for the path of a UNIX socket that may be connected to. */
  readonly socket: (path: string) => boolean;
}

/** A watched process. */
export interface Egress extends Disposable {
  /** What nobody allowed, as it came. */
  readonly strays: readonly string[];
  readonly reached: readonly Reached[];
  /** Paths of UNIX sockets that were connected to. */
  readonly sockets: ReadonlySet<string>;
  /** Runs what is not watched: the test's own requests. */
  unwatched<T>(work: () => T): T;
}

type Method = (this: unknown, ...given: unknown[]) => unknown;

/** Puts something around a method. */
type Around = (holder: object, name: string, around: (inner: Method) => Method) => void;

/** Watches until it is disposed of. */
export function watchEgress(permit: Permit): Egress {
  const [strays, reached, sockets] = [[] as string[], [] as Reached[], new Set<string>()];
  const own = new AsyncLocalStorage<true>();
  const stray = (what: string): Error => {
    strays.push(what);
    return new Error(`nobody allowed this: ${what}`);
  };
  const undo = new DisposableStack();
  const around: Around = (holder, name, guard) => {
    const methods = holder as { [name: string]: Method }; // a module or a prototype that has this method
    const inner = methods[name];
    if (inner === undefined) throw new Error(`there is no ${name}`);
    const guarded = guard(inner);
    methods[name] = function (...given) {
      return own.getStore() === true ? inner.apply(this, given) : guarded.apply(this, given);
    };
    undo.defer(() => {
      methods[name] = inner;
    });
  };
  guardNames(around, stray);
  guardPackets(around, stray);
  guardConnections(around, { permit, stray, reached, sockets });
  syncBuiltinESMExports();
  undo.defer(syncBuiltinESMExports);
  return {
    strays,
    reached,
    sockets,
    unwatched: (work) => own.run(true, work),
    [Symbol.dispose]: () => undo.dispose(),
  };
}

/** Functions of `node:dns` that ask somebody. */
const asking = ["lookup", "lookupService", "resolve", "resolve4", "resolve6", "resolveAny"];

/** Nothing is resolved but by the resolver that was handed in; of what is an address already nobody is asked. */
function guardNames(around: Around, stray: (what: string) => Error): void {
  for (const holder of [dns, dnsPromises]) {
    for (const name of asking) {
      around(
        holder,
        name,
        (inner) =>
          function (...given) {
            if (name === "lookup" && isIP(String(given[0])) !== 0) return inner.apply(this, given);
            throw stray(`dns.${name} ${String(given[0])}`);
          },
      );
    }
  }
}

function guardPackets(around: Around, stray: (what: string) => Error): void {
  for (const name of ["send", "connect"]) {
    around(dgram.Socket.prototype, name, () => (...given) => {
      throw stray(`packet to ${given.slice(1).map(String).join(" ")}`);
    });
  }
}

interface Book {
  readonly permit: Permit;
  readonly stray: (what: string) => Error;
  readonly reached: Reached[];
  readonly sockets: Set<string>;
}

/** TCP, what is on top of it, and UNIX sockets: all go through this one method. */
function guardConnections(around: Around, { permit, stray, reached, sockets }: Book): void {
  /** Why these addresses may not be used; null if they may. */
  const judge = (name: string, addresses: readonly string[]): Error | null => {
    const bad = addresses.find((address) => !permit.mayBeAt(address, name));
    if (bad !== undefined) return stray(`connect ${name} at ${bad}`);
    reached.push({ name, addresses });
    return null;
  };
  const vetted = (name: string, lookup: LookupFunction | undefined): LookupFunction =>
    function (host, wanted, callback) {
      if (lookup === undefined) {
        callback(stray(`connect ${name}, by the system's resolver`), "", 4);
        return;
      }
      lookup(host, { ...wanted, all: true }, (problem, found) => {
        const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [];
        const refused = problem ?? judge(name, addresses);
        if (refused !== null) callback(refused, "", 4);
        else if (wanted.all === true) callback(null, [{ address: "127.0.0.1", family: 4 }]);
        else callback(null, "127.0.0.1", 4);
      });
    };
  around(
    Socket.prototype,
    "connect",
    (inner) =>
      function (...given) {
        const options = optionsOf(given);
        if ("path" in options && typeof options.path === "string") {
          if (!permit.socket(options.path)) throw stray(`connect ${options.path}`);
          sockets.add(options.path);
          return inner.apply(this, given);
        }
        const { host = "localhost", port, lookup } = options as TcpNetConnectOpts; // it has no path
        const name = `${host}:${port}`;
        const standIn = permit.standIn(name);
        if (standIn === null) throw stray(`connect ${name}`);
        const refused = isIP(host) === 0 ? null : judge(name, [host]);
        if (refused !== null) throw refused;
        Object.assign(options, { port: standIn, lookup: vetted(name, lookup) });
        return inner.apply(this, given);
      },
  );
}

/** The options of a connection: the very object that the connection will read. */
function optionsOf(given: readonly unknown[]): object {
  // What `net.connect` and `tls.connect` hand on is an array of options and callback.
  const options: unknown = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (typeof options === "object" && options !== null) return options;
  throw new Error(`a connection to ${String(options)} by position: say it with options`);
}
