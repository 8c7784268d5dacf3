import {
  DT_NEEDED,
  DT_RPATH,
  DT_RUNPATH,
  DT_STRTAB,
  DYNAMIC_LENGTH,
  ELF_CLASS_64_LITTLE,
  ELF_HEADER,
  ELF_MAGIC,
  PROGRAM_HEADER,
  PT_DYNAMIC,
  PT_INTERP,
  PT_LOAD,
} from './elf-spec.ts';

export interface ElfNeeds {
  /** The dynamic loader's path, in programs. */
  readonly interpreter: string | null;
  /** Names of libraries. */
  readonly needed: readonly string[];
  /** Folders to search for them first; Ceph's libraries depend on this. */
  readonly runPath: readonly string[];
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

function segments(file: Buffer): Segment[] {
  const start = Number(file.readBigUInt64LE(ELF_HEADER.programHeaderOffset));
  const size = file.readUInt16LE(ELF_HEADER.programHeaderSize);
  return Array.from({ length: file.readUInt16LE(ELF_HEADER.programHeaders) }, (_, index) => {
    const at = start + index * size;
    return {
      type: file.readUInt32LE(at + PROGRAM_HEADER.type),
      offset: Number(file.readBigUInt64LE(at + PROGRAM_HEADER.offset)),
      address: Number(file.readBigUInt64LE(at + PROGRAM_HEADER.address)),
      size: Number(file.readBigUInt64LE(at + PROGRAM_HEADER.fileSize)),
    };
  });
}

function text(file: Buffer, offset: number): string {
  return file.toString('utf8', offset, file.indexOf(0, offset));
}

/**
 * What a program or library asks the dynamic loader for: ldd without running anything, and so also for a tree
 * that is not this machine's. Answers null for what is no ELF file, such as a script.
 */
export function elfNeeds(file: Buffer): ElfNeeds | null {
  if (file.length < 64 || file.readUInt32LE(0) !== ELF_MAGIC) return null;
  if (file.readUInt16LE(ELF_HEADER.ident) !== ELF_CLASS_64_LITTLE) return null;
  const all = segments(file);
  const interpreter = all.find(({ type }) => type === PT_INTERP);
  const dynamic = all.find(({ type }) => type === PT_DYNAMIC);
  const entries: [tag: number, value: number][] = [];
  for (let at = 0; dynamic !== undefined && at < dynamic.size; at += DYNAMIC_LENGTH) {
    const entry = dynamic.offset + at;
    entries.push([Number(file.readBigInt64LE(entry)), Number(file.readBigUInt64LE(entry + 8))]);
  }
  // The string table is given by its address in memory.
  const address = entries.find(([tag]) => tag === DT_STRTAB)?.[1] ?? 0;
  const loaded = all.find(
    (segment) =>
      segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.size,
  );
  const strings = loaded === undefined ? 0 : address - loaded.address + loaded.offset;
  const named = (wanted: number) =>
    entries.filter(([tag]) => tag === wanted).map(([, value]) => text(file, strings + value));
  return {
    interpreter: interpreter === undefined ? null : text(file, interpreter.offset),
    needed: named(DT_NEEDED),
    runPath: [...named(DT_RUNPATH), ...named(DT_RPATH)].flatMap((path) => path.split(':')),
  };
}
