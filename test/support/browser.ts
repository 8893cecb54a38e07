/** A real Chromium without a window. */
import { execFileSync } from "node:child_process";
import puppeteer, { type Browser, type Page } from "puppeteer-core";

/** A browser of one's own: no cookies of anybody's. */
export interface TestBrowser extends AsyncDisposable {
  /** A new page; what its console or the network complains about is kept in `complaints`. */
  open(width?: number): Promise<Page>;
  /** A page that knows nothing of the others' cookies. */
  openApart(): Promise<Page>;
  readonly complaints: string[];
}

/** Starts Chromium. */
export async function startBrowser(): Promise<TestBrowser> {
  const executablePath = execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  const browser: Browser = await puppeteer.launch({
    executablePath,
    timeout: 120_000,
    // Root has no other way; what is opened here is our own.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const complaints: string[] = [];
  const listen = (page: Page): Page => {
    page.on("console", (message) => {
      if (/content security|refused to/i.test(message.text())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.setDefaultTimeout(120_000);
    return page;
  };
  return {
    async open(width = 800) {
      const page = listen(await browser.newPage());
      await page.setViewport({ width, height: 700 });
      return page;
    },
    async openApart() {
      const context = await browser.createBrowserContext();
      return listen(await context.newPage());
    },
    complaints,
    [Symbol.asyncDispose]: async () => await browser.close(),
  };
}
