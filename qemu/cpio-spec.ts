/**
 * The "newc" cpio archive that the kernel takes as an initrd: Documentation/driver-api/early-userspace/buffer-format.rst.
 * A header is the magic and 13 fields of 8 hexadecimal digits; name and data are padded to 4 bytes.
 */
export const CPIO_MAGIC = '070701';
export const CPIO_TRAILER = 'TRAILER!!!';
export const CPIO_ALIGNMENT = 4;

/** File types in the mode field: POSIX <sys/stat.h>. */
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
