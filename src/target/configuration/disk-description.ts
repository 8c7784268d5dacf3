/** A disk in a configuration, which leaves out what is usual, and the DiskSpec with everything in it. */
import { DEFAULT_BLOCK_SIZE, type DiskSpec } from '../disk-spec.ts';
import { sizeText } from '../size.ts';
import type { DiskDescription } from './schema.ts';

export function diskSpec(description: DiskDescription): DiskSpec {
  const { kind, size, readOnly = false, blockSize = DEFAULT_BLOCK_SIZE, serial, protection } = description;
  const file = description.kind === 'file' ? description : undefined;
  const spec = {
    kind,
    name: file?.path ?? `${kind}:${sizeText(size!)}`,
    readOnly,
    size,
    blockSize,
    serial,
    cache: description.cache ?? 'writeback',
    create: file?.create ?? false,
    share: file?.share ?? false,
    wait: file?.wait ?? false,
    removable: description.removable ?? false,
    protection,
    attributes: description.attributes ?? {},
    identity: description.identity,
  };
  return { ...spec, text: diskText(spec) };
}

/** The other way. */
export function describeSpec(spec: DiskSpec): DiskDescription {
  const { readOnly, blockSize, serial, cache, removable, protection, attributes, identity } = spec;
  const common = {
    ...(readOnly ? { readOnly } : {}),
    ...(blockSize === DEFAULT_BLOCK_SIZE ? {} : { blockSize }),
    ...(serial === undefined ? {} : { serial }),
    ...(cache === 'writeback' ? {} : { cache }),
    ...(removable ? { removable } : {}),
    ...(protection === undefined ? {} : { protection }),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
    ...(identity === undefined ? {} : { identity }),
  };
  if (spec.kind !== 'file') return { kind: spec.kind, size: spec.size!, ...common };
  const { name, create, size, share, wait } = spec;
  return {
    kind: 'file',
    path: name,
    ...(create ? { create } : {}),
    ...(size === undefined ? {} : { size }),
    ...(share ? { share } : {}),
    ...(wait ? { wait } : {}),
    ...common,
  };
}

/** As one would write it on the command line; `identity` has no place there. */
function diskText(spec: Omit<DiskSpec, 'text'>): string {
  const options = [
    spec.readOnly ? 'ro' : undefined,
    spec.create ? 'create' : undefined,
    spec.kind === 'file' && spec.size !== undefined ? `size=${sizeText(spec.size)}` : undefined,
    spec.blockSize === DEFAULT_BLOCK_SIZE ? undefined : `block-size=${spec.blockSize}`,
    spec.serial === undefined ? undefined : `serial=${spec.serial.replaceAll(',', ',,')}`,
    spec.cache === 'writeback' ? undefined : `cache=${spec.cache}`,
    spec.removable ? 'removable' : undefined,
    spec.protection === undefined ? undefined : `pi=${spec.protection}`,
    ...Object.entries(spec.attributes).map(([name, value]) => `attr.${name}=${value}`),
    spec.share ? 'share' : undefined,
    spec.wait ? 'wait' : undefined,
  ];
  return [spec.name.replaceAll(',', ',,'), ...options.filter((option) => option !== undefined)].join(',');
}
