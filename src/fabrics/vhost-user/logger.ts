/** Where the fabric says what happened: pino's shape, which a test can fill with a list. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
