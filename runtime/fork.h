/// runtime/fork.h: what each file of the runtime does in a forked child that starts anew (fork.c): its static locks are free, and what
/// belonged to threads and goroutines is forgotten.
#ifndef ECRU_RUNTIME_FORK_H
#define ECRU_RUNTIME_FORK_H
void ecru__debug_in_child(void);
void ecru__dump_in_child(void);
void ecru__io_in_child(void);
void ecru__locals_in_child(void);
void ecru__mutexes_in_child(void);
void ecru__poll_in_child(void);
void ecru__queue_in_child(void);
void ecru__registrations_in_child(void);
void ecru__seeds_in_child(void);
void ecru__stacks_in_child(void);
void ecru__task_in_child(void);
void ecru__timers_in_child(void);
void ecru__token_in_child(void);
void ecru__uv_in_child(void);
void ecru__worker_in_child(void);
#endif
