/** The TUF repository, served and kept fresh. */
import { Failure } from "../../events/failure.ts";
import { trust } from "./manifest.ts";
import { Shown } from "./shown.ts";

export default trust.implement(async (context) => {
  const { config, draining } = context;
  const shown = await Shown.open(context);
  const timer = setInterval(() => shown.tick(), config.checkSeconds * 1_000);
  timer.unref();
  draining.addEventListener("abort", () => clearInterval(timer), { once: true });
  return {
    handlers: {
      async publishTargets(publication, { from }) {
        if (from !== "operator") {
          throw new Failure("access-denied", "only operators publish targets");
        }
        return await shown.publish(publication);
      },
      async publishRoot({ root }, { from }) {
        if (from !== "operator") throw new Failure("access-denied", "only operators publish roots");
        return await shown.publishRoot(root);
      },
      readTrustFile: async ({ path }) => await shown.read(path),
    },
    health: () => shown.health(),
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await shown.settled();
    },
  };
});
