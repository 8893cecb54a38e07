/** How long before its end a certificate's operator is told. */

const mostMs = 30 * 86_400_000;

/** True if less than a third of its term is left, or less than 30 days where a third is longer. */
export function endsSoon(
  { validFromDate, validToDate }: { readonly validFromDate: Date; readonly validToDate: Date },
  now: Date,
): boolean {
  const termMs = validToDate.getTime() - validFromDate.getTime();
  return validToDate.getTime() - now.getTime() < Math.min(mostMs, termMs / 3);
}
