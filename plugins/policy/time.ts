/** Local time of day and week in a time zone that is named, and the windows of a rule in it. */

/** Days as rules write them, as ISO 8601 orders them. */
export const weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

/** A rule's windows. */
export interface Windows {
  readonly timezone: string;
  readonly weekdays?: readonly string[] | undefined;
  /** `08:00-18:30` */
  readonly hours?: readonly string[] | undefined;
  readonly between?:
    | readonly { readonly from?: string | undefined; readonly until?: string | undefined }[]
    | undefined;
}

/** Says whether a time, in ms since the epoch, lies inside all that the windows name. */
export function compileWindows(windows: Windows): (atMs: number) => boolean {
  const clock = new Intl.DateTimeFormat("en-GB", {
    timeZone: windows.timezone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const spans = windows.hours?.map((span) => [span.slice(0, 5), span.slice(6)] as const);
  const between = windows.between?.map(({ from, until }) => ({
    fromMs: from === undefined ? -Infinity : Date.parse(from),
    untilMs: until === undefined ? Infinity : Date.parse(until),
  }));
  return (atMs) => {
    const { weekday, time } = localTime(clock, atMs);
    return (
      (windows.weekdays?.includes(weekday) ?? true) &&
      (spans?.some(([from, until]) => from <= time && time < until) ?? true) &&
      (between?.some(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs) ?? true)
    );
  };
}

function localTime(clock: Intl.DateTimeFormat, atMs: number) {
  const parts = new Map(clock.formatToParts(atMs).map(({ type, value }) => [type, value]));
  return {
    weekday: (parts.get("weekday") ?? "").toLowerCase(),
    time: `${parts.get("hour") ?? ""}:${parts.get("minute") ?? ""}`,
  };
}
