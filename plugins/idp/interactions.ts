/** The steps between "this client wants a token" and "it may have it": who are you, and do you agree. */
import type Provider from "oidc-provider";
import type { Interaction } from "oidc-provider";
import type { Broker } from "./broker.ts";
import { endpoints } from "./discovery.ts";
import { createFormGuard, type Exchange, readForm, sendPage, sendTo } from "./exchange.ts";
import { consentPage, errorPage, type FormMark, type Setting, signInPage } from "./pages.ts";
import type { Attempt, People, Person } from "./people.ts";
import { clientId, clientName } from "./provider.ts";
import type { RefusedSignIn } from "./refusals.ts";

/** What the steps need. */
export interface Steps {
  readonly provider: Provider;
  readonly setting: Setting;
  readonly people: People;
  readonly broker: Broker | null;
  /** Takes refusals down for the record. */
  readonly refused: (refusal: RefusedSignIn) => void;
}

/** Serves `/interaction/…` and what comes back from upstream; false if the path is another's. */
export function createInteractions(steps: Steps): (exchange: Exchange) => Promise<boolean> {
  const { issuer } = steps.setting;
  const guard = createFormGuard(new URL(issuer).origin);
  return async (exchange) => {
    const { pathname } = exchange.url;
    if (pathname === endpoints.upstreamCallback) {
      comeBack(steps, exchange);
      return true;
    }
    const [, uid, rest = ""] =
      /^\/interaction\/([\w-]{1,64})(\/upstream(?:\/done)?)?$/.exec(pathname) ?? [];
    if (uid === undefined) return false;
    const interaction = await current(steps.provider, exchange, uid);
    if (interaction === null) {
      refuse(steps, exchange, "the sign-in has expired or is another browser's");
      sendPage(
        exchange,
        errorPage(steps.setting, "This page has expired, or your browser keeps no cookies."),
        400,
      );
      return true;
    }
    const mark = { action: `${issuer}${endpoints.interaction}/${uid}`, csrf: guard.mark(uid) };
    if (rest !== "")
      await goUpstream(steps, { exchange, interaction, mark, done: rest.endsWith("done") });
    else if (exchange.request.method === "GET") await ask(steps, { exchange, interaction, mark });
    else {
      const form = await readForm(exchange);
      if (form === null || !guard.isOurs(exchange, uid, form.get("csrf"))) {
        refuse(steps, exchange, "the form did not come from its page");
        sendPage(exchange, errorPage(steps.setting, "The form did not come from this page."), 403);
      } else await decide(steps, { exchange, interaction, mark, form });
    }
    return true;
  };
}

/** For the record. `account` is of one that exists. */
function refuse({ refused }: Steps, { address }: Exchange, reason: string, account?: string): void {
  refused({ code: "access-denied", reason, account, from: { address } });
}

interface Step {
  readonly exchange: Exchange;
  readonly interaction: Interaction;
  readonly mark: FormMark;
}

/** The interaction that the browser's cookie names, if it is the one in the path. */
async function current(
  provider: Provider,
  { request, response }: Exchange,
  uid: string,
): Promise<Interaction | null> {
  const found = await provider.interactionDetails(request, response).catch((error: unknown) => {
    // The library's own words for a cookie or an interaction that is not there.
    if (error instanceof Error && error.name === "SessionNotFound") return null;
    throw error;
  });
  return found?.uid === uid ? found : null;
}

async function ask(steps: Steps, step: Step): Promise<void> {
  const { setting, people } = steps;
  const { exchange, interaction, mark } = step;
  if (interaction.prompt.name !== "consent") {
    const hint = interaction.params["login_hint"];
    const email = typeof hint === "string" ? hint : "";
    sendPage(exchange, signInPage(setting, mark, { email, ...(await known(steps, interaction)) }));
    return;
  }
  const person = await people.find(interaction.session?.accountId ?? "");
  if (person === null) {
    refuse(steps, exchange, "the account is not there any more");
    sendPage(exchange, errorPage(setting, "Your account is not there any more."), 403);
    return;
  }
  const client = `${clientName}, on this computer`;
  const about =
    interaction.deviceCode === undefined
      ? { client, leadsTo: sourceOf(interaction) }
      : { client: `${clientName}, on another device` };
  sendPage(exchange, consentPage(setting, mark, { email: person.email, ...about }));
}

/** What every sign-in page of an interaction says. Accounts come and go while this runs. */
async function known({ people, setting }: Steps, interaction: Interaction) {
  const passwords = setting.upstreamName === null || (await people.any());
  return { passwords, leadsTo: sourceOf(interaction) };
}

/** Where the client listens, as a content security policy says it; IPv6 addresses have no form there. */
function sourceOf({ params: { redirect_uri: redirectUri } }: Interaction): string | undefined {
  if (typeof redirectUri !== "string" || !URL.canParse(redirectUri)) return undefined;
  const { origin, hostname } = new URL(redirectUri);
  return hostname.startsWith("[") ? "http:" : origin;
}

async function decide(
  steps: Steps,
  step: Step & { readonly form: URLSearchParams },
): Promise<void> {
  const { exchange, interaction, form, mark } = step;
  const choice = form.get("choice");
  if (choice === "cancel") {
    const person = await steps.people.find(interaction.session?.accountId ?? "");
    refuse(steps, exchange, saidNo(interaction), person?.email);
    const result = { error: "access_denied", error_description: "you did not agree" };
    await finish(steps, exchange, result);
  } else if (interaction.prompt.name === "consent" && choice === "agree") {
    await agree(steps, step);
  } else if (interaction.prompt.name === "login" && choice !== "agree") {
    const email = (form.get("email") ?? "").trim();
    const password = form.get("password") ?? "";
    const { address } = exchange;
    const page = await known(steps, interaction);
    if (!page.passwords) refuse(steps, exchange, "passwords are not taken here");
    const attempt: Attempt = page.passwords
      ? await steps.people.signIn({ email, password, address })
      : "wrong";
    if (typeof attempt === "object") await enter(steps, exchange, attempt.person, ["pwd"]);
    else {
      const { text: problem, status } = wordings[attempt];
      sendPage(exchange, signInPage(steps.setting, mark, { ...page, email, problem }), status);
    }
  } else sendPage(exchange, errorPage(steps.setting, "The form is not of this step."), 400);
}

function saidNo({ deviceCode }: Interaction): string {
  return deviceCode === undefined
    ? "the person did not agree"
    : "the person did not agree, at the request of a device";
}

/** One sentence for a wrong password and for no such account: which it was, is nobody's business. */
const wordings = {
  wrong: { status: 403, text: "E-mail address or password is wrong." },
  wait: { status: 429, text: "There were too many attempts. Wait some minutes, then try again." },
  busy: { status: 503, text: "Too many people are signing in at this moment. Try again." },
} as const;

async function enter(
  steps: Steps,
  exchange: Exchange,
  { id }: Person,
  amr: readonly string[],
): Promise<void> {
  // Not remembered beyond the browser's session, unless the browser itself is.
  await finish(steps, exchange, { login: { accountId: id, remember: false, amr } });
}

async function agree(steps: Steps, { exchange, interaction }: Step): Promise<void> {
  const accountId = interaction.session?.accountId ?? "";
  const grant = new steps.provider.Grant({ accountId, clientId });
  grant.addOIDCScope("openid email");
  await finish(steps, exchange, { consent: { grantId: await grant.save() } });
}

async function finish(
  { provider }: Steps,
  { request, response }: Exchange,
  result: object,
): Promise<void> {
  await provider.interactionFinished(request, response, result);
}

const unreachable = "Your organisation's identity provider cannot be reached. Try again later.";

/** Off to the other provider, or back from it with what it says about the person. */
async function goUpstream(
  steps: Steps,
  { exchange, interaction, mark, done }: Step & { readonly done: boolean },
): Promise<void> {
  const { broker, people, setting } = steps;
  if (broker === null || interaction.prompt.name !== "login" || exchange.request.method !== "GET") {
    sendPage(exchange, errorPage(setting, "There is no such page."), 404);
    return;
  }
  if (!done) {
    const away = await broker.begin(interaction.uid);
    if (away !== null) sendTo(exchange, away);
    else {
      const reason = "the upstream provider cannot be reached";
      steps.refused({ code: "issuer-unavailable", reason, from: { address: exchange.address } });
      sendPage(exchange, errorPage(setting, unreachable), 502);
    }
    return;
  }
  const outcome = await broker.finish(interaction.uid, exchange.url.searchParams);
  if ("person" in outcome) {
    people.admit(outcome.person);
    await enter(steps, exchange, outcome.person, outcome.amr);
    return;
  }
  const { problem } = outcome;
  refuse(steps, exchange, `upstream: ${problem}`);
  const page = signInPage(setting, mark, { problem, ...(await known(steps, interaction)) });
  sendPage(exchange, page, 403);
}

/**
 * The upstream provider knows one address to send people back to; the interaction's cookie is for another, so the browser is sent
 * there with what it brought. Only there it is looked at: whoever has no cookie for it gets no further.
 */
function comeBack(steps: Steps, exchange: Exchange): void {
  const { broker, setting } = steps;
  const { searchParams, search } = exchange.url;
  const uid = broker?.interactionOf(searchParams.get("state") ?? "") ?? null;
  if (uid === null) {
    refuse(steps, exchange, "what came back from upstream belongs to no sign-in of this browser");
    sendPage(exchange, errorPage(setting, "This sign-in has expired or was not begun here."), 400);
  } else
    sendTo(exchange, `${setting.issuer}${endpoints.interaction}/${uid}/upstream/done${search}`);
}
