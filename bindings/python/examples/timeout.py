"""A deadline for a block of code: whatever waits in it, however deep, is ended. The functions in between take no
deadline and pass none on.
"""

import ecru


def ask_server() -> int:
    ecru.sleep(10)  # a slow server
    return 42


def look_up() -> int:  # knows nothing of deadlines
    try:
        return ask_server()
    finally:
        with ecru.shield(1):  # cleaning up may wait
            ecru.sleep(0.001)
            print("cleaned up")


try:
    with ecru.timeout(0.05):
        print(look_up())
except ecru.DeadlineExceeded as error:
    print(f"look_up: {error}")
ecru.check()  # outside of the block the deadline is gone
print("after the block: no deadline")
