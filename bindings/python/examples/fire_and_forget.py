"""Work nobody waits for: a request is answered at once, its audit record is written behind its back.

Forgetting is safe in two ways here. An error nobody has asked for is printed, once (ecru.excepthook). And the program
waits at its end for whatever still runs, after having cancelled it: what must not be cut off is shielded.
"""

import ecru


def write_audit(request: int) -> None:
    with ecru.shield(5):
        ecru.sleep(0.05)  # a slow disk
        print(f"audit: request {request}", flush=True)


def send_statistics() -> None:
    raise BrokenPipeError("the other side has hung up")


ecru.go(write_audit, 1)
print("request 1 is answered", flush=True)
ecru.go(send_statistics)
ecru.yield_()
print("shutting down", flush=True)
