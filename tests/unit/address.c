// Addresses and their text (I1): a table of what is read and how it is written again, and of what is refused.
#include "tests/sockets.h"

static void check_text(const char *network, const char *text, const char *wanted) {
  ecru_address address = parsed(network, text);
  char written[ECRU_ADDRESS_TEXT];
  CHECK_EQ(ecru_address_text(&address, written, sizeof written), (int)strlen(wanted));
  CHECK_STR(written, wanted);
  ecru_address again = parsed(network, written);
  CHECK_EQ(again.bytes, address.bytes);
  CHECK(memcmp(again.storage, address.storage, address.bytes) == 0);
}

TEST(address, what_is_read_is_written_again) { // I1
  static const struct { const char *network, *text, *written; } table[] = {
    {"tcp", "127.0.0.1:80", "127.0.0.1:80"},
    {"tcp", "127.0.0.1:0080", "127.0.0.1:80"},
    {"tcp4", "0.0.0.0:0", "0.0.0.0:0"},
    {"udp", "255.255.255.255:65535", "255.255.255.255:65535"},
    {"tcp", "[127.0.0.1]:80", "127.0.0.1:80"},
    {"tcp", "[::1]:443", "[::1]:443"},
    {"tcp6", "[0:0:0:0:0:0:0:1]:443", "[::1]:443"},
    {"udp6", "[::]:53", "[::]:53"},
    {"tcp", "[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1"},
    {"tcp", "[2001:DB8::A]:1", "[2001:db8::a]:1"},
    {"tcp", "[fe80::1%lo]:9", "[fe80::1%lo]:9"},
    {"tcp", "[fe80::1%1]:9", "[fe80::1%lo]:9"},
    {"tcp", "[fe80::1%4000000000]:9", "[fe80::1%4000000000]:9"},
    {"tcp4", ":8080", "0.0.0.0:8080"},
    {"tcp", ":8080", "[::]:8080"},
    {"udp6", ":1", "[::]:1"},
    {"unix", "/tmp/a.socket", "/tmp/a.socket"},
    {"unix", "relative:80", "relative:80"},
    {"unixgram", "@name", "@name"},
    {"unix", "@", "@"},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) check_text(table[i].network, table[i].text, table[i].written);
}

TEST(address, service_names_are_ports) { // I1
  if (access("/etc/services", R_OK) != 0) SKIP("this machine knows no services");
  check_text("tcp", "127.0.0.1:http", "127.0.0.1:80");
  check_text("udp", "[::1]:domain", "[::1]:53");
}

TEST(address, what_is_malformed_is_refused) { // I1
  static const struct { const char *network, *text; int status; } table[] = {
    {"tcp", "", ECRU_EINVAL},
    {"tcp", "127.0.0.1", ECRU_EINVAL},
    {"tcp", "127.0.0.1:", ECRU_EINVAL},
    {"tcp", ":", ECRU_EINVAL},
    {"tcp", "127.0.0.1:65536", ECRU_EINVAL},
    {"tcp", "127.0.0.1:99999999999999999999", ECRU_EINVAL},
    {"tcp", "127.0.0.1:80x", ECRU_EINVAL},
    {"tcp", "127.0.0.1:8 0", ECRU_EINVAL},
    {"tcp", "127.0.0.1:0x50", ECRU_EINVAL},
    {"tcp", "127.0.0.1:-1", ECRU_ENOHOST},
    {"tcp", "127.0.0.1:+80", ECRU_ENOHOST},
    {"tcp", "127.0.0.1: 80", ECRU_ENOHOST},
    {"tcp", "127.0.0.1:no-such-service", ECRU_ENOHOST},
    {"tcp", "::1:80", ECRU_EINVAL},
    {"tcp", "::1", ECRU_EINVAL},
    {"tcp", "[::1]", ECRU_EINVAL},
    {"tcp", "[::1]80", ECRU_EINVAL},
    {"tcp", "[::1:80", ECRU_EINVAL},
    {"tcp", "::1]:80", ECRU_EINVAL},
    {"tcp", "[]:80", ECRU_EINVAL},
    {"tcp", "[:80", ECRU_EINVAL},
    {"tcp", "]:80", ECRU_EINVAL},
    {"tcp", "[[::1]]:80", ECRU_EINVAL},
    {"tcp", "[::1]]:80", ECRU_EINVAL},
    {"tcp", "[::1]x:80", ECRU_EINVAL},
    {"tcp", "x[::1]:80", ECRU_EINVAL},
    {"tcp", "1[2]3:80", ECRU_EINVAL},
    {"tcp", "[:::1]:80", ECRU_ENOHOST},
    {"tcp", "[::1%]:80", ECRU_ENOHOST},
    {"tcp", "[::1%no-such-zone]:80", ECRU_ENOHOST},
    {"tcp", "[::1%-1]:80", ECRU_ENOHOST},
    {"tcp", "[::1% 1]:80", ECRU_ENOHOST},
    {"tcp", "[::1%99999999999]:80", ECRU_ENOHOST},
    {"tcp", "127.0.0.1%lo:80", ECRU_ENOHOST},
    {"tcp", "256.0.0.1:80", ECRU_ENOHOST},
    {"tcp", "1.2.3:80", ECRU_ENOHOST},
    {"tcp", "1.2.3.4.5:80", ECRU_ENOHOST},
    {"tcp", " 127.0.0.1:80", ECRU_ENOHOST},
    {"tcp", "localhost:80", ECRU_ENOHOST},
    {"tcp4", "[::1]:80", ECRU_EAFNOSUPPORT},
    {"tcp6", "127.0.0.1:80", ECRU_EAFNOSUPPORT},
    {"udp4", "[::1]:80", ECRU_EAFNOSUPPORT},
    {"ip", "127.0.0.1:80", ECRU_EPROTONOSUPPORT},
    {"", "127.0.0.1:80", ECRU_EPROTONOSUPPORT},
    {"TCP", "127.0.0.1:80", ECRU_EPROTONOSUPPORT},
    {"unixpacket", "/tmp/a", ECRU_EPROTONOSUPPORT},
    {"unix", "", ECRU_EINVAL},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    ecru_address address = {.bytes = 77};
    ecru_io *io = NULL;
    errno = EXFULL;
    int status = ecru_address_parse(&address, table[i].network, table[i].text);
    if (status != table[i].status) FAIL("%s %s: %d, not %d", table[i].network, table[i].text, status, table[i].status);
    CHECK_EQ(errno, EXFULL);
    CHECK_EQ(address.bytes, 77); // written only on success
    if (table[i].status == ECRU_ENOHOST) continue; // a name to be looked up
    CHECK_EQ(ecru_dial(&io, table[i].network, table[i].text), table[i].status);
    CHECK_EQ(ecru_listen(&io, table[i].network, table[i].text), table[i].status);
    CHECK(io == NULL);
  }
}

TEST(address, too_long_is_said) { // I1
  ecru_address address;
  ecru_io *io = NULL;
  static char text[1000];
  memset(text, 'a', sizeof text - 1);
  CHECK_EQ(ecru_address_parse(&address, "unix", text), ECRU_ENAMETOOLONG);
  CHECK_EQ(ecru_dial(&io, "unix", text), ECRU_ENAMETOOLONG);
  CHECK_EQ(ecru_listen(&io, "unixgram", text), ECRU_ENAMETOOLONG);
  memcpy(text + 300, ":80", 4);
  CHECK_EQ(ecru_address_parse(&address, "tcp", text), ECRU_ENAMETOOLONG);
  text[107] = 0; // what the system has room for, with the zero
  CHECK_EQ(ecru_address_parse(&address, "unix", text), 0);
  char written[ECRU_ADDRESS_TEXT];
  CHECK_EQ(ecru_address_text(&address, written, sizeof written), 107);
  CHECK_STR(written, text);
  text[107] = 'a', text[108] = 0;
  CHECK_EQ(ecru_address_parse(&address, "unix", text), ECRU_ENAMETOOLONG);
}

TEST(address, no_room_no_family_no_pointer) { // I1
  ecru_address address = parsed("tcp", "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4000000000]:65535"), none = {0};
  char text[ECRU_ADDRESS_TEXT];
  int length = ecru_address_text(&address, text, sizeof text);
  CHECK(length > 0 && length < ECRU_ADDRESS_TEXT);
  memset(text, 'x', sizeof text);
  CHECK_EQ(ecru_address_text(&address, text, (size_t)length), ECRU_EOVERFLOW);
  CHECK_EQ(ecru_address_text(&address, text, 0), ECRU_EOVERFLOW);
  CHECK_EQ(text[0], 'x');
  CHECK_EQ(ecru_address_text(&address, text, (size_t)length + 1), length);
  CHECK_EQ(ecru_address_text(&none, text, sizeof text), ECRU_EINVAL);
  CHECK_EQ(ecru_address_text(NULL, text, sizeof text), ECRU_EINVAL);
  CHECK_EQ(ecru_address_text(&address, NULL, 5), ECRU_EINVAL);
  CHECK_EQ(ecru_address_port(&address), 65535);
  CHECK_EQ(ecru_address_port(&none), ECRU_EINVAL);
  CHECK_EQ(ecru_address_port(NULL), ECRU_EINVAL);
  ecru_address path = parsed("unix", "@x");
  CHECK_EQ(ecru_address_port(&path), ECRU_EINVAL);
  CHECK_EQ(ecru_address_parse(NULL, "tcp", ":1"), ECRU_EINVAL);
  CHECK_EQ(ecru_address_parse(&address, NULL, ":1"), ECRU_EINVAL);
  CHECK_EQ(ecru_address_parse(&address, "tcp", NULL), ECRU_EINVAL);
  ecru_io *io = NULL;
  CHECK_EQ(ecru_dial_address(&io, "tcp", &none), ECRU_EAFNOSUPPORT);
  CHECK_EQ(ecru_dial_address(&io, "tcp", &path), ECRU_EAFNOSUPPORT);
  CHECK_EQ(ecru_dial_address(&io, "unix", &address), ECRU_EAFNOSUPPORT);
  CHECK_EQ(ecru_dial_address(&io, "tcp4", &address), ECRU_EAFNOSUPPORT);
  CHECK_EQ(ecru_dial_address(&io, "sctp", &address), ECRU_EPROTONOSUPPORT);
}
