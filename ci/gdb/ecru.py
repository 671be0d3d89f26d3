"""ci/gdb/ecru.py: goroutines in gdb. Load it with `source ci/gdb/ecru.py`; the program needs ecru's debug information.

  ecru goroutines       all that have started: id, state, name, why and on what it waits
  ecru bt ID | all      the backtrace of a parked goroutine (those that run are shown by gdb's own `thread apply all bt`)
  ecru do ID COMMAND    any gdb command in its innermost frame, such as: ecru do 7 up 5

A parked goroutine's registers lie on its stack, and the call-frame information of ecru__ctx_switch says where. So two
registers of the selected thread are changed for a moment, the stack pointer and the program counter, and gdb unwinds
from there. That needs a live process: with a core file only the list works.
"""
import gdb

STATES = ["dead", "runnable", "running", "waiting", "blocking"]
ARMED = 1  # ECRU__ARMED
COLOURS, LINE = 16, 64  # where a control block may lie (ecru__stack_goroutine)
LOG2_SIZES = range(14, 31)


def in_file(name, file):
    return gdb.parse_and_eval("'%s'::%s" % (file, name))


def goroutine_of(stack):
    """The control block at the top of a stack, below the program's room: the one that points back."""
    kind = gdb.lookup_type("ecru__goroutine")
    options = gdb.parse_and_eval("ecru__sched.options")
    stack_bytes = 1 << int(stack["log2"])
    room = int(options["room_bytes"]) if stack_bytes == int(options["stack_bytes"]) else 0
    top = int(stack["low"]) + stack_bytes - room - (kind.sizeof + LINE - 1) // LINE * LINE
    for colour in range(COLOURS):
        g = gdb.Value(top - colour * LINE).cast(kind.pointer())
        try:
            if int(g["stack"]) == int(stack.address):
                return g
        except gdb.MemoryError:
            pass
    return None


def goroutines():
    depots = in_file("depots", "stack.c")
    for log2 in LOG2_SIZES:
        slab = depots[log2]["slabs"]
        while int(slab):
            for i in range(int(slab["count"])):
                stack = slab["stacks"][i]
                g = goroutine_of(stack) if int(stack["in_use"]) else None
                if g is not None and int(g["status"]):
                    yield g
            slab = slab["next"]


def is_parked(g):
    return int(g["waiter"]["state"]) == ARMED and not int(g["waiter"]["is_thread"])


def line_of(g):
    state = STATES[int(g["status"])]
    text = "goroutine %d [%s]" % (int(g["id"]), state)
    name = g["name"].string(errors="replace")
    if name:
        text += ' "%s"' % name
    if state == "waiting":
        reason = gdb.Value(int(g["waiter"]["reason"])).cast(gdb.lookup_type("enum ecru__wait_reason"))
        said = g["waiter"]["waits_for"]
        text += " %s on 0x%x" % (said.string() if said else str(reason).replace("ECRU__WAIT_", "").lower(), int(g["waiter"]["object"]))
    return text + ", created at %s" % g["site"].format_string(symbols=True)


def resume_address():
    """The instruction of ecru__ctx_switch from which on the stack pointer is the new context's."""
    start = int(gdb.parse_and_eval("(unsigned long)&ecru__ctx_switch"))
    code = gdb.selected_inferior().architecture().disassemble(start, count=40)
    for before, after in zip(code, code[1:]):
        words = before["asm"].replace(",", " ").split()
        if words[0].startswith("mov") and words[1:] in (["%rsi", "%rsp"], ["rsp", "rsi"], ["sp", "x1"]):
            return after["addr"]
    raise gdb.GdbError("the switch of this build is none this script knows")


class Registers:
    """Stands the selected thread on a parked goroutine's stack, for the length of a `with`."""

    def __init__(self, g):
        self.g = g

    def __enter__(self):
        gdb.execute("frame 0", to_string=True)
        self.saved = [(name, int(gdb.parse_and_eval("(unsigned long)$" + name))) for name in ("sp", "pc")]
        system_call = gdb.parse_and_eval("$orig_rax")  # writing pc makes gdb forget the system call to be restarted
        if system_call.type.code == gdb.TYPE_CODE_INT:
            self.saved.append(("orig_rax", int(system_call)))
        try:
            gdb.execute("set $sp = %d" % int(self.g["waiter"]["context"]), to_string=True)
            gdb.execute("set $pc = %d" % resume_address(), to_string=True)
        except gdb.error as problem:
            self.__exit__()
            raise gdb.GdbError("%s (backtraces need a live process)" % problem)

    def __exit__(self, *_):
        gdb.execute("frame 0", to_string=True)
        for name, value in self.saved:
            try:
                gdb.execute("set $%s = %d" % (name, value), to_string=True)
            except gdb.error:
                pass


def chosen(argument):
    if argument == "all":
        return [g for g in goroutines() if is_parked(g)]
    found = [g for g in goroutines() if argument.isdigit() and int(g["id"]) == int(argument)]
    if not found:
        raise gdb.GdbError("no goroutine '%s' has started" % argument)
    if not is_parked(found[0]):
        raise gdb.GdbError("goroutine %s is not parked: see `thread apply all bt`" % argument)
    return found


class Ecru(gdb.Command):
    __doc__ = __doc__

    def __init__(self):
        super().__init__("ecru", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 2)
        if words == ["goroutines"]:
            for g in goroutines():
                print(line_of(g))
        elif len(words) == 2 and words[0] == "bt":
            for g in chosen(words[1]):
                print(line_of(g))
                with Registers(g):
                    gdb.execute("backtrace")
        elif len(words) == 3 and words[0] == "do":
            with Registers(chosen(words[1])[0]):
                gdb.execute(words[2])
        else:
            raise gdb.GdbError("usage: ecru goroutines | ecru bt ID|all | ecru do ID COMMAND")


Ecru()
