/** Structured diagnostics for operators. */
export interface Journal {
  info(event: string, fields?: { readonly [name: string]: unknown }): void;
  warn(event: string, fields?: { readonly [name: string]: unknown }): void;
  error(event: string, fields?: { readonly [name: string]: unknown }): void;
}
