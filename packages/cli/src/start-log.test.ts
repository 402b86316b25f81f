import { expect, test } from "vitest";
import { StartLog } from "./start-log.ts";

const info = '{"level":"info","message":"a"}\n';
const warning = '{"level":"warn","message":"b"}\n';

test("lines wait for the start, then go out in order and as they come", () => {
  let out = "";
  const log = new StartLog((line) => (out += line));
  log.write(info);
  expect(out).toBe("");
  log.open();
  log.write(warning);
  expect(out).toBe(info + warning);
});

test("a start that failed shows warnings only", () => {
  let out = "";
  const log = new StartLog((line) => (out += line));
  log.write(info);
  log.write(warning);
  log.fail();
  expect(out).toBe(warning);
});
