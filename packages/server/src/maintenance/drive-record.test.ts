import { expect, test } from "vitest";
import { type Member, memberNamed, missingMember } from "./drive-record.ts";

const ids = ["aaaa1111222233334444555566667777", "aaaa9999222233334444555566667777", "bbbb0000222233334444555566667777"];
const members: Member[] = ids.map((id, index) => missingMember(index, id, `/d${index}`, ""));

test.each([
  ["/d1", 1],
  ["aaaa1", 0],
  ["bbbb", 2],
  [ids[1] ?? "", 1],
])("%s names one drive", (word, index) => {
  expect(memberNamed(members, word).index).toBe(index);
});

test.each([
  ["aaaa", /the beginning of 2 drive ids/],
  ["bbb", /there is no drive "bbb"/],
  ["/d9", /there is no drive "\/d9"/],
  ["", /there is no drive ""/],
])("%j names none", (word, message) => {
  expect(() => memberNamed(members, word)).toThrow(message);
});

test("after a replacement in place the path means the drive that is gone", () => {
  const replaced = { ...missingMember(3, "cccc0000222233334444555566667777", "/d0", ""), state: "ok" as const };
  expect(memberNamed([...members, replaced], "/d0").index).toBe(0);
});
