/// ecru/watch.h: being told when files change (rule I6).
#ifndef ECRU_WATCH_H
#define ECRU_WATCH_H
#include <ecru/base.h>

typedef struct ecru_watch ecru_watch;

enum {
  ECRU_WATCH_RENAMED = 1, ///< made, removed, moved here or away
  ECRU_WATCH_CHANGED = 2, ///< its content or attributes
  ECRU_WATCH_LOST = 4,    ///< alone, after the last one kept: there were more events than there was room for, look at everything
};
typedef struct ecru_watch_event {
  size_t size;      ///< sizeof(ecru_watch_event), set by the caller
  unsigned what;    ///< ECRU_WATCH_*
  char name[260];   ///< which file of the watched directory, or the file's name without its path; "" where the system does not say
} ecru_watch_event;

ECRU_BEGIN
/// Watches a file, or a directory and what lies directly in it. effects: any thread; parks; allocates. owns: *watch until ecru_watch_destroy.
/// returns: 0; ECRU_EINVAL NULL; ECRU_ENOENT, ECRU_EACCES ...; ECRU_EMFILE, ECRU_ENOSPC too many watches; ECRU_ECANCELED, ECRU_ETIMEDOUT; ECRU_ENOMEM, ECRU_ETHREADS. since: 0.1
ECRU_API int ecru_watch_create(ecru_watch **watch, const char *path);
/// Takes the next event, parking until there is one; 64 are kept. One change may give several. effects: any thread; parks.
/// returns: 0; ECRU_EINVAL; ECRU_ECANCELED, ECRU_ETIMEDOUT; ECRU_ECLOSED the runtime was stopped meanwhile, or this is a forked child of who made it; or why the system gave up watching. since: 0.1
ECRU_API int ecru_watch_next(ecru_watch *watch, ecru_watch_event *event);
/// Ends it and frees it; nobody may wait for it any more. NULL is ignored. effects: any thread but the loop's; parks (shielded). since: 0.1
ECRU_API void ecru_watch_destroy(ecru_watch *watch);
ECRU_END
#endif
