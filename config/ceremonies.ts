/** Ceremonies as `deploy/` performs them: the vault's room stays behind its `commands.ts`. */
export { performCeremony, rehearseCeremony } from "../hsm/commands.ts";
