/// ecru/tty.h: terminals: keys instead of lines, input that is not shown, size. Reading and writing is that of ecru/io.h.
#ifndef ECRU_TTY_H
#define ECRU_TTY_H
#include <ecru/base.h>

/// How a terminal treats what is typed.
enum {
  ECRU_TTY_AS_IT_WAS = 0, ///< before it was changed first
  ECRU_TTY_RAW = 1,       ///< every byte at once, as it is: no lines, no echo, Ctrl-C is a byte (3); "\n" moves down, "\r" to the left
  ECRU_TTY_HIDDEN = 2,    ///< lines, but without echo: for passwords
};

ECRU_BEGIN
/// Sets the mode of a terminal. It is as it was again after ECRU_TTY_AS_IT_WAS, when the handle is closed, and when the process calls exit, returns from main
/// or is ended by a panic of ecru; not when a signal kills it (ecru/signal.h). effects: any thread; never parks; may allocate.
/// returns: 0; ECRU_ENOTTY no terminal; ECRU_EINVAL NULL or no such mode; ECRU_ECLOSED; ECRU_EIO it has hung up; ECRU_ENOMEM. since: 0.1
ECRU_API int ecru_tty_set_mode(ecru_io *io, int mode);
/// How many columns and rows a terminal shows; 0 if nobody has told it. SIGWINCH says that they change (ecru_signal_notify).
/// effects: any thread; never parks. returns: 0; ECRU_ENOTTY no terminal; ECRU_EINVAL NULL; ECRU_ECLOSED. since: 0.1
ECRU_API int ecru_tty_size(ecru_io *io, int *columns, int *rows);
ECRU_END
#endif
