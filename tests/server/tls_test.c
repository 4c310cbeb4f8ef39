/* SPDX-License-Identifier: MIT
 * tls_test.c: a transport under TLS against a client of OpenSSL, both in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "settings.h"
#include "transport.h"

struct fixture {
    char directory[64], certificate[96], key[96];
    struct settings *settings;
    struct tls *tls;
    bitcask_error error;
    struct transport *server;
    SSL_CTX *context;
    SSL *client;
    int client_fd;
};

/* ---- A certificate that signs itself -------------------------------------------------------- */

static void write_certificate(struct fixture *fix)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *out = fopen(fix->certificate, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    fclose(out);
    out = fopen(fix->key, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void set(struct fixture *fix, const char *name, const char *value)
{
    if (!settings_set(fix->settings, name, value, &fix->error))
        fail_msg("%s", fix->error.message);
}

static int setup(void **state)
{
    struct fixture *fix = calloc(1, sizeof *fix);
    snprintf(fix->directory, sizeof fix->directory, "/tmp/tls_test.XXXXXX");
    if (mkdtemp(fix->directory) == NULL)
        return -1;
    snprintf(fix->certificate, sizeof fix->certificate, "%s/cert.pem", fix->directory);
    snprintf(fix->key, sizeof fix->key, "%s/key.pem", fix->directory);
    fix->settings = settings_new();
    fix->client_fd = -1;
    write_certificate(fix);
    set(fix, "tls-cert-file", fix->certificate);
    set(fix, "tls-key-file", fix->key);
    set(fix, "tls-auth-clients", "no");
    *state = fix;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;
    if (fix->server != NULL)
        fix->server->ops->close(fix->server);
    SSL_free(fix->client);
    SSL_CTX_free(fix->context);
    if (fix->client_fd >= 0)
        close(fix->client_fd);
    tls_free(fix->tls);
    settings_free(fix->settings);
    unlink(fix->certificate);
    unlink(fix->key);
    int result = rmdir(fix->directory);
    free(fix);
    return result;
}

/* ---- Both ends ------------------------------------------------------------------------------ */

static void connect_both(struct fixture *fix)
{
    int fds[2];
    fix->tls = tls_new(fix->settings, &fix->error);
    if (fix->tls == NULL)
        fail_msg("%s", fix->error.message);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    fix->server = transport_tls_new(fix->tls, fds[0]);
    fix->client_fd = fds[1];
    fix->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(fix->context, SSL_MODE_ENABLE_PARTIAL_WRITE);
    fix->client = SSL_new(fix->context);
    SSL_set_fd(fix->client, fds[1]);
    SSL_set_connect_state(fix->client);
}

/* Both take turns until the handshake is done. Returns what the server's last read said. */
static ssize_t shake_hands(struct fixture *fix)
{
    char byte;
    ssize_t got = -EAGAIN;
    for (int i = 0; i < 20 && got == -EAGAIN; i++) {
        if (SSL_do_handshake(fix->client) == 1 && i > 4)
            break;
        got = fix->server->ops->read(fix->server, &byte, 1);
    }
    return got;
}

static ssize_t server_read(struct fixture *fix, char *to, size_t size)
{
    return fix->server->ops->read(fix->server, to, size);
}

static void bytes_go_both_ways(void **state)
{
    struct fixture *fix = *state;
    char text[16];
    connect_both(fix);
    assert_int_equal(shake_hands(fix), -EAGAIN);
    assert_int_equal(SSL_write(fix->client, "PING\r\n", 6), 6);
    assert_int_equal(server_read(fix, text, 4), 4); /* the rest is in OpenSSL's hands */
    assert_memory_equal(text, "PING", 4);
    assert_true(fix->server->has_more);
    assert_int_equal(server_read(fix, text, sizeof text), 2);
    assert_false(fix->server->has_more);
    assert_int_equal(server_read(fix, text, sizeof text), -EAGAIN);
    char plus[] = "+PO", rest[] = "NG\r\n", nothing[] = "";
    const struct iovec parts[] = {{plus, 3}, {nothing, 0}, {rest, 4}};
    assert_int_equal(fix->server->ops->write(fix->server, parts, 3), 7);
    assert_int_equal(SSL_read(fix->client, text, sizeof text), 7); /* in one record */
    assert_memory_equal(text, "+PONG\r\n", 7);
}

static void output_that_the_socket_does_not_take_is_taken_up_where_it_ended(void **state)
{
    struct fixture *fix = *state;
    enum { SIZE = 4 << 20, SMALL = 100, STEP = 64 << 10 };
    connect_both(fix);
    assert_int_equal(shake_hands(fix), -EAGAIN);
    char *sent = malloc(SIZE), *got = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (char)(i * 31 >> 3);
    size_t written = 0, read = 0;
    bool refused = false;
    while (read < SIZE) {
        /* a small part, then the rest: as replies and a large value are */
        size_t small = SIZE - written < SMALL ? SIZE - written : SMALL;
        const struct iovec parts[] = {{sent + written, small},
                                      {sent + written + small, SIZE - written - small}};
        ssize_t took = written < SIZE ? fix->server->ops->write(fix->server, parts, 2) : -EAGAIN;
        refused |= written < SIZE && took == -EAGAIN;
        assert_true(took > 0 || took == -EAGAIN);
        written += took > 0 ? (size_t)took : 0;
        int more;
        while (took <= 0 && read < SIZE && (more = SSL_read(fix->client, got + read, STEP)) > 0)
            read += (size_t)more;
    }
    assert_true(refused);
    assert_memory_equal(sent, got, SIZE);
    free(sent);
    free(got);
}

static void end_of_the_peer_is_told(void **state)
{
    struct fixture *fix = *state;
    char byte;
    connect_both(fix);
    assert_int_equal(shake_hands(fix), -EAGAIN);
    SSL_shutdown(fix->client);
    assert_int_equal(server_read(fix, &byte, 1), 0);
}

static void peer_that_vanishes_is_no_signal(void **state)
{
    struct fixture *fix = *state;
    char text[] = "+OK\r\n";
    const struct iovec part = {text, 5};
    connect_both(fix);
    assert_int_equal(shake_hands(fix), -EAGAIN);
    close(fix->client_fd);
    fix->client_fd = -1;
    assert_int_equal(fix->server->ops->write(fix->server, &part, 1), -EPIPE);
}

static void who_does_not_speak_tls_is_refused(void **state)
{
    struct fixture *fix = *state;
    char byte;
    connect_both(fix);
    assert_int_equal(write(fix->client_fd, "*1\r\n$4\r\nPING\r\n", 14), 14);
    assert_int_equal(server_read(fix, &byte, 1), -EPROTO);
}

static void client_without_certificate_is_refused_where_one_is_needed(void **state)
{
    struct fixture *fix = *state;
    set(fix, "tls-auth-clients", "yes");
    set(fix, "tls-ca-cert-file", fix->certificate);
    connect_both(fix);
    assert_int_equal(shake_hands(fix), -EPROTO);
}

static void client_with_a_certificate_is_taken(void **state)
{
    struct fixture *fix = *state;
    set(fix, "tls-auth-clients", "yes");
    set(fix, "tls-ca-cert-file", fix->certificate);
    connect_both(fix);
    assert_int_equal(SSL_use_certificate_file(fix->client, fix->certificate, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_use_PrivateKey_file(fix->client, fix->key, SSL_FILETYPE_PEM), 1);
    assert_int_equal(shake_hands(fix), -EAGAIN);
}

static void old_protocols_are_refused(void **state)
{
    struct fixture *fix = *state;
    connect_both(fix);
    SSL_set_security_level(fix->client, 0);
    SSL_set_min_proto_version(fix->client, TLS1_VERSION);
    SSL_set_max_proto_version(fix->client, TLS1_1_VERSION);
    assert_int_equal(shake_hands(fix), -EPROTO);
}

/* ---- Settings ------------------------------------------------------------------------------- */

static void expect_refused(struct fixture *fix, const char *why)
{
    assert_null(tls_new(fix->settings, &fix->error));
    if (strstr(fix->error.message, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, fix->error.message);
}

static void what_is_missing_or_wrong_is_named(void **state)
{
    struct fixture *fix = *state;
    set(fix, "tls-auth-clients", "yes");
    expect_refused(fix, "needs tls-ca-cert-file");
    set(fix, "tls-ca-cert-file", "/nowhere.pem");
    expect_refused(fix, "tls-ca-cert-file /nowhere.pem");
    set(fix, "tls-key-file", fix->certificate);
    expect_refused(fix, "tls-key-file /tmp/tls_test.");
    set(fix, "tls-key-file", "");
    expect_refused(fix, "tls-port needs tls-key-file");
    set(fix, "tls-cert-file", "/nowhere.pem");
    set(fix, "tls-key-file", "/nowhere.pem");
    expect_refused(fix, "tls-cert-file /nowhere.pem: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways),
        TEST(output_that_the_socket_does_not_take_is_taken_up_where_it_ended),
        TEST(end_of_the_peer_is_told),
        TEST(peer_that_vanishes_is_no_signal),
        TEST(who_does_not_speak_tls_is_refused),
        TEST(client_without_certificate_is_refused_where_one_is_needed),
        TEST(client_with_a_certificate_is_taken),
        TEST(old_protocols_are_refused),
        TEST(what_is_missing_or_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
