/** The PIN as the supervisor hands it over: by file descriptor, so that it stands in no argument and no environment. */
import { fstatSync, readFileSync } from "node:fs";
import { Socket } from "node:net";

const longestPinBytes = 1_024;

/** Reads a descriptor to its end. @throws if it is not open, empty, or holds more than a PIN. */
export async function readPin(descriptor: number): Promise<string> {
  const pin = fstatSync(descriptor).isFile()
    ? readFileSync(descriptor, "utf8")
    : await readStream(descriptor);
  const trimmed = pin.replace(/\r?\n$/, "");
  if (trimmed === "" || trimmed.length > longestPinBytes) {
    throw new TypeError(`file descriptor ${descriptor} holds no PIN`);
  }
  return trimmed;
}

async function readStream(descriptor: number): Promise<string> {
  const socket = new Socket({ fd: descriptor, readable: true, writable: false });
  socket.setEncoding("utf8");
  let text = "";
  // The encoding makes every chunk a string.
  for await (const chunk of socket as AsyncIterable<string>) {
    text += chunk;
    if (text.length > longestPinBytes + 2) break;
  }
  return text;
}
