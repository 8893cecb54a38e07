/** Every page of the sign-in, as words and forms. */
import { createPage, markup, type Html, type Page } from "./page.ts";

/** What all pages of an installation have in common. */
export interface Setting {
  readonly issuer: string;
  readonly demo: boolean;
  /** What the button to the upstream provider says, if there is one. */
  readonly upstreamName: string | null;
}

/** What stays hidden in a form: who sent the page out. */
export interface FormMark {
  readonly action: string;
  readonly csrf: string;
}

/** What a sign-in page knows already. */
export interface SignInState {
  /** False if people can only come by way of the upstream provider. */
  readonly passwords: boolean;
  readonly email?: string;
  readonly problem?: string | undefined;
  /** Where the client waits, who is told if somebody cancels. */
  readonly leadsTo: string | undefined;
}

/** Who you are. `problem` is shown first and is what the screen reader says. */
export function signInPage(
  setting: Setting,
  mark: FormMark,
  { email = "", problem, leadsTo, passwords }: SignInState,
): Page {
  const body = markup`${problem === undefined ? "" : summary(problem)}
    <p>A program on a computer wants to sign something in your name.</p>
    ${passwords ? passwordForm(setting, mark, { email, invalid: problem !== undefined }) : ""}
    ${
      setting.upstreamName === null
        ? ""
        : markup`<p><a href="${mark.action}/upstream">Sign in with ${setting.upstreamName}</a></p>`
    }
    ${passwords ? "" : cancelForm(mark)}`;
  const title = problem === undefined ? "Sign in" : "Sign in: there is a problem";
  return createPage({ title, body, demo: setting.demo, leadsTo });
}

function passwordForm(
  { demo }: Setting,
  mark: FormMark,
  { email, invalid }: { readonly email: string; readonly invalid: boolean },
): Html {
  const wrong = invalid ? markup` aria-invalid="true" aria-describedby="problem"` : markup``;
  return markup`<form method="post" action="${mark.action}">
    ${hidden(mark)}
    <label for="email">E-mail address</label>
    <input
      id="email"
      name="email"
      type="email"
      autocomplete="username"
      required
      maxlength="254"
      value="${email}"
      ${wrong}${invalid ? "" : markup` autofocus`}
    />
    <label for="password">Password${demo ? demoHint : ""}</label>
    <input
      id="password"
      name="password"
      type="password"
      autocomplete="current-password"
      required
      maxlength="1024"
      ${wrong}${invalid ? markup` autofocus` : ""}
    />
    <button name="choice" value="sign-in">Sign in</button>
    <button class="second" name="choice" value="cancel" formnovalidate>Cancel</button>
  </form>`;
}

const demoHint = markup` <span class="hint">Of demo accounts: the content of the file <code>secrets/admin</code> in the home.</span>`;

/** What will be said about you, and to whom. */
export function consentPage(
  setting: Setting,
  mark: FormMark,
  about: { readonly client: string; readonly email: string; readonly leadsTo?: string | undefined },
): Page {
  const body = markup`<dl>
      <dt>You are</dt>
      <dd>${about.email}</dd>
      <dt>The program that asks</dt>
      <dd>${about.client}</dd>
      <dt>What it gets</dt>
      <dd>A token that says who you are. It is good for some minutes.</dd>
      <dt>What becomes public</dt>
      <dd>
        Your e-mail address. It will be in a certificate, and everybody who can read your
        organisation's logs can read it there. Logs only grow: it cannot be taken out again.
      </dd>
    </dl>
    <p>Go on only if you have just started this yourself.</p>
    <form method="post" action="${mark.action}">
      ${hidden(mark)}
      <button name="choice" value="agree">Go on as ${about.email}</button>
      <button class="second" name="choice" value="cancel">Cancel</button>
    </form>
    <p><a href="${setting.issuer}/session/end">Not you? Sign out first</a></p>`;
  return createPage({
    title: "Let this program use your name?",
    body,
    demo: setting.demo,
    leadsTo: about.leadsTo,
  });
}

/** Where the code that a device shows is typed. */
export function devicePage(
  setting: Setting,
  form: { readonly action: string; readonly xsrf: string },
  {
    code = "",
    problem,
  }: { readonly code?: string | undefined; readonly problem?: string | undefined },
): Page {
  const body = markup`${problem === undefined ? "" : summary(problem)}
    <form method="post" action="${form.action}">
      <input type="hidden" name="xsrf" value="${form.xsrf}" />
      <label for="code">Code <span class="hint">Eight letters, as the program on the other device shows them.</span></label>
      <input
        id="code"
        name="user_code"
        type="text"
        autocomplete="off"
        autocapitalize="characters"
        spellcheck="false"
        required
        maxlength="16"
        value="${code}"
        ${problem === undefined ? "" : markup` aria-invalid="true" aria-describedby="problem"`}
        autofocus
      />
      <button>Continue</button>
    </form>`;
  const title = problem === undefined ? "Connect a device" : "Connect a device: there is a problem";
  return createPage({ title, body, demo: setting.demo });
}

/** Is it the code that your own device shows? */
export function deviceConfirmPage(
  setting: Setting,
  form: { readonly action: string; readonly xsrf: string },
  about: { readonly client: string; readonly code: string },
): Page {
  const body = markup`<p>
      The program <strong>${about.client}</strong> on another device waits for you. It must show
      this very code:
    </p>
    <p class="code">${about.code}</p>
    <p>
      If somebody sent you the code, or if you did not start this yourself, stop here: they would
      sign in your name.
    </p>
    <form method="post" action="${form.action}">
      <input type="hidden" name="xsrf" value="${form.xsrf}" />
      <input type="hidden" name="user_code" value="${about.code}" />
      <button name="confirm" value="yes">It is the same code</button>
      <button class="second" name="abort" value="yes">Stop</button>
    </form>`;
  return createPage({ title: "Is this your device?", body, demo: setting.demo });
}

/** A form that only has to be sent on; scripts do that elsewhere, people do it here. */
export function continuePage(setting: Setting, action: string, fields: Html): Page {
  const body = markup`<form method="post" action="${action}">${fields}<button>Continue</button></form>`;
  return createPage({ title: "One more step", body, demo: setting.demo });
}

/** Asks before a browser forgets who you are. */
export function signOutPage(
  setting: Setting,
  form: { readonly action: string; readonly xsrf: string },
): Page {
  const body = markup`<form method="post" action="${form.action}">
      <input type="hidden" name="xsrf" value="${form.xsrf}" />
      <button name="logout" value="yes">Sign out</button>
    </form>
    <p>To stay signed in, close this page.</p>`;
  return createPage({ title: "Sign out of this browser?", body, demo: setting.demo });
}

/** The end of something. */
export function donePage(setting: Setting, title: string, text: string): Page {
  return createPage({ title, body: markup`<p>${text}</p>`, demo: setting.demo });
}

/** What could not be done, and what to do instead. */
export function errorPage(setting: Setting, text: string): Page {
  return createPage({
    title: "This did not work",
    body: markup`${summary(text)}
      <p>Start again in the program that brought you here.</p>`,
    demo: setting.demo,
  });
}

function summary(problem: string): Html {
  return markup`<div class="problem" id="problem" role="alert">
    <h2>There is a problem</h2>
    <p>${problem}</p>
  </div>`;
}

function hidden({ csrf }: FormMark): Html {
  return markup`<input type="hidden" name="csrf" value="${csrf}" />`;
}

function cancelForm(mark: FormMark): Html {
  return markup`<form method="post" action="${mark.action}">
    ${hidden(mark)}<button class="second" name="choice" value="cancel">Cancel</button>
  </form>`;
}
