/** E-mail addresses as certificates carry them: the dot-string mailboxes of RFC 5321 §4.1.2, ASCII only (RFC 5280 rfc822Name). */

/** RFC 5321 §4.5.3.1: local part and path. */
const maxLocalLength = 64;
const maxLength = 254;

const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const mailbox = new RegExp(`^(${atom}(?:\\.${atom})*)@${label}(?:\\.${label})*$`);

/** True for `local@host.example`: no quoting, no comments, no address literals, no white space, nothing outside ASCII. */
export function isEmailAddress(text: string): boolean {
  if (text.length > maxLength) return false;
  const local = mailbox.exec(text)?.[1];
  return local !== undefined && local.length <= maxLocalLength;
}
