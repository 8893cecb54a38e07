/** A reason not to start, in one sentence that says what to do. The program prints it and exits with 3. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}
