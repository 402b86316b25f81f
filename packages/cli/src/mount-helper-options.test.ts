import { expect, test } from "vitest";
import { parseHelperArguments } from "./mount-helper-options.ts";
import { UsageError } from "./parse.ts";

test("mount(8) calls with source, mount point and options", () => {
  expect(parseHelperArguments(["127.0.0.1:9400", "/mnt/cfs", "-o", "rw"])).toEqual({
    server: { host: "127.0.0.1", port: 9400 },
    mountpoint: "/mnt/cfs",
    isRemount: false,
    isFake: false,
    readOnly: false,
    allowOther: null,
    dev: true,
    suid: true,
    cacheMode: "writeback",
    uid: null,
    gid: null,
    log: null,
    logLevel: "info",
    kernelFlags: [],
  });
});

test("everything that fstab may say is taken in silence", () => {
  const words = "defaults,auto,_netdev,nofail,x-systemd.automount,comment=home,default_permissions,dev,suid,exec,atime,rw,nonempty";
  const request = parseHelperArguments(["[::1]:9400", "/mnt/a b", "-o", words]);
  expect(request).toMatchObject({
    server: { host: "::1", port: 9400 },
    mountpoint: "/mnt/a b",
    readOnly: false,
    dev: true,
    suid: true,
    kernelFlags: [],
  });
});

test.each([
  ["ro", { readOnly: true }],
  ["ro,rw", { readOnly: false }],
  ["remount,ro,user_id=0,group_id=0", { isRemount: true, readOnly: true }],
  ["nodev,nosuid", { dev: false, suid: false }],
  ["allow_other", { allowOther: true }],
  ["noallow_other", { allowOther: false }],
  ["noatime,noexec", { kernelFlags: ["noatime", "noexec"] }],
  ["noexec,exec", { kernelFlags: [] }],
  ["user", { dev: false, suid: false, kernelFlags: ["noexec"] }],
  ["user,exec,suid", { dev: false, suid: true, kernelFlags: [] }],
  [
    "uid=1000,gid=100,cache_mode=none,log=/var/log/a,log_level=debug",
    { uid: 1000, gid: 100, cacheMode: "none", log: "/var/log/a", logLevel: "debug" },
  ],
])("-o %s", (words, expected) => {
  expect(parseHelperArguments(["h:1", "/m", "-o", words])).toMatchObject(expected);
  expect(parseHelperArguments(["-o", words, "h:1", "/m"])).toMatchObject(expected);
});

test("flags of mount(8): sloppy, fake, read only, namespace, type", () => {
  expect(parseHelperArguments(["h:1", "/m", "-sfnv", "-N", "1", "-t", "fuse.cfs", "-o", "made-up"])).toMatchObject({ isFake: true });
  expect(parseHelperArguments(["h:1", "/m", "-r"])).toMatchObject({ readOnly: true });
});

test.each([
  [["h:1", "/m", "-o", "made-up"], 'unknown mount option "made-up"'],
  [["h:1", "/m", "-o", "cache_mode=fast"], "cache_mode=fast is none of writeback, writethrough, none"],
  [["h:1", "/m", "-o", "uid=joe"], '"joe" is not a whole number'],
  [["h:1"], "expected HOST:PORT and MOUNTPOINT"],
  [["h:1", "/m", "/n"], "expected HOST:PORT and MOUNTPOINT"],
  [["h:1", "/m", "-o"], "-o wants a value"],
  [["h:1", "/m", "--bind"], "unknown flag --bind"],
  [["not an address", "/m"], "is not an address"],
])("%j is refused", (args, message) => {
  expect(() => parseHelperArguments(args)).toThrow(UsageError);
  expect(() => parseHelperArguments(args)).toThrow(message);
});
