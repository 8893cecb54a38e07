import fastify from "fastify";
import { expect, test } from "vitest";
import { sendDirectly } from "../../plugins/http/directly.ts";

const delivery = { requestId: "request", isLast: false, withinMs: 60_000 };

async function answerWith(headers: Readonly<{ [name: string]: string }>) {
  const app = fastify();
  app.setErrorHandler(async (_, __, reply) => await reply.code(500).send("told"));
  app.get("/", async (_, reply) => {
    sendDirectly(
      reply,
      { status: 200, contentType: "text/plain", body: "good", headers },
      delivery,
    );
    return await reply;
  });
  const origin = await app.listen({ host: "127.0.0.1", port: 0 });
  try {
    const answer = await fetch(origin);
    return { status: answer.status, text: await answer.text(), type: answer.headers.get("x-own") };
  } finally {
    await app.close();
  }
}

test("sends an answer with its header fields", async () => {
  expect(await answerWith({ "x-own": "here" })).toEqual({
    status: 200,
    text: "good",
    type: "here",
  });
});

test("leaves an answer that cannot be sent to the router, who says so", async () => {
  expect(await answerWith({ "x-own": "\u20ac" })).toEqual({
    status: 500,
    text: "told",
    type: null,
  });
});
