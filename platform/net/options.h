/// platform/net/options.h: what net/options.c and the files of the systems' sockets have from each other.
#ifndef ECRU_PLATFORM_NET_OPTIONS_H
#define ECRU_PLATFORM_NET_OPTIONS_H
#include "platform/net.h"

/// returns: 0; else it has failed (ecru__net_status). May change errno.
int ecru__net_set_int(intptr_t descriptor, int level, int name, int value);
/// Of a call that has just failed, or has not. returns: 0; ECRU_E*. (net/posix.c, net/winsock.c)
int ecru__net_status(int failed);
#endif
