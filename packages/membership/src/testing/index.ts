/** Equipment for tests of membership. */
export {};
