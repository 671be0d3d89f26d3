// Signals as messages and as cancellation (I6, I8).
#include <signal.h>

#include "tests/goroutines.h"

TEST(signal, they_come_through_a_channel) { // I6
  ecru_chan *chan = chan_of(sizeof(int), 4);
  ecru_subscription *both, *one;
  int signals_of_both[] = {SIGUSR1, SIGUSR2}, got = 0;
  CHECK_EQ(ecru_signal_notify(&both, chan, signals_of_both, 2), 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(ecru_chan_recv(chan, &got), 0);
  CHECK_EQ(got, SIGUSR1);
  CHECK_EQ(ecru_signal_notify(&one, chan, signals_of_both, 1), 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(ecru_chan_recv(chan, &got), 0); // to each
  CHECK_EQ(kill(getpid(), SIGUSR2), 0);
  CHECK_EQ(ecru_chan_recv(chan, &got), 0);
  CHECK_EQ(got, SIGUSR2);
  ecru_subscription_end(one);
  ecru_subscription_end(both);
  ecru_chan_release(chan);
}

TEST(signal, a_full_channel_holds_up_nobody) { // I6
  ecru_chan *chan = chan_of(sizeof(int), 1), *other = chan_of(sizeof(int), 1);
  ecru_subscription *first, *last;
  int usr1 = SIGUSR1, usr2 = SIGUSR2, got = 0;
  CHECK_EQ(ecru_signal_notify(&first, chan, &usr1, 1), 0);
  CHECK_EQ(ecru_signal_notify(&last, other, &usr2, 1), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(kill(getpid(), SIGUSR2), 0);
  CHECK_EQ(ecru_chan_recv(other, &got), 0);
  ecru_subscription_end(first);
  ecru_subscription_end(last);
  CHECK_EQ(ecru_chan_len(chan), 1);
  ecru_chan_release(chan);
  ecru_chan_release(other);
}

TEST(signal, a_signal_all_threads_block_arrives_too) { // I6
  ecru_chan *chan = chan_of(sizeof(int), 1);
  ecru_subscription *subscription;
  int usr1 = SIGUSR1;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(ecru_signal_notify(&subscription, chan, &usr1, 1), 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(ecru_chan_recv(chan, &usr1), 0);
  ecru_subscription_end(subscription);
  ecru_chan_release(chan);
}

static void wait_for_the_token(void *argument) {
  void **both = argument;
  CHECK_EQ(ecru_token_enter(both[0]), 0);
  CHECK_EQ(ecru_sleep(1000 * ECRU_SECOND), ECRU_ECANCELED);
  CHECK_EQ(ecru_token_cause(ecru_token_current()), ECRU_CAUSE_OF_SIGNAL(SIGTERM));
  CHECK_EQ(ecru_token_leave(), 0);
  finish(both[1]);
}

TEST(signal, a_signal_cancels_a_token_and_is_its_cause) { // I8
  int ends[] = {SIGINT, SIGTERM};
  ecru_subscription *subscription;
  ecru_token *token;
  ecru_chan *done = signals();
  CHECK_EQ(ecru_signal_token(&subscription, &token, ends, 2), 0);
  void *both[] = {token, done};
  go(wait_for_the_token, both);
  CHECK_EQ(kill(getpid(), SIGTERM), 0);
  await(done, 1);
  CHECK_EQ(ECRU_SIGNAL_OF_CAUSE(ecru_token_cause(token)), SIGTERM);
  CHECK_EQ(ECRU_SIGNAL_OF_CAUSE(ECRU_ECANCELED), 0);
  ecru_subscription_end(subscription);
  ecru_token_release(token);
  ecru_chan_release(done);
}

static void interrupted_twice(void) {
  int ends = SIGTERM;
  ecru_subscription *subscription;
  ecru_token *token;
  CHECK_EQ(ecru_signal_token(&subscription, &token, &ends, 1), 0);
  CHECK_EQ(kill(getpid(), SIGTERM), 0);
  CHECK_EQ(ecru_token_wait(token), 0);
  CHECK_EQ(kill(getpid(), SIGTERM), 0);
  ecru_sleep(100 * ECRU_SECOND);
}

TEST(signal, a_second_one_ends_the_program) { test_death(interrupted_twice, -SIGTERM, NULL); } // I8

TEST(signal, what_cannot_be_had_is_refused) { // I6
  ecru_chan *chan = chan_of(sizeof(int), 1), *bytes = chan_of(1, 1);
  ecru_subscription *subscription;
  ecru_token *token;
  int bad[] = {SIGUSR1, SIGKILL}, segv = SIGSEGV, none = 0, huge = 1000, usr1 = SIGUSR1;
  CHECK_EQ(ecru_signal_notify(&subscription, chan, bad, 2), ECRU_EINVAL);
  CHECK_EQ(ecru_signal_notify(&subscription, chan, &segv, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_signal_notify(&subscription, chan, &none, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_signal_notify(&subscription, chan, &huge, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_signal_notify(&subscription, chan, &usr1, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_signal_notify(&subscription, bytes, &usr1, 1), ECRU_EINVAL);
  CHECK_EQ(ecru_signal_token(&subscription, &token, bad, 2), ECRU_EINVAL);
  ecru_subscription_end(NULL);
  ecru_chan_release(chan);
  ecru_chan_release(bytes);
}

TEST(signal, a_subscription_may_outlive_a_stop) { // G13
  ecru_chan *chan = chan_of(sizeof(int), 1);
  ecru_subscription *subscription;
  int usr1 = SIGUSR1;
  CHECK_EQ(ecru_signal_notify(&subscription, chan, &usr1, 1), 0);
  CHECK_EQ(ecru_stop(), 0);
  ecru_subscription_end(subscription);
  ecru_chan_release(chan);
}
