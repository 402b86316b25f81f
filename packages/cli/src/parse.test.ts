import { expect, test } from "vitest";
import { countBetween, formatAddress, parseAddress, parseDuration, parseSize } from "./parse.ts";

test.each([
  ["127.0.0.1:9400", "127.0.0.1", 9400],
  ["localhost", "localhost", 9400],
  ["[::1]:1", "::1", 1],
  ["[fe80::1%eth0]", "fe80::1%eth0", 9400],
  ["node-1.example:0", "node-1.example", 0],
])("address %s", (text, host, port) => {
  expect(parseAddress(text)).toEqual({ host, port });
  expect(parseAddress(formatAddress({ host, port }))).toEqual({ host, port });
});

test.each(["", ":9400", "a:b", "host:65536", "::1", "[::1", "a b:1", "http://host:1", "host:-1", "host:1:2"])(
  "address %j is refused",
  (text) => {
    expect(() => parseAddress(text)).toThrow(/is not an address|is past 65535/);
  },
);

test.each([
  ["0", 0],
  ["4096", 4096],
  ["4k", 4096],
  ["256M", 256 * 1024 * 1024],
  ["1MiB", 1024 * 1024],
  ["1MB", 1_000_000],
  ["1.5G", 1.5 * 1024 ** 3],
  ["12b", 12],
])("size %s", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "M", "-1", "1X", "1e9", "0x10", "9P"])("size %j is refused", (text) => {
  expect(() => parseSize(text)).toThrow(/is not a size|largest size/);
});

test.each([
  ["500ms", 500],
  ["10s", 10_000],
  ["1.5m", 90_000],
  ["2h", 7_200_000],
  ["1d", 86_400_000],
])("duration %s", (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each(["10", "s", "-1s", "1w"])("duration %j is refused", (text) => {
  expect(() => parseDuration(text)).toThrow("is not a duration");
});

test("counts have both ends", () => {
  const parse = countBetween(1, 64);
  expect([parse("1"), parse("64")]).toEqual([1, 64]);
  for (const text of ["0", "65", "1.5", "x", ""]) expect(() => parse(text)).toThrow("whole number from 1 to 64");
});
