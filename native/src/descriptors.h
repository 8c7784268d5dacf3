// eventfd helpers that the poll handles share.
#pragma once

namespace lunport {

// Empties an eventfd without ever blocking: 1 when it held something, 0 when not, else a negative errno.
// O_NONBLOCK alone is no protection: it belongs to the open file, and so to whoever sent us the descriptor.
int drain_eventfd(int fd);

bool is_eventfd(int fd);

}  // namespace lunport
