/** Which device a mount is, from mountinfo. */
import { expect, test } from "vitest";
import { deviceOfMount } from "./readahead.ts";

const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:39 / /mnt/a\\040b rw,nosuid,nodev,relatime - fuse.cfs cfs rw,user_id=0,group_id=0
41 22 0:40 / /mnt/twice rw - fuse.cfs cfs rw
42 41 0:41 / /mnt/twice rw - fuse.cfs cfs rw
`;

test("the last mount on a mountpoint counts, and escaped names are read", () => {
  expect(deviceOfMount(mountinfo, "/")).toBe("254:0");
  expect(deviceOfMount(mountinfo, "/mnt/a b")).toBe("0:39");
  expect(deviceOfMount(mountinfo, "/mnt/twice")).toBe("0:41");
  expect(deviceOfMount(mountinfo, "/mnt")).toBe(null);
});
