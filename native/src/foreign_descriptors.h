// Descriptors that a peer sent. Closing one may ask whoever is behind it, and wait for the answer: the server of a FUSE
// file, the other end of a socket that lingers. No loop may wait for that.
#pragma once

namespace lunport {

// Closes it: at once what only the kernel is behind (eventfds, memfds), anything else on a thread of its own.
void close_foreign(int fd);

}  // namespace lunport
