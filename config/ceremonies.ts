/** Ceremonies as `deploy/` performs them: the vault's room stays behind its `commands.ts`. */
export { performCeremony } from "../hsm/commands.ts";
