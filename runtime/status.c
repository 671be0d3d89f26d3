/// runtime/status.c: texts of the status codes, the version.
#include <ecru/base.h>

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const char *ecru_strerror(int status) {
  switch (status) {
#define CASE(name, number, text) case number: return text;
    ECRU_STATUS_CODES(CASE)
#undef CASE
  }
  return "unknown status";
}

const char *ecru_status_name(int status) {
  switch (status) {
#define CASE(name, number, text) case number: return #name;
    ECRU_STATUS_CODES(CASE)
#undef CASE
  }
  return "unknown";
}

const char *ecru_version(void) {
  return STRING(ECRU_VERSION_MAJOR) "." STRING(ECRU_VERSION_MINOR) "." STRING(ECRU_VERSION_PATCH);
}
