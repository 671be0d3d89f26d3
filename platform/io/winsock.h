/// platform/io/winsock.h: what is the same for sockets and pipes on Windows.
#ifndef ECRU_PLATFORM_IO_WINSOCK_H
#define ECRU_PLATFORM_IO_WINSOCK_H
#include "platform/io.h"

/// A part of a SEND_FILE's file, for who sends by hand. returns: bytes; 0: it ends here; ECRU_E*.
int64_t ecru__winsock_file_part(const ecru__operation *operation, void *part, size_t bytes);
#endif
