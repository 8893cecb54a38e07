/** The vault's part of the CLI: what `chancery fsck`, `chancery ceremony` and `chancery operate` call. */
export { fsckVault, type VaultReport } from "./fsck.ts";
export {
  type CeremonyRequest,
  dryRunCeremony,
  performCeremony,
  rehearseCeremony,
} from "./ceremony/perform.ts";
export { formatReport } from "./ceremony/report.ts";
export { lintCeremony } from "./ceremony/review.ts";
export type { TranscriptLine } from "./ceremony/transcript.ts";
export { makeServerCertificate } from "./ceremony/tls.ts";
export { verifyTranscript } from "./ceremony/verify.ts";
export { VaultRefused } from "./errors.ts";
export { takeLock } from "./lock.ts";
export {
  abandon,
  type OperationRequest,
  type OperationResult,
  type OperatorAsk,
} from "./operations/conduct.ts";
export {
  createLog,
  logAlgorithms,
  type LogCreation,
  type LogHouse,
} from "./operations/create-log.ts";
export { freezeLogForever } from "./operations/freeze-log.ts";
export { publishNextRoot } from "./operations/publish-root.ts";
export { retireLogForever } from "./operations/retire-log.ts";
export { rollLogOver } from "./operations/roll-log.ts";
export {
  issuingAlgorithms,
  rotateIssuingCa,
  type Rotation,
} from "./operations/rotate-issuing-ca.ts";
export { openOffline } from "./operations/steps.ts";
