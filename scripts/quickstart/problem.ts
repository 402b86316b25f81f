/** Something that the person at the keyboard can solve: one sentence, and what to do about it. */
export class Problem extends Error {
  override readonly name: string = "Problem";
  readonly cure: string;

  constructor(message: string, cure: string) {
    super(message);
    this.cure = cure;
  }
}
