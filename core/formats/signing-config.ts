/**
 * Signing configurations: where a signer finds the services. sigstore protobuf-specs 0.5.2, `signing_config.v0.2.json`.
 * One entry a service and the selector ANY, the form that every client selects from in the same way.
 */
import { parseJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import type { Field } from "./protojson.ts";
import {
  formatTimestamp,
  readList,
  readMembers,
  readOptionalText,
  readText,
  readTimestamp,
} from "./protojson.ts";
import type { ValidFor } from "./trusted-root.ts";

/** The media type of version 0.2. */
const signingConfigMediaType = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/** One instance of a service. */
interface Service {
  /** Without trailing slash: clients append paths. Of a timestamp authority the full URL. */
  readonly url: string;
  /** Generation of the service: 1 for Fulcio, OIDC and timestamps, 1 or 2 for Rekor. */
  readonly majorApiVersion: number;
  readonly validFor: ValidFor;
  readonly operator: string;
}

/** Where a signer finds the services, each list newest first. */
export interface SigningConfig {
  readonly caUrls: readonly Service[];
  readonly oidcUrls: readonly Service[];
  readonly rekorTlogUrls: readonly Service[];
  readonly tsaUrls: readonly Service[];
}

/** The file's text, indented, with a final newline. Empty lists are left out. */
export function formatSigningConfig(config: SigningConfig): string {
  const json = {
    mediaType: signingConfigMediaType,
    ...section("caUrls", config.caUrls),
    ...section("oidcUrls", config.oidcUrls),
    ...section("rekorTlogUrls", config.rekorTlogUrls),
    ...section("tsaUrls", config.tsaUrls),
    ...(config.rekorTlogUrls.length === 0 ? {} : { rekorTlogConfig: { selector: "ANY" } }),
    ...(config.tsaUrls.length === 0 ? {} : { tsaConfig: { selector: "ANY" } }),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** @throws {Malformed} on another media type, unknown fields, a selector other than ANY, or a service that is not described fully. */
export function parseSigningConfig(text: string): SigningConfig {
  const config = readMembers(parseJson(text), "signing config", [
    "mediaType",
    "caUrls",
    "oidcUrls",
    "rekorTlogUrls",
    "tsaUrls",
    "rekorTlogConfig",
    "tsaConfig",
  ]);
  if (config.mediaType !== signingConfigMediaType)
    throw new Malformed("signing config: media type");
  checkSelector(config.rekorTlogConfig, "rekorTlogConfig");
  checkSelector(config.tsaConfig, "tsaConfig");
  return {
    caUrls: parseServices(config.caUrls, "caUrls"),
    oidcUrls: parseServices(config.oidcUrls, "oidcUrls"),
    rekorTlogUrls: parseServices(config.rekorTlogUrls, "rekorTlogUrls"),
    tsaUrls: parseServices(config.tsaUrls, "tsaUrls"),
  };
}

const maxServices = 64;

function section(name: string, services: readonly Service[]): object {
  if (services.length === 0) return {};
  const json = services.map(({ url, majorApiVersion, validFor: { start, end }, operator }) => ({
    url,
    majorApiVersion,
    validFor: {
      start: formatTimestamp(start),
      ...(end === null ? {} : { end: formatTimestamp(end) }),
    },
    ...(operator === "" ? {} : { operator }),
  }));
  return { [name]: json };
}

function checkSelector(value: Field, name: string): void {
  if (value === undefined) return;
  const { selector } = readMembers(value, `signing config: ${name}`, ["selector"]);
  if (selector !== "ANY")
    throw new Malformed(`signing config: ${name}: only the selector ANY is known`);
}

function parseServices(value: Field, name: string): Service[] {
  return readList(value, `signing config: ${name}`, maxServices).map((item, index) => {
    const where = `signing config: ${name}[${index}]`;
    const service = readMembers(item, where, ["url", "majorApiVersion", "validFor", "operator"]);
    const { majorApiVersion } = service;
    if (
      typeof majorApiVersion !== "number" ||
      !Number.isInteger(majorApiVersion) ||
      majorApiVersion < 1
    ) {
      throw new Malformed(`${where}: majorApiVersion`);
    }
    const { start, end } = readMembers(service.validFor, `${where}.validFor`, ["start", "end"]);
    return {
      url: readText(service.url, `${where}.url`),
      majorApiVersion,
      validFor: {
        start: readTimestamp(start, `${where}.validFor.start`),
        end: end === undefined ? null : readTimestamp(end, `${where}.validFor.end`),
      },
      operator: readOptionalText(service.operator, `${where}.operator`),
    };
  });
}
