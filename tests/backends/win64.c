/// tests/backends/win64.c: the block that ctx/win64_aarch64.S has in place of a thread's on Windows: one for all threads, so nobody looks at it but win64_block.c.
#include <stdint.h>

extern char ecru__win64_block[];
_Alignas(16) char ecru__win64_block[0x2000];
