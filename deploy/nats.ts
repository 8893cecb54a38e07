/** The NATS server's configuration: one user a plugin, allowed exactly what its manifest says. */
import { createUser, fromSeed } from "@nats-io/nkeys";
import type { Permissions } from "../core/acl.ts";

/** A new nkey: `seed` is secret (SU…), `publicKey` (U…) goes into the server's configuration. */
export interface Nkey {
  readonly seed: string;
  readonly publicKey: string;
}

/** Makes a user nkey. */
export function createNkey(): Nkey {
  const user = createUser();
  return { seed: new TextDecoder().decode(user.getSeed()), publicKey: user.getPublicKey() };
}

/** The public half of a seed. @throws if it is no seed. */
export function publicNkey(seed: string): string {
  return fromSeed(new TextEncoder().encode(seed.trim())).getPublicKey();
}

/** A plugin's identity and rights on the bus. */
export interface NatsUser {
  readonly name: string;
  readonly publicKey: string;
  readonly permissions: Permissions;
}

/** Largest message the bus carries; body limits and batch sizes derive from it (architecture, decision 3). */
const maxPayloadBytes = 8 * 1024 * 1024;

/**
 * nats.conf: loopback only, allow-lists only, no monitoring, no JetStream, no clustering, nobody without an nkey.
 */
export function formatNatsConfiguration(port: number, users: readonly NatsUser[]): string {
  const user = ({ name, publicKey, permissions }: NatsUser): string =>
    [
      `    # ${name}`,
      "    {",
      `      nkey: ${publicKey}`,
      "      permissions: {",
      `        publish: { allow: ${subjects(permissions.publish)} }`,
      `        subscribe: { allow: ${subjects(permissions.subscribe)} }`,
      "      }",
      "    }",
    ].join("\n");
  return [
    "# Generated from the plugins' manifests; edits are overwritten at the next start.",
    'listen: "127.0.0.1:' + String(port) + '"',
    "server_name: chancery",
    `max_payload: ${maxPayloadBytes}`,
    `max_pending: ${8 * maxPayloadBytes}`,
    "max_connections: 256",
    'write_deadline: "5s"',
    // A process that is paused, or whose machine is gone, must not be handed questions for long.
    'ping_interval: "3s"',
    "ping_max: 2",
    "authorization: {",
    "  users: [",
    users.map(user).join("\n"),
    "  ]",
    "}",
    "",
  ].join("\n");
}

function subjects(allowed: readonly string[]): string {
  return allowed.length === 0 ? '["chancery.nothing"]' : JSON.stringify(allowed);
}
