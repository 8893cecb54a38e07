/** `npm run check`: exit 0 if every static check passes. */
import { runChecks } from "./checks.ts";

const results = runChecks((text) => process.stdout.write(text));
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
