/// tests/windows/pty.h: there are no terminals of that kind.
#ifndef ECRU_TESTS_WINDOWS_PTY_H
#define ECRU_TESTS_WINDOWS_PTY_H
#define openpty(keyboard, screen, name, mode, size) ((void)(keyboard), (void)(screen), -1)
#endif
