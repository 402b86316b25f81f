import { expect, test } from "vitest";
import { list, parseConfig, readConfig, single } from "./config-file.ts";
import { parseAddress } from "./parse.ts";

const schema = { data: list((text) => text), listen: single(parseAddress) };
const parse = (text: string) => parseConfig(text, "cfs.yaml", schema);

test("reads lists and single values", () => {
  expect(parse("data: [/a, /b]\nlisten: 127.0.0.1:9500\n")).toEqual({ data: ["/a", "/b"], listen: { host: "127.0.0.1", port: 9500 } });
});

test("a lone value is a list of one, and values keep the form they were written in", () => {
  expect(parse("data: 0644")).toEqual({ data: ["0644"] });
});

test("an empty file says nothing", () => {
  expect(parse("# nothing yet\n")).toEqual({});
});

test.each([
  ["lissen: 127.0.0.1:9400", 'cfs.yaml:1: unknown key "lissen"; known are data, listen'],
  ["data: /a\n\nlisten: nowhere:99999", 'cfs.yaml:3: "listen": port 99999 in "nowhere:99999" is past 65535'],
  ["listen: [a, b]", 'cfs.yaml:1: "listen" wants one value, not a list'],
  ["data:\n  - /a\n  - {b: 1}", 'cfs.yaml:3: "data" wants a value here'],
  ["listen:", 'cfs.yaml:1: "listen" wants a value here'],
  ["- a\n- b", "cfs.yaml:1: expected lines of the form KEY: VALUE"],
  ["data: /a\ndata: /b", "cfs.yaml:2: Map keys must be unique"],
  ["__proto__: 1", 'cfs.yaml:1: unknown key "__proto__"; known are data, listen'],
])("refuses %j", (text, message) => {
  expect(() => parse(text)).toThrow(message);
});

test("a file that is not there is named", () => {
  expect(() => readConfig("/nonexistent/cfs.yaml", schema)).toThrow(/^NOT_FOUND: the configuration file \/nonexistent\/cfs\.yaml/);
});
