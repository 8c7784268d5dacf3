/** The error class of our own failures, for the layers that must not load the addon. */
export { LunportError } from '../native/errno.ts';
