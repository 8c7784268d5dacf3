/** 64-bit little-endian ELF, System V gABI chapters 4 and 5: what is needed to find a program's libraries. */

export const ELF_MAGIC = 0x464c_457f;
export const ELF_CLASS_64_LITTLE = 0x0102;

export const ELF_HEADER = {
  ident: 4,
  programHeaderOffset: 32,
  programHeaderSize: 54,
  programHeaders: 56,
} as const;

export const PROGRAM_HEADER = { type: 0, offset: 8, address: 16, fileSize: 32 } as const;
export const PT_LOAD = 1;
export const PT_DYNAMIC = 2;
export const PT_INTERP = 3;

/** Elf64_Dyn: tag, value. */
export const DYNAMIC_LENGTH = 16;
export const DT_NEEDED = 1;
export const DT_STRTAB = 5;
export const DT_RPATH = 15;
export const DT_RUNPATH = 29;
