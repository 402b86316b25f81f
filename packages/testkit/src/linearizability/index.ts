/** Histories of concurrent operations and the question whether one order explains them; for tests of any package. */
export { checkLinearizable } from "./checker.ts";
export type { CheckOptions, Model, Verdict } from "./checker.ts";
export { History } from "./history.ts";
export type { Operation } from "./history.ts";
export { formatRegisterLog, loggedRegisterModel, parseRegisterLog } from "./register-log.ts";
export type { LoggedInput, LoggedOperation, LoggedOutput } from "./register-log.ts";
export { registerModel, withoutUnseen } from "./register-model.ts";
export type { RegisterInput, RegisterOutput } from "./register-model.ts";
