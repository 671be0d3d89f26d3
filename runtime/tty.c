/// runtime/tty.c: modes and sizes of terminals (platform/tty.h keeps how they were).
#include "platform/tty.h"

#include "runtime/io.h"

int ecru_tty_set_mode(ecru_io *io, int mode) {
  ECRU__CHECK_HANDLE(io);
  if (!io || mode < ECRU_TTY_AS_IT_WAS || mode > ECRU_TTY_HIDDEN) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__io_hold(io);
  if (status == 0) {
    status = ecru__tty_set_mode(io->pollee.descriptor, mode);
    ecru__lock_take(&io->lock);
    io->restores_tty |= status == 0;
    ecru__lock_drop(&io->lock);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}

int ecru_tty_size(ecru_io *io, int *columns, int *rows) {
  ECRU__CHECK_HANDLE(io);
  if (!io || !columns || !rows) return ECRU_EINVAL;
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int status = ecru__io_hold(io);
  if (status == 0) {
    status = ecru__tty_size(io->pollee.descriptor, columns, rows);
    ecru__io_let_go(w, io);
  }
  ecru__leave(w);
  return status;
}
