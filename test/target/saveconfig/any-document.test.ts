/** Whatever is in a file: it is understood or refused, and never a defect of ours. */

import test from 'ava';
import fc from 'fast-check';
import { parseConfiguration } from '../../../src/target/configuration/configuration-file.ts';
import { LunportError } from '../../../src/target/errors.ts';
import { exportSaveconfig } from '../../../src/target/saveconfig/export-saveconfig.ts';
import { importSaveconfig } from '../../../src/target/saveconfig/import-saveconfig.ts';
import { SAVECONFIG, VHOST } from '../../support/saveconfig.ts';

/** Every document has these. */
const EMPTY = { fabric_modules: [], storage_objects: [], targets: [] };
const WHOLE = { ...SAVECONFIG, targets: [...SAVECONFIG.targets, VHOST] };

/** Undefined for what is refused. */
function unlessRefused<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof LunportError) return undefined;
    throw error;
  }
}

type Path = readonly (string | number)[];

/** Of every value in a document. */
function paths(value: unknown, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, each]) => paths(each, [...at, key]))];
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  const copy = Array.isArray(value) ? [...value] : { ...(value as object) };
  (copy as Record<string | number, unknown>)[key] = replaced(
    (value as Record<string | number, unknown>)[key],
    rest,
    by,
  );
  return copy;
}

const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    undefined,
    -1,
    0,
    16384,
    65536,
    2 ** 53,
    0.5,
    '',
    '/',
    '__proto__',
    'a b',
    '\0',
    '[::]',
    'naa.6',
    'é',
  ),
);
const damaged = (document: unknown) =>
  fc
    .array(fc.tuple(fc.constantFrom(...paths(document)), odd), { minLength: 1, maxLength: 4 })
    .map((changes) =>
      changes.reduce((whole, [path, by]) => unlessGone(() => replaced(whole, path, by)) ?? whole, document),
    );

/** An earlier change may have taken away what a later one would be in. */
function unlessGone<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

test('what is imported from any document is a configuration, and goes back', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), damaged(WHOLE)), (document) => {
      const plain = JSON.parse(JSON.stringify(document ?? null)) as unknown;
      const imported = unlessRefused(() => importSaveconfig(plain, 'x'));
      if (imported === undefined) return;
      const { configuration } = imported;
      parseConfiguration(JSON.stringify(configuration), 'imported');
      const wwns = configuration.targets.map(() => 'naa.5001405000000001');
      t.deepEqual(exportSaveconfig(configuration, { wwns, sizeOf: () => undefined }).document, {
        ...EMPTY,
        ...(plain as object),
      });
    }),
    { numRuns: 2000 },
  );
});

test('any text is a configuration, or an error that says where', (t) => {
  const { configuration } = importSaveconfig(WHOLE, 'x');
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    damaged(configuration).map((each) => JSON.stringify(each) ?? ''),
  );
  fc.assert(
    fc.property(texts, (text) => void unlessRefused(() => parseConfiguration(text, 'x'))),
    { numRuns: 2000 },
  );
  t.pass();
});
