/** The sign-in's part of the CLI: what `chancery account` calls. */
export {
  AccountRefused,
  addAccount,
  changePassword,
  readAccounts,
  removeAccount,
} from "./accounts.ts";
