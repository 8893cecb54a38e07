/** Many byte strings as one parameter: PostgreSQL's binary form of `bytea[]` (array_send and array_recv of its source). */

const byteaType = 17;
const headerLength = 20;
const noElement = -1;

/** A `bytea[]`; null is SQL's NULL. The package sends a parameter that is bytes as it is, in binary. */
export function byteArray(values: readonly (Uint8Array | null)[]): Uint8Array {
  const length = values.reduce((sum, value) => sum + 4 + (value?.length ?? 0), headerLength);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 1); // dimensions
  view.setInt32(4, values.includes(null) ? 1 : 0);
  view.setInt32(8, byteaType);
  view.setInt32(12, values.length);
  view.setInt32(16, 1); // SQL counts from 1
  let at = headerLength;
  for (const value of values) {
    view.setInt32(at, value?.length ?? noElement);
    at += 4;
    if (value === null) continue;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}
