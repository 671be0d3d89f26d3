/// runtime/resident.c: opening and closing what lives on a loop for long (invariants in resident.h).
#include "runtime/resident.h"

static void shut(ecru__uv_handle *handle) {
  ecru__resident *r = (ecru__resident *)(void *)handle;
  r->close(r);
}

static int start(uv_loop_t *loop, void *state, ecru_uv_call *call) {
  ecru__resident *r = state;
  r->call = call;
  r->status = r->open(loop, r);
  if (r->status != 0 && r->handles == 0) return r->status;
  if (r->status != 0) {
    r->close(r); // and then it is finished
    return 0;
  }
  r->handle.shut = shut;
  ecru__uv_handle_opened(&r->handle, call);
  ecru_uv_finish(call, 0);
  return 0;
}

int ecru__resident_open(ecru__resident *resident, int reason) {
  ecru__worker *w = ecru__enter();
  if (!w) return ecru__enter_status();
  int64_t status = ecru__canceled(w);
  if (status == 0) status = ecru__uv_await(&w, start, NULL, resident, reason);
  ecru__leave(w);
  return (int)status;
}

void ecru__resident_closed(ecru__resident *resident) {
  if (--resident->handles > 0) return;
  if (resident->status != 0) {
    ecru_uv_finish(resident->call, resident->status);
    return;
  }
  ecru__uv_handle_closed(&resident->handle);
  ecru__uv_event_set(&resident->closed); // its owner may free it
}

static void end_now(uv_loop_t *loop, ecru__uv_job *job) {
  (void)loop;
  ecru__resident *r = (ecru__resident *)(void *)((char *)job - offsetof(ecru__resident, end));
  r->close(r);
}

void ecru__resident_end(ecru__resident *resident, int reason) {
  resident->end.run = end_now;
  ecru__uv_submit(&resident->handle, &resident->end); // else its loop has closed it, or is about to
  if (ecru__worker_forked() || ecru__uv_handle_is_lost(&resident->handle)) return; // its loop is the parent's
  ecru__worker *w = ecru__event_is_set(&resident->closed) ? NULL : ecru__enter();
  if (w) {
    ecru__event_wait_shielded(&w, &resident->closed, reason, resident);
    ecru__leave(w);
  }
  ecru__event_settle(&resident->closed);
}
