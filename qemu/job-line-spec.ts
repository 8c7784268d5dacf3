/** The job line between host and guest; qemu/guest/agent.sh is the other end, and describes it. */

/** lunport-hello BOOT-ID VEHICLE */
export const HELLO = /lunport-hello (\S+) (\S+)\n/;

/** A token ends an output; nothing that a program prints can contain 128 random bits. */
export const TOKEN_PREFIX = 'lunport-end-';
export const TOKEN_RANDOM_BYTES = 16;

/** What follows the token: a space, the exit status, a newline. */
export const STATUS = /^ (\d+)\n/;
