// Names to addresses and back (I4, I6), asked of the machine's own resolver.
#include "tests/goroutines.h"

TEST(dns, a_literal_address_is_its_own_address) { // I4
  ecru_address addresses[4], expected;
  CHECK_EQ(ecru_resolve("127.0.0.1", "tcp", addresses, 4), 1);
  CHECK_EQ(ecru_address_parse(&expected, "tcp", "127.0.0.1:0"), 0);
  CHECK_EQ(addresses[0].bytes, expected.bytes);
  CHECK(memcmp(addresses[0].storage, expected.storage, expected.bytes) == 0);
  CHECK_EQ(ecru_resolve("::1", "ip6", addresses, 4), 1);
  CHECK_EQ(ecru_resolve("::1", "udp4", addresses, 4), ECRU_ENOHOST);
  CHECK_EQ(ecru_resolve("127.0.0.1", "ip6", addresses, 4), ECRU_ENOHOST);
}

static void resolve_localhost(void *argument) {
  ecru_address addresses[8];
  char text[ECRU_ADDRESS_TEXT];
  int count = ecru_resolve("localhost", "ip4", addresses, 8);
  CHECK_EQ(count, 1);
  CHECK(ecru_address_text(&addresses[0], text, sizeof text) > 0);
  CHECK_STR(text, "127.0.0.1:0");
  if (argument) finish(argument);
}

TEST(dns, a_name_is_looked_up) { // I4, I6
  with_procs(1, resolve_localhost);
  resolve_localhost(NULL);
}

TEST(dns, no_address_is_given_twice_and_no_more_than_asked_for) { // I4
  ecru_address addresses[8];
  int count = ecru_resolve("localhost", "ip", addresses, 8);
  CHECK(count >= 1);
  for (int i = 0; i < count; i++)
    for (int j = 0; j < i; j++) CHECK(memcmp(&addresses[i], &addresses[j], sizeof *addresses) != 0);
  CHECK_EQ(ecru_resolve("localhost", "ip", addresses, 1), 1);
}

TEST(dns, an_address_has_a_name) { // I6
  ecru_address address;
  char name[256], small[2];
  CHECK_EQ(ecru_address_parse(&address, "tcp", "127.0.0.1:80"), 0);
  int length = ecru_resolve_address(&address, name, sizeof name);
  CHECK(length > 0);
  CHECK_EQ(strlen(name), length);
  CHECK_EQ(ecru_resolve_address(&address, small, sizeof small), ECRU_EOVERFLOW);
}

TEST(dns, bad_names_are_refused) { // I4
  ecru_address addresses[2];
  char name[512];
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = 0;
  CHECK_EQ(ecru_resolve(NULL, "tcp", addresses, 2), ECRU_EINVAL);
  CHECK_EQ(ecru_resolve("localhost", NULL, addresses, 2), ECRU_EINVAL);
  CHECK_EQ(ecru_resolve("localhost", "tcp", NULL, 2), ECRU_EINVAL);
  CHECK_EQ(ecru_resolve("localhost", "tcp", addresses, 0), ECRU_EINVAL);
  CHECK_EQ(ecru_resolve("localhost", "unix", addresses, 2), ECRU_EPROTONOSUPPORT);
  CHECK_EQ(ecru_resolve("localhost", "x25", addresses, 2), ECRU_EPROTONOSUPPORT);
  CHECK_EQ(ecru_resolve(name, "tcp", addresses, 2), ECRU_ENAMETOOLONG);
  int status = ecru_resolve("no-such-host.invalid", "tcp", addresses, 2);
  CHECK(status == ECRU_ENOHOST || status == ECRU_EDNS); // what it is depends on whether there is a network
  ecru_address path;
  CHECK_EQ(ecru_address_parse(&path, "unix", "/x"), 0);
  CHECK_EQ(ecru_resolve_address(&path, name, sizeof name), ECRU_EINVAL);
}

TEST(dns, nobody_has_a_malformed_name) { // I4
  static const char *const names[] = {"", "..", "a..b", "\xff\xfe", "\xc3",
                                      "a-label-may-have-sixty-three-bytes-and-this-one-has-a-few-more-than-that.example"};
  ecru_address address;
  ecru_io *io;
  char text[128];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CHECK_EQ(ecru_resolve(names[i], "tcp", &address, 1), ECRU_ENOHOST);
    if (*names[i] == 0) continue; // to dial that is this machine
    snprintf(text, sizeof text, "%s:80", names[i]);
    CHECK_EQ(ecru_dial(&io, "tcp", text), ECRU_ENOHOST);
  }
}

TEST(dns, a_fired_token_starts_no_look_up) { // K2
  ecru_address address;
  CHECK_EQ(ecru_deadline_enter(0), 0);
  CHECK_EQ(ecru_resolve("localhost", "tcp", &address, 1), ECRU_ETIMEDOUT);
  CHECK_EQ(ecru_token_leave(), 0);
}
