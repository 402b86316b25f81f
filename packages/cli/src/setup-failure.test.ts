import { expect, test } from "vitest";
import { describeFailure } from "./exit.ts";
import { setupFailure } from "./setup-failure.ts";

test("a package that is not installed is named, with the command that installs it", () => {
  const reason = new Error("Cannot find package 'commander' imported from /srv/cfs/packages/cli/src/program.ts");
  Object.assign(reason, { code: "ERR_MODULE_NOT_FOUND" });
  expect(setupFailure(reason)).toMatchObject({ message: "the package commander is not installed" });
  expect(describeFailure(new Error("outer", { cause: reason }))).toMatchObject({
    exitCode: 1,
    code: "SETUP",
    next: expect.stringContaining("npm run quickstart") as string,
    stack: null,
  });
});

test("an addon that is not built is of the set-up, a missing file of our own is a bug", () => {
  expect(setupFailure(new Error("cannot load the native addon /srv/cfs/native/cfs.node"))?.code).toBe("SETUP");
  const ours = Object.assign(
    new Error("Cannot find module '/srv/cfs/packages/cli/src/x.ts' imported from /srv/cfs/packages/cli/src/main.ts"),
    {
      code: "ERR_MODULE_NOT_FOUND",
    },
  );
  expect(setupFailure(ours)).toBeNull();
  expect(setupFailure(new TypeError("x is not a function"))).toBeNull();
});
