/** What an errno of the backing means to the core. */
import { constants } from 'node:os';
import { Outcome } from '../scsi/backstore.ts';

const { errno } = constants;

/** `code` is a positive errno. Whatever is not told apart is a medium error: the data could not be moved. */
export function outcomeOf(code: number): Outcome {
  switch (code) {
    case errno.ENOSPC:
    case errno.EDQUOT:
    case errno.EFBIG:
      return Outcome.NO_SPACE;
    case errno.EROFS:
    case errno.EPERM:
    case errno.EACCES:
    case errno.EBADF:
      return Outcome.WRITE_PROTECTED;
    case errno.ECANCELED:
      return Outcome.CANCELLED;
    case errno.ENXIO:
    case errno.ENODEV:
      return Outcome.GONE;
    case errno.ENOMEM:
    case errno.EAGAIN:
    case errno.EBUSY:
      return Outcome.BUSY;
    default:
      return Outcome.MEDIUM_ERROR;
  }
}
