/** Heads: what is asked of the vault for one, and whether one is what it should be. */
import { importPublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { formatCheckpoint } from "../../core/formats/checkpoint.ts";
import { encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatNote, keyHintOf, noteKeyId, parseNote } from "../../core/formats/note.ts";
import {
  digitallySigned,
  parseDigitallySigned,
  treeHeadSignatureInput,
} from "../../core/formats/sct.ts";
import type { Head } from "../../events/log.ts";
import type { LogFormat, LogKey } from "./format.ts";

/** How a log signs its checkpoints. */
export interface HeadKey extends LogKey {
  readonly origin: string;
  /** Name on the signature line. */
  readonly noteName: string;
  /** First four bytes of the key's id. */
  readonly keyHint: Uint8Array;
}

/** A log's key as the keyring binds it. Without a name for the signature line, that is the origin up to its first space. */
export function headKeyOf({
  publicKey,
  origin,
  noteName = origin.split(" ")[0] ?? origin,
  firstIndex = 0n,
}: {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly origin: string;
  readonly noteName?: string | undefined;
  readonly firstIndex?: bigint;
}): HeadKey {
  return {
    publicKey: importPublicKey(publicKey),
    logId: noteKeyId(noteName, publicKey),
    firstIndex,
    origin,
    noteName,
    keyHint: keyHintOf(noteName, publicKey),
  };
}

/** A tree that is to be signed. */
export interface TreeToSign {
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** A head from the vault's signatures. @throws {Malformed} if one of them does not verify. */
export function formatHead(
  { size, root }: TreeToSign,
  key: HeadKey,
  signed: {
    readonly checkpoint: Uint8Array;
    readonly treeHead: { readonly timestampMs: bigint; readonly signature: Uint8Array } | null;
  },
): Head {
  const text = formatCheckpoint({ origin: key.origin, size, root });
  const { noteName: name, keyHint } = key;
  const head: Head = {
    size,
    root,
    checkpoint: formatNote(text, [{ name, keyHint, signature: signed.checkpoint }]),
    ...(signed.treeHead && {
      treeHead: {
        timestampMs: signed.treeHead.timestampMs,
        signature: digitallySigned(signed.treeHead.signature),
      },
    }),
  };
  checkHead(head, key, { hasTreeHead: signed.treeHead !== null });
  return head;
}

/** @throws {Malformed} unless the head is exactly what this log signs for its size and root, with signatures that verify. */
export function checkHead(
  head: Head,
  key: HeadKey,
  { hasTreeHead }: Pick<LogFormat, "hasTreeHead">,
): void {
  const { size, root, checkpoint, treeHead } = head;
  const { text, signatures } = parseNote(checkpoint);
  const [signature, ...more] = signatures;
  if (text !== formatCheckpoint({ origin: key.origin, size, root })) {
    throw new Malformed(`the checkpoint of size ${size} says something else than the tree`);
  }
  const ours =
    signature?.name === key.noteName &&
    more.length === 0 &&
    equalBytes(signature.keyHint, key.keyHint);
  if (!ours || !verifySignature(key.publicKey, encodeUtf8(text), signature.signature)) {
    throw new Malformed(`the checkpoint of size ${size} is not signed by the log's key`);
  }
  if ((treeHead !== undefined) !== hasTreeHead) {
    throw new Malformed(`the head of size ${size} ${hasTreeHead ? "lacks a" : "has a"} tree head`);
  }
  if (treeHead === undefined) return;
  const input = treeHeadSignatureInput({ size, root, timestampMs: treeHead.timestampMs });
  const { signature: bytes } = parseDigitallySigned(treeHead.signature);
  if (!verifySignature(key.publicKey, input, bytes)) {
    throw new Malformed(`the tree head of size ${size} is not signed by the log's key`);
  }
}
