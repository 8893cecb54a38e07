/** What of the package `oidc-provider` is used here; it brings no types of its own. */
declare module "oidc-provider" {
  import type { IncomingMessage, ServerResponse } from "node:http";
  import type { KeyObject } from "node:crypto";

  /** A key that signs elsewhere. */
  export class ExternalSigningKey {
    get kid(): string;
    set kid(value: string);
    get alg(): string;
    set alg(value: string);
    keyObject(): KeyObject;
    sign(data: Uint8Array): Promise<Uint8Array>;
  }

  /** A Koa context, as far as pages and checks need it. */
  export interface ProviderContext {
    readonly method: string;
    /** Of the client, as the door said. */
    readonly ip: string;
    readonly path: string;
    query: { readonly [name: string]: string | readonly string[] | undefined };
    /** Ours, for the time of the request. */
    readonly state: { userCode?: string };
    body: unknown;
    status: number;
    type: string;
    set(headers: { readonly [name: string]: string }): void;
    readonly oidc: {
      readonly params?: { readonly [name: string]: unknown };
      readonly result?: { readonly consent?: { readonly grantId?: string } };
      readonly session?: {
        readonly accountId?: string;
        readonly state?: { readonly secret: string };
      };
      readonly client?: { readonly clientId: string; readonly clientName?: string };
      readonly provider: Provider;
      urlFor(name: string): string;
    };
  }

  /** An interaction under way. */
  export interface Interaction {
    readonly uid: string;
    readonly prompt: { readonly name: string };
    readonly params: { readonly [name: string]: unknown };
    readonly session?: { readonly accountId: string };
    readonly deviceCode?: string;
  }

  /** What somebody agreed to. */
  export interface Grant {
    addOIDCScope(scope: string): void;
    save(): Promise<string>;
  }

  /** The provider, a Koa application. */
  export default class Provider {
    constructor(issuer: string, configuration: object);
    proxy: boolean;
    readonly Grant: {
      new (properties: { readonly accountId: string; readonly clientId: string }): Grant;
      find(id: string): Promise<Grant | undefined>;
    };
    use(step: (context: ProviderContext, next: () => Promise<void>) => Promise<void>): this;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    on(event: string, listener: (...about: readonly unknown[]) => void): this;
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>;
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: object,
    ): Promise<void>;
  }
}
