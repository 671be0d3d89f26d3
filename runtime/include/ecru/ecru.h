/// ecru/ecru.h: everything. Concurrency without colour: see the guide and docs/semantics.md for the numbered rules.
#ifndef ECRU_ECRU_H
#define ECRU_ECRU_H
#include <ecru/base.h>
#include <ecru/buffered.h>
#include <ecru/chan.h>
#include <ecru/debug.h>
#include <ecru/dns.h>
#include <ecru/file.h>
#include <ecru/host.h>
#include <ecru/io.h>
#include <ecru/local.h>
#include <ecru/net.h>
#include <ecru/process.h>
#include <ecru/runtime.h>
#include <ecru/select.h>
#include <ecru/signal.h>
#include <ecru/sync.h>
#include <ecru/task.h>
#include <ecru/time.h>
#include <ecru/token.h>
#include <ecru/tty.h>
#include <ecru/watch.h>
#endif
