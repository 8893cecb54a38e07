/** TUF roles (specification 1.0): read, held against the key's roles and a bound on expiry, and written anew. */
import { hash } from "node:crypto";
import {
  canonicalJson,
  parseRoot,
  parseSnapshot,
  parseTargets,
  parseTimestamp,
  rootRole,
  signedBytes,
  snapshotRole,
  targetsRole,
  timestampRole,
} from "../core/formats/tuf.ts";
import { type JsonValue, parseJson } from "../core/formats/json.ts";
import { Malformed } from "../core/formats/malformed.ts";
import { Failure } from "../events/failure.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";

/** What bounds roles: how far ahead each may expire. */
export interface RoleLimits {
  readonly roleLifetimeDays: {
    readonly root: number;
    readonly targets: number;
    readonly snapshot: number;
    readonly timestamp: number;
  };
}

const dayMs = 86_400_000;

/** @throws {Failure} purpose-refused. @throws {Malformed} if it is no role, or says what this system never writes */
export function prepareRole(
  text: string,
  key: VaultKey,
  limits: RoleLimits & { readonly nowMs: number },
): Prepared {
  const role = readRole(parseJson(text));
  if (!(key.roles ?? []).includes(role.type)) {
    throw new Failure("purpose-refused", `${key.label} may not sign the TUF role ${role.type}`);
  }
  const aheadMs = role.expires.getTime() - limits.nowMs;
  if (aheadMs <= 0 || aheadMs > limits.roleLifetimeDays[role.type] * dayMs) {
    throw new Failure(
      "lint-refused",
      `the TUF role ${role.type} must expire within ${limits.roleLifetimeDays[role.type]} days and after now`,
    );
  }
  return {
    messages: [role.bytes],
    claim: {
      kind: "role",
      type: role.type,
      version: role.version,
      hash: hash("sha256", role.bytes, "buffer"),
      ...(role.names && { names: role.names }),
    },
    binding: { kind: "role", type: role.type, version: role.version },
    signed: () => role.bytes,
  };
}

function readRole(signed: JsonValue) {
  if (signed === null || typeof signed !== "object" || Array.isArray(signed)) {
    throw new Malformed("tuf: a role is a JSON object");
  }
  // Array.isArray does not narrow a readonly array away; it was one of the three things refused above.
  const members = signed as { readonly [name: string]: JsonValue };
  const { type, fields, again, names } = byType(members);
  // Written anew from what was understood: nothing that was not understood is ever signed.
  if (canonicalJson(again) !== canonicalJson(members)) {
    throw new Malformed(`tuf: ${type}: holds what this version does not write`);
  }
  return {
    type,
    version: fields.version,
    expires: fields.expires,
    bytes: signedBytes(members),
    names,
  };
}

function byType(members: { readonly [name: string]: JsonValue }) {
  const type = members["_type"];
  if (type === "root") {
    const fields = parseRoot(members);
    return { type, fields, again: rootRole(fields), names: null } as const;
  }
  if (type === "targets") {
    const fields = parseTargets(members);
    return { type, fields, again: targetsRole(fields), names: null } as const;
  }
  if (type === "snapshot") {
    const fields = parseSnapshot(members);
    const names = { type: "targets", version: fields.targets.version };
    return { type, fields, again: snapshotRole(fields), names } as const;
  }
  if (type === "timestamp") {
    const fields = parseTimestamp(members);
    const names = { type: "snapshot", version: fields.snapshot.version };
    return { type, fields, again: timestampRole(fields), names } as const;
  }
  throw new Malformed("tuf: unknown role");
}
