/**
 * A configuration as a file: read and checked, and replaced so that a kill or a power loss leaves the old or the new
 * one. What somebody else has written there in the meantime is not written over.
 */
import { lstatSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { z } from 'zod';
import { fromNodeError } from '../../native/errno.ts';
import { removeLeftovers, replaceFile } from '../durable-file.ts';
import { LunportError } from '../errors.ts';
import { withPlaces } from './places.ts';
import { type Configuration, configurationSchema } from './schema.ts';
import type { PlacedConfiguration } from './server-setup.ts';

const DOCUMENTATION = 'docs/configuration.md describes every key.';
/** Group's and others' permissions. */
const OTHERS = 0o077;
const ROOT = 0;

export class ConfigurationFile {
  readonly path: string;
  /** What is in the file, as we know. */
  private text: string;

  private constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
  }

  /** Throws LunportError. `runtimeDirectory`: where sockets are that have no name in the file. */
  static read(
    path: string,
    runtimeDirectory: () => string,
  ): { readonly file: ConfigurationFile; readonly configuration: PlacedConfiguration } {
    const text = readText(path);
    const configuration = parseConfiguration(text, path);
    refuseReadableSecrets(path, configuration);
    if (configuration.targets.length === 0) throw nothingToServe(path);
    const file = realpathSync(path);
    removeLeftovers(dirname(file), basename(file));
    return {
      file: new ConfigurationFile(path, text),
      configuration: withPlaces(configuration, dirname(path), runtimeDirectory),
    };
  }

  /**
   * Resolves when it is on stable storage. `before`: what was in force until now, which `lunport save` may have written
   * there. Throws LunportError when it is not what we know any more.
   */
  async write(configuration: Configuration, before = configuration): Promise<void> {
    const there = readText(this.path);
    if (there !== this.text && there !== configurationText(before)) throw changedBehindUs(this.path);
    const text = configurationText(configuration);
    await writeText(this.path, text);
    this.text = text;
  }
}

/** Replaces a file that is nobody's yet, or that is to be forgotten. Throws LunportError. */
export async function writeConfiguration(path: string, configuration: Configuration): Promise<void> {
  await writeText(path, configurationText(configuration));
}

/** Throws LunportError that says where in it what is wrong; `path` is for messages. */
export function parseConfiguration(text: string, path: string): Configuration {
  return parseWhole(configurationSchema, parseJson(text, path), path);
}

/** Throws LunportError that says all that is wrong with the document; `path` and `hint` are for messages. */
export function parseWhole<T>(
  schema: z.ZodType<T>,
  document: unknown,
  path: string,
  hint = DOCUMENTATION,
): T {
  const checked = schema.safeParse(document);
  if (checked.success) return checked.data;
  const lines = checked.error.issues.flatMap(describeIssue);
  throw new LunportError({
    code: 'configuration',
    object: path,
    message: `${path}: ${lines.join(`\n  ${path}: `)}`,
    hint,
  });
}

function configurationText(configuration: Configuration): string {
  return `${JSON.stringify(configuration, undefined, 2)}\n`;
}

/** Throws LunportError. */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LunportError({
      code: 'configuration',
      object: path,
      message: `${path} is no JSON: ${describeSyntaxError(error as Error, text)}`,
      hint: 'It may be cut short, or a comma may be missing or too many; JSON has no comments.',
    });
  }
}

/** What is wrong and, where it can be found out, in which line, without the text that V8 tells: it may be a secret. */
function describeSyntaxError({ message }: Error, text: string): string {
  const [what] = message.split(/, (?:\.\.\.)?"| in JSON| of JSON/);
  const at = placeOf(message, text);
  return at === undefined ? what : `${what}, in line ${text.slice(0, at).split('\n').length}`;
}

/** Characters of the text that V8 tells before and after what it did not expect. */
const CONTEXT = 10;

function placeOf(message: string, text: string): number | undefined {
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return Number(position);
  if (message.includes('end of JSON')) return text.length;
  const [, before, around, after] = /, (\.\.\.)?"(.*)"(\.\.\.)? is not valid JSON$/s.exec(message) ?? [];
  const start = text.indexOf(around);
  if ((before ?? after) === undefined || start !== text.lastIndexOf(around)) return undefined;
  return start + (before === undefined ? around.length - CONTEXT : CONTEXT);
}

/** Throws LunportError. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fromNodeError(error, 'read', path);
  }
}

/**
 * Replaces the file, or the one that a symbolic link leads to. Throws LunportError; a device or a pipe, which others
 * expect to find again, stays what it is.
 */
export async function writeText(path: string, text: string): Promise<void> {
  try {
    const link = lstatSync(path, { throwIfNoEntry: false });
    // In /tmp, another user's link may lead to a file of ours that is not meant.
    if (link?.isSymbolicLink() && link.uid !== process.getuid!() && link.uid !== ROOT)
      throw foreignLink(path);
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isFile() === false) throw notAFile(path);
    await replaceFile(there === undefined ? path : realpathSync(path), text);
  } catch (error) {
    throw fromNodeError(error, 'write', path);
  }
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${z.core.toDotPath([...issue.path, key])}: there is no such key`);
  }
  const place = issue.path.length === 0 ? '' : `${z.core.toDotPath(issue.path)}: `;
  return [place + issue.message];
}

function refuseReadableSecrets(path: string, { iscsi, targets, saveconfig }: Configuration): void {
  const mode = statSync(path).mode & 0o777;
  if ((mode & OTHERS) === 0) return;
  const offers = [iscsi?.target, ...targets.map((target) => target.iscsi)];
  const secrets = [
    iscsi?.discoveryCredentials,
    ...offers.flatMap((offer) => [offer?.credentials, ...(offer?.acls ?? []).map((acl) => acl.credentials)]),
  ];
  const lio = /password":"[^"]/.test(JSON.stringify(saveconfig ?? {}));
  if (!lio && secrets.every((secret) => secret === undefined || secret === null)) return;
  throw new LunportError({
    code: 'secrets-readable',
    object: path,
    message: `${path} holds CHAP secrets, and its mode is 0${mode.toString(8)}: others can read it`,
    hint: `chmod 600 ${path}`,
  });
}

function nothingToServe(path: string): LunportError {
  return new LunportError({
    code: 'nothing-to-serve',
    object: path,
    message: `${path} has no targets, so that there is nothing to serve`,
    hint: DOCUMENTATION,
  });
}

function notAFile(path: string): LunportError {
  return new LunportError({
    code: 'not-a-file',
    object: path,
    message: `${path} is no file that could be replaced`,
    hint: 'Name a file. `import` and `export` write to standard output when none is named.',
  });
}

function foreignLink(path: string): LunportError {
  return new LunportError({
    code: 'foreign-link',
    object: path,
    message: `${path} is a symbolic link of another user, and is not followed`,
    hint: 'Name the file that it leads to, if that is meant.',
  });
}

function changedBehindUs(path: string): LunportError {
  return new LunportError({
    code: 'configuration-changed',
    object: path,
    message: `${path} was changed by somebody else since it was read, and is left as it is`,
    hint: 'lunport save SOCKET FILE writes what is running to another file; a restart takes over what is in this one.',
  });
}
