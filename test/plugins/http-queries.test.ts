import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());
beforeEach(() => {
  door.heard.length = 0;
});

it.each([
  "logIndex=-1",
  "logIndex=1e3",
  "logIndex=0x1",
  "logIndex=01",
  "logIndex=%2B1",
  "logIndex=1.0",
  "logIndex=+1",
  "logIndex=",
  "logIndex",
  "",
  "logIndex=9223372036854775808",
  "logIndex=18446744073709551616",
  "logIndex=1&logIndex=1",
  "logIndex=%31%",
  "logIndex=\u0661".normalize(),
  "logIndex=NaN",
])("GET entries?%s is 400", async (query) => {
  const response = await fetch(`${door.origin}/api/v1/log/entries?${query}`);
  expect([response.status, await response.json()]).toEqual([
    400,
    { code: 400, message: "the request could not be parsed" },
  ]);
  expect(door.heard).toEqual([]);
});

it.each([
  "get-entries?start=5&end=4",
  "get-entries?start=0",
  "get-entries?start=-1&end=1",
  "get-sth-consistency?first=1",
  "get-sth-consistency?first=01&second=2",
  "get-proof-by-hash?tree_size=1",
  "get-proof-by-hash?hash=AA%3D%3D&tree_size=1",
  "get-proof-by-hash?hash=%00&tree_size=1",
])("GET %s is 400", async (query) => {
  const response = await fetch(`${door.origin}/logs/ct/ct/v1/${query}`);
  expect([response.status, await response.text()]).toEqual([400, "bad request\n"]);
  expect(door.heard).toEqual([]);
});

it.each(["xyz", "AB".repeat(32), "ab".repeat(31), "ab".repeat(33), "ab".repeat(40).slice(1)])(
  "GET entries/%s is 400",
  async (id) => {
    expect((await fetch(`${door.origin}/api/v1/log/entries/${id}`)).status).toBe(400);
    expect(door.heard).toEqual([]);
  },
);
