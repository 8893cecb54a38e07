/** The stock gRPC client for Node over TLS, told of our services by their descriptions. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  type ClientReadableStream,
  credentials,
  makeGenericClientConstructor,
  type Metadata as GrpcMetadata,
  type ServiceError,
} from "@grpc/grpc-js";
import * as grpc from "@grpc/grpc-js";
import { CA } from "../../plugins/http/proto/fulcio-messages.ts";
import { Health } from "../../plugins/http/proto/health-messages.ts";

/** A call's end as a client sees it. */
export interface Ended {
  readonly code: number;
  readonly message: string;
  readonly metadata: { readonly [name: string]: unknown };
  readonly answer: unknown;
}

/** What a call may have besides its message. */
export interface Extra {
  readonly metadata?: { readonly [name: string]: string };
  readonly options?: CallOptions;
  /** Called once it is under way, with what ends it. */
  readonly cancelled?: (cancel: () => void) => void;
}

/** A connected client. */
export interface GrpcClient extends Disposable {
  readonly call: (method: string, message: unknown, extra?: Extra) => Promise<Ended>;
  /** The answers of a stream until it ends, or until there are `most`. */
  readonly watch: (message: unknown, most: number) => Promise<unknown[]>;
}

const services = { CA, Health } as const;

/** Connects to `target` (`host:port`), trusting `authority` (PEM). */
export function grpcClient(
  target: string,
  authority: string,
  options: { readonly [name: string]: unknown } = {},
): GrpcClient {
  const clients = new Map<string, Client>();
  for (const [name, service] of Object.entries(services)) {
    const definition = Object.fromEntries(
      service.methods.map((method) => [method.name, definitionOf(service.typeName, method)]),
    );
    const Constructor = makeGenericClientConstructor(definition, name);
    const trusted = credentials.createSsl(Buffer.from(authority));
    clients.set(name, new Constructor(target, trusted, { ...options }));
  }
  const methodOf = (path: string) => {
    const [service = "", name = ""] = path.split("/");
    const client = clients.get(service) as unknown as { [name: string]: Unary }; // made of the definition above
    return { client, name };
  };
  return {
    call: async (path, message, { metadata = {}, options: own = {}, cancelled } = {}) => {
      const { client, name } = methodOf(path);
      const sent = new grpc.Metadata();
      for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
      return await new Promise((resolve) => {
        let head: GrpcMetadata | null = null;
        const call = client[name]?.call(client, message, sent, own, (error, answer) =>
          resolve({
            code: error?.code ?? 0,
            message: error?.details ?? "",
            metadata: { ...head?.getMap(), ...error?.metadata.getMap() },
            answer,
          }),
        );
        call?.on("metadata", (said) => (head = said));
        cancelled?.(() => call?.cancel());
      });
    },
    watch: async (message, most) => {
      const { client } = methodOf("Health/Watch");
      const stream = (client["Watch"] as unknown as Streaming).call(client, message);
      const seen: unknown[] = [];
      return await new Promise((resolve) => {
        stream.on("error", () => resolve(seen));
        stream.on("end", () => resolve(seen));
        stream.on("data", (one) => {
          if (seen.push(one) === most) stream.cancel();
        });
      });
    },
    [Symbol.dispose]() {
      for (const client of clients.values()) client.close();
    },
  };
}

type Unary = (
  message: unknown,
  metadata: GrpcMetadata,
  options: CallOptions,
  done: (error: ServiceError | null, answer: unknown) => void,
) => {
  on: (event: "metadata", listener: (metadata: GrpcMetadata) => void) => void;
  cancel: () => void;
};
type Streaming = (message: unknown) => ClientReadableStream<unknown>;

function definitionOf(
  service: string,
  method: { name: string; input: DescMessage; output: DescMessage; methodKind: string },
) {
  return {
    path: `/${service}/${method.name}`,
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestSerialize: (value: unknown) =>
      // Bytes are sent as they are, so that a test may send what no message is.
      value instanceof Uint8Array
        ? Buffer.from(value)
        : Buffer.from(toBinary(method.input, create(method.input, value as never))),
    requestDeserialize: (bytes: Uint8Array): MessageShape<DescMessage> =>
      fromBinary(method.input, bytes),
    responseSerialize: (value: MessageShape<DescMessage>) =>
      Buffer.from(toBinary(method.output, value)),
    responseDeserialize: (bytes: Uint8Array): MessageShape<DescMessage> =>
      fromBinary(method.output, bytes),
  };
}
