/** Where the fabric says what happened, in sentences for an operator. */
export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
