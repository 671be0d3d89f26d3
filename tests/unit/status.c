// Status codes and the system's error numbers: who gets ECRU_EUNKNOWN cannot know what to do.
#include <ecru/uv.h>
#include <errno.h>
#include <string.h>

#include "platform/io.h"
#include "tests/test.h"

enum { LAST_ERROR = EHWPOISON };

/// The numbers that may stay unknown, and why nothing that ecru calls gives them.
static const struct span {
  int first, last;
  const char *why;
} unknown[] = {
  {41, 41, "no error has this number"},
  {ENOMSG, EIDRM, "System V message queues, which ecru does not touch"},
  {ECHRNG, ELNRNG, "machines of System V's time"},
  {ENOCSI, EL2HLT, "the same"},
  {EBADR, EBADSLT, "the same, and drivers among themselves"},
  {58, 58, "no error has this number"},
  {EBFONT, EBFONT, "fonts of terminals"},
  {ENOSTR, ENOSTR, "STREAMS, which Linux never had"},
  {EREMOTE, EREMOTE, "System V's remote file sharing"},
  {EADV, ESRMNT, "the same"},
  {EMULTIHOP, EDOTDOT, "the same"},
  {ENOTUNIQ, ENOTUNIQ, "the same"},
  {EREMCHG, EREMCHG, "the same"},
  {ENOTNAM, EISNAM, "semaphores and named files of XENIX"},
  {EOWNERDEAD, ENOTRECOVERABLE, "robust mutexes of POSIX threads, which ecru does not use"},
};

static const char *reason_to_be_unknown(int error) {
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
    if (unknown[i].first <= error && error <= unknown[i].last) return unknown[i].why;
  return NULL;
}

static bool is_a_code(int status) {
  static const int codes[] = {
#define CODE(name, number, text) number,
    ECRU_STATUS_CODES(CODE)
#undef CODE
  };
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i] == status) return true;
  return false;
}

TEST(status, every_error_of_the_system_has_a_code_or_a_reason) {
  for (int error = 1; error <= LAST_ERROR; error++) {
    int status = ecru__status_of(error);
    const char *reason = reason_to_be_unknown(error);
    if ((status == ECRU_EUNKNOWN) != (reason != NULL)) {
      fprintf(stderr, "%d (%s) is %s; reason to be unknown: %s\n", error, strerror(error), ecru_status_name(status), reason ? reason : "none");
      CHECK(false);
    }
    CHECK(status < 0 && is_a_code(status));
    if (is_a_code(-error)) CHECK_EQ(status, -error); // its own
  }
  CHECK_EQ(ecru__status_of(LAST_ERROR + 1), ECRU_EUNKNOWN);
}

TEST(status, an_error_of_the_system_is_the_same_through_libuv) { // I7
  for (int error = 1; error <= LAST_ERROR; error++) CHECK_EQ(ecru_uv_status(-error), ecru__status_of(error));
}

TEST(status, every_code_has_its_name_and_text) {
  CHECK_STR(ecru_status_name(ECRU_ESTALE), "ECRU_ESTALE");
  CHECK_STR(ecru_strerror(ECRU_ECLOSED), "closed");
  CHECK_STR(ecru_status_name(-999999), "unknown");
  CHECK_STR(ecru_strerror(1), "unknown status");
}
