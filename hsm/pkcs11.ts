/**
 * PKCS#11 (v2.40 functions) through `pkcs11js`; nothing else imports that package. It initialises with CKF_OS_LOCKING_OK, finds a
 * token by label and serial number and never by slot number, and keeps data and result alive while an asynchronous signature runs:
 * the package holds raw pointers only, and was measured to sign other memory when they are collected.
 */
import pkcs11js from "pkcs11js";
import { HsmError, pinRefused, translated, VaultRefused } from "./errors.ts";
import {
  className,
  curves,
  edwards,
  type PairTemplate,
  pairTemplates,
} from "./pkcs11-templates.ts";
import { traced } from "./pkcs11-trace.ts";

/** An open session. Opaque. */
export interface Session {
  readonly handle: Buffer;
}

/** An object on the device, as one generation of sessions sees it. Opaque. */
export interface KeyHandle {
  readonly handle: Buffer;
}

/** A place where a token is. Opaque, and good until the module is finalised. */
export interface Slot {
  readonly handle: Buffer;
}

/** What a token says about itself. */
export interface Device {
  readonly slot: Slot;
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly firmware: string;
  readonly initialised: boolean;
  /** True after a wrong PIN since the last right one (CKF_USER_PIN_COUNT_LOW). */
  readonly pinCountLow: boolean;
}

/** An object as an inventory lists it. */
export interface TokenObject extends KeyHandle {
  readonly kind: string;
  readonly label: string;
  readonly id: Uint8Array;
}

const maxObjects = 4_096;
const ed25519PointBytes = 32;

/** How a key signs what it is given. */
export type SigningMechanism =
  /** CKM_ECDSA over a digest; answers r‖s. */
  | "ecdsa"
  /** CKM_RSA_PKCS over a DigestInfo. */
  | "rsa-pkcs1"
  /** CKM_EDDSA over the message itself. */
  | "eddsa";

const mechanisms = {
  ecdsa: { mechanism: pkcs11js.CKM_ECDSA },
  "rsa-pkcs1": { mechanism: pkcs11js.CKM_RSA_PKCS },
  eddsa: { mechanism: edwards.CKM_EDDSA },
} as const satisfies Record<SigningMechanism, object>;

export type { KeyAlgorithm } from "./pkcs11-templates.ts";

/** Attributes of a private key that say whether it can leave the device. */
export interface KeyAttributes {
  readonly sensitive: boolean;
  readonly extractable: boolean;
  readonly alwaysSensitive: boolean;
  readonly neverExtractable: boolean;
  readonly local: boolean;
  readonly sign: boolean;
  readonly derive: boolean;
  readonly decrypt: boolean;
  readonly unwrap: boolean;
  readonly modifiable: boolean;
}

/** What the public object of a pair holds. */
export type PublicAttributes =
  | {
      readonly kind: "ec";
      readonly curve: "p256" | "p384";
      /** Uncompressed point: 04 ‖ x ‖ y. */
      readonly point: Uint8Array;
    }
  | {
      readonly kind: "ed25519";
      /** 32 bytes (RFC 8032 §5.1.2). */
      readonly point: Uint8Array;
    }
  | { readonly kind: "rsa"; readonly modulus: Uint8Array; readonly exponent: Uint8Array };

/** A loaded and initialised PKCS#11 library. */
export class Module {
  readonly #library: pkcs11js.PKCS11;
  readonly #inFlight = new Set<object>();
  readonly path: string;

  /** Loads and initialises; `trace` is told of every call, without secrets. @throws {VaultRefused} if the library cannot be loaded */
  constructor(path: string, trace?: (call: string) => void) {
    this.path = path;
    const library = new pkcs11js.PKCS11();
    this.#library = trace ? traced(library, trace) : library;
    try {
      this.#library.load(path);
    } catch {
      throw new VaultRefused(
        `the PKCS#11 library ${path} cannot be loaded; install it, or name another as "module" in the section "hsm"`,
      );
    }
    this.initialise();
  }

  /** C_Initialize; a library that is initialised already is taken as it is. */
  initialise(): void {
    try {
      call("C_Initialize", () => this.#library.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK }));
    } catch (error) {
      if (reasonOf(error) !== "CKR_CRYPTOKI_ALREADY_INITIALIZED") throw error;
    }
  }

  /** C_Finalize. Never fails: a library that is not initialised is what was wanted. */
  finalise(): void {
    quietly(() => this.#library.C_Finalize());
  }

  /** Every token that is present and answers. */
  devices(): readonly Device[] {
    const slots = call("C_GetSlotList", () => this.#library.C_GetSlotList(true));
    return slots.flatMap((handle) => {
      try {
        const info = call("C_GetTokenInfo", () => this.#library.C_GetTokenInfo(handle));
        const { major, minor } = info.firmwareVersion;
        return [
          {
            slot: { handle },
            label: trimmed(info.label),
            serial: trimmed(info.serialNumber),
            manufacturer: trimmed(info.manufacturerID),
            model: trimmed(info.model),
            firmware: `${major}.${minor}`,
            initialised: (info.flags & pkcs11js.CKF_TOKEN_INITIALIZED) !== 0,
            pinCountLow: (info.flags & pkcs11js.CKF_USER_PIN_COUNT_LOW) !== 0,
          },
        ];
      } catch (error) {
        if (error instanceof HsmError) return [];
        throw error;
      }
    });
  }

  /** The one token with this label (and serial number, if given). @throws {HsmError} CKR_TOKEN_NOT_PRESENT unless there is exactly one */
  device(label: string, serial?: string): Device {
    const found = this.devices().filter(
      (device) =>
        device.initialised &&
        device.label === label &&
        (serial === undefined || device.serial === serial),
    );
    const [device] = found;
    if (device === undefined || found.length > 1) {
      throw new HsmError("C_GetSlotList", "CKR_TOKEN_NOT_PRESENT", 0xe0);
    }
    return device;
  }

  /** C_InitToken on a slot without a token, then the user's PIN. */
  initialiseDevice(slot: Slot, label: string, pins: { so: string; user: string }): Device {
    // pkcs11js pads with NUL, which no tool finds again; PKCS#11 wants 32 blanks.
    call("C_InitToken", () =>
      this.#library.C_InitToken(slot.handle, pins.so, label.padEnd(32, " ")),
    );
    const device = this.device(label);
    const session = this.openSession(device.slot, "write");
    try {
      this.login(session, pins.so, "security officer");
      call("C_InitPIN", () => this.#library.C_InitPIN(session.handle, pins.user));
      call("C_Logout", () => this.#library.C_Logout(session.handle));
    } finally {
      this.closeSession(session);
    }
    return device;
  }

  openSession(slot: Slot, mode: "read" | "write"): Session {
    const flags = pkcs11js.CKF_SERIAL_SESSION | (mode === "write" ? pkcs11js.CKF_RW_SESSION : 0);
    return {
      handle: call("C_OpenSession", () => this.#library.C_OpenSession(slot.handle, flags)),
    };
  }

  /** Never fails: a session that cannot be closed is gone. */
  closeSession(session: Session): void {
    quietly(() => this.#library.C_CloseSession(session.handle));
  }

  /** Logs the application in; being logged in already is success. @throws {PinRefused} */
  login(session: Session, pin: string, user: "user" | "security officer" = "user"): void {
    const type = user === "user" ? pkcs11js.CKU_USER : pkcs11js.CKU_SO;
    try {
      call("C_Login", () => this.#library.C_Login(session.handle, type, pin));
    } catch (error) {
      if (!(error instanceof HsmError)) throw error;
      if (error.reason === "CKR_USER_ALREADY_LOGGED_IN") return;
      if (error.remedy === "stop") throw pinRefused(error.reason);
      throw error;
    }
  }

  /** Handles of all objects of a class with this CKA_ID (at most 8). */
  find(session: Session, kind: "private" | "public", id: Uint8Array): readonly KeyHandle[] {
    const objectClass = kind === "private" ? pkcs11js.CKO_PRIVATE_KEY : pkcs11js.CKO_PUBLIC_KEY;
    return this.#search(session, [
      { type: pkcs11js.CKA_CLASS, value: objectClass },
      { type: pkcs11js.CKA_ID, value: Buffer.from(id) },
    ]);
  }

  /** Handles of all objects, of whatever class, with this label (at most 8). */
  findLabel(session: Session, label: string): readonly KeyHandle[] {
    return this.#search(session, [{ type: pkcs11js.CKA_LABEL, value: label }]);
  }

  /** Every object on the token that this session sees, in no order (at most 4096). */
  objects(session: Session): readonly TokenObject[] {
    return this.#search(session, [], maxObjects).map((handle) => ({
      ...handle,
      kind: className(this.#attribute(session, handle, pkcs11js.CKA_CLASS)),
      label: Buffer.from(this.#attribute(session, handle, pkcs11js.CKA_LABEL) ?? []).toString(),
      id: this.#attribute(session, handle, pkcs11js.CKA_ID) ?? new Uint8Array(),
    }));
  }

  /** C_DestroyObject. Nothing brings the object back. */
  destroy(session: Session, object: KeyHandle): void {
    call("C_DestroyObject", () => this.#library.C_DestroyObject(session.handle, object.handle));
  }

  /** Reads back what decides whether a private key can leave. An attribute the device does not know counts as false. */
  keyAttributes(session: Session, key: KeyHandle): KeyAttributes {
    const flag = (type: number): boolean => this.#attribute(session, key, type)?.[0] === 1;
    return {
      sensitive: flag(pkcs11js.CKA_SENSITIVE),
      extractable: flag(pkcs11js.CKA_EXTRACTABLE),
      alwaysSensitive: flag(pkcs11js.CKA_ALWAYS_SENSITIVE),
      neverExtractable: flag(pkcs11js.CKA_NEVER_EXTRACTABLE),
      local: flag(pkcs11js.CKA_LOCAL),
      sign: flag(pkcs11js.CKA_SIGN),
      derive: flag(pkcs11js.CKA_DERIVE),
      decrypt: flag(pkcs11js.CKA_DECRYPT),
      unwrap: flag(pkcs11js.CKA_UNWRAP),
      modifiable: flag(pkcs11js.CKA_MODIFIABLE),
    };
  }

  /** The public half as the device holds it, or null if it is of a kind that is not used here. */
  publicAttributes(session: Session, key: KeyHandle): PublicAttributes | null {
    const modulus = this.#attribute(session, key, pkcs11js.CKA_MODULUS);
    const exponent = this.#attribute(session, key, pkcs11js.CKA_PUBLIC_EXPONENT);
    if (modulus?.length && exponent?.length) return { kind: "rsa", modulus, exponent };
    const parameters = this.#attribute(session, key, pkcs11js.CKA_EC_PARAMS);
    const wrapped = this.#attribute(session, key, pkcs11js.CKA_EC_POINT);
    if (!parameters || !wrapped) return null;
    if (curves.ed25519.equals(parameters)) {
      const bare = wrapped.length > ed25519PointBytes ? wrapped.subarray(2) : wrapped;
      return bare.length === ed25519PointBytes ? { kind: "ed25519", point: bare } : null;
    }
    const curve = curves.p256.equals(parameters)
      ? "p256"
      : curves.p384.equals(parameters)
        ? "p384"
        : null;
    if (curve === null) return null;
    // PKCS#11 wants the point in an OCTET STRING; some devices leave that away.
    const point =
      wrapped[0] === 0x04 && wrapped[1] === wrapped.length - 2 ? wrapped.subarray(2) : wrapped;
    return { kind: "ec", curve, point };
  }

  /** Generates a pair on the device, with every attribute said; returns the private handle. */
  generate(session: Session, pair: PairTemplate): KeyHandle {
    const { mechanism, publicTemplate, privateTemplate } = pairTemplates(pair);
    // The synchronous form: the asynchronous one leaks memory.
    const { privateKey } = call("C_GenerateKeyPair", () =>
      this.#library.C_GenerateKeyPair(session.handle, mechanism, publicTemplate, privateTemplate),
    );
    return { handle: privateKey };
  }

  /** C_SignInit. Fails before any signature can have been made. */
  beginSigning(session: Session, key: KeyHandle, mechanism: SigningMechanism): void {
    const parameters = mechanisms[mechanism];
    call("C_SignInit", () => this.#library.C_SignInit(session.handle, parameters, key.handle));
  }

  /** C_Sign on this thread. */
  signNow(session: Session, input: Uint8Array, sizeBytes: number): Uint8Array {
    const out = Buffer.allocUnsafe(sizeBytes).fill(0);
    return call("C_Sign", () => this.#library.C_Sign(session.handle, Buffer.from(input), out));
  }

  /** C_Sign on a thread of the pool. */
  async signLater(session: Session, input: Uint8Array, sizeBytes: number): Promise<Uint8Array> {
    const held = { input: Buffer.from(input), out: Buffer.alloc(sizeBytes) };
    this.#inFlight.add(held);
    try {
      return await this.#library.C_SignAsync(session.handle, held.input, held.out);
    } catch (error) {
      throw translated("C_Sign", error);
    } finally {
      this.#inFlight.delete(held);
    }
  }

  #search(session: Session, template: pkcs11js.Template, most = 8): readonly KeyHandle[] {
    call("C_FindObjectsInit", () => this.#library.C_FindObjectsInit(session.handle, template));
    try {
      const found = call("C_FindObjects", () => this.#library.C_FindObjects(session.handle, most));
      return found.map((handle) => ({ handle }));
    } finally {
      quietly(() => this.#library.C_FindObjectsFinal(session.handle));
    }
  }

  /** One attribute at a time: devices differ in which they know. */
  #attribute(session: Session, key: KeyHandle, type: number): Uint8Array | null {
    try {
      const [result] = this.#library.C_GetAttributeValue(session.handle, key.handle, [{ type }]);
      return result ? new Uint8Array(result.value) : null;
    } catch {
      return null;
    }
  }
}

function trimmed(padded: string): string {
  return padded.replace(/[\0 ]+$/, "");
}

function reasonOf(error: unknown): string | null {
  return error instanceof HsmError ? error.reason : null;
}

function call<Result>(operation: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw translated(operation, error);
  }
}

function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // Closing what is gone already fails, and that is all there is to know.
  }
}
