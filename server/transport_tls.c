/* SPDX-License-Identifier: MIT
 * transport_tls.c: a connection under TLS 1.2 or 1.3, by OpenSSL. */
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "settings.h"
#include "transport.h"

struct tls {
    SSL_CTX *context;
};

struct tls_transport {
    struct transport base;
    SSL *ssl;
};

/* ---- The server's side of it ---------------------------------------------------------------- */

/* "what FILE: why OpenSSL refuses it" */
static bool fail(bitcask_error *error, const char *what, const char *file)
{
    unsigned long code = ERR_peek_error();
    const char *why = code == 0 ? "refused" : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        why = strerror(ERR_GET_REASON(code));
    if (error != NULL) {
        memset(error, 0, sizeof *error);
        error->status = BITCASK_INVALID;
        snprintf(error->message, sizeof error->message, "%s%s%.120s: %.80s", what,
                 file[0] != '\0' ? " " : "", file, why != NULL ? why : "refused");
    }
    ERR_clear_error();
    return false;
}

static bool need(const struct settings *settings, enum setting_id id, const char *message,
                 bitcask_error *error)
{
    if (setting_text(settings, id)[0] != '\0')
        return true;
    memset(error, 0, sizeof *error);
    error->status = BITCASK_INVALID;
    snprintf(error->message, sizeof error->message, "%s", message);
    return false;
}

static bool load_own(SSL_CTX *context, const struct settings *settings, bitcask_error *error)
{
    const char *certificate = setting_text(settings, SETTING_TLS_CERT_FILE);
    const char *key = setting_text(settings, SETTING_TLS_KEY_FILE);
    if (!need(settings, SETTING_TLS_CERT_FILE, "tls-port needs tls-cert-file", error) ||
        !need(settings, SETTING_TLS_KEY_FILE, "tls-port needs tls-key-file", error))
        return false;
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return fail(error, "tls-cert-file", certificate);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return fail(error, "tls-key-file", key);
    if (SSL_CTX_check_private_key(context) != 1)
        return fail(error, "tls-key-file", key);
    return true;
}

static bool load_clients(SSL_CTX *context, const struct settings *settings, bitcask_error *error)
{
    uint64_t wanted = setting_number(settings, SETTING_TLS_AUTH_CLIENTS);
    const char *file = setting_text(settings, SETTING_TLS_CA_CERT_FILE);
    if (wanted == SETTINGS_AUTH_NO)
        return true;
    if (!need(settings, SETTING_TLS_CA_CERT_FILE,
              "clients must show a certificate (tls-auth-clients), which needs tls-ca-cert-file; "
              "where passwords are enough: tls-auth-clients no",
              error))
        return false;
    if (SSL_CTX_load_verify_locations(context, file, NULL) != 1)
        return fail(error, "tls-ca-cert-file", file);
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (names == NULL)
        return fail(error, "tls-ca-cert-file", file);
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context,
                       SSL_VERIFY_PEER |
                           (wanted == SETTINGS_AUTH_YES ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       NULL);
    return true;
}

struct tls *tls_new(const struct settings *settings, bitcask_error *error)
{
    static const unsigned char session_name[] = "bitcask";
    ERR_clear_error();
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls != NULL)
        tls->context = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || tls->context == NULL) {
        fail(error, "TLS", "");
        tls_free(tls);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    /* A peer that ends without saying so has ended; the protocol above knows what was whole. */
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE |
                                          SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(tls->context, session_name, sizeof session_name - 1);
    if (!load_own(tls->context, settings, error) || !load_clients(tls->context, settings, error)) {
        tls_free(tls);
        return NULL;
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

/* ---- The socket under it -------------------------------------------------------------------- */

/* OpenSSL's own socket BIO would raise SIGPIPE. */

static int socket_write(BIO *bio, const char *data, int size)
{
    BIO_clear_retry_flags(bio);
    ssize_t sent = send((int)(intptr_t)BIO_get_data(bio), data, (size_t)size, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int socket_read(BIO *bio, char *data, int size)
{
    BIO_clear_retry_flags(bio);
    ssize_t got = recv((int)(intptr_t)BIO_get_data(bio), data, (size_t)size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)got;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *socket_method;

static void make_socket_method(void)
{
    socket_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (socket_method == NULL)
        return;
    BIO_meth_set_write(socket_method, socket_write);
    BIO_meth_set_read(socket_method, socket_read);
    BIO_meth_set_ctrl(socket_method, socket_control);
}

static BIO *socket_bio(int fd)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    if (CRYPTO_THREAD_run_once(&once, make_socket_method) != 1 || socket_method == NULL)
        return NULL;
    BIO *bio = BIO_new(socket_method);
    if (bio != NULL) {
        BIO_set_data(bio, (void *)(intptr_t)fd);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- A connection --------------------------------------------------------------------------- */

static struct tls_transport *of(struct transport *transport)
{
    return (struct tls_transport *)transport; /* its first member */
}

/* What a call that gave nothing comes to: -EAGAIN, -errno; 0 at the peer's end. */
static ssize_t outcome(struct tls_transport *tls, int result, bool reading)
{
    int saved = errno;
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        tls->base.wants_write = reading;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return reading ? 0 : -EPIPE;
    case SSL_ERROR_SYSCALL:
        return saved != 0 ? -saved : -ECONNRESET;
    default:
        ERR_clear_error();
        return -EPROTO;
    }
}

static ssize_t tls_read(struct transport *transport, void *data, size_t size)
{
    struct tls_transport *tls = of(transport);
    transport->wants_write = false;
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(tls->ssl, data, size > INT_MAX ? INT_MAX : (int)size);
    transport->has_more = SSL_pending(tls->ssl) > 0;
    return got > 0 ? got : outcome(tls, got, true);
}

/* One record takes 16 KiB: small parts are put together, so that each does not become one. */
enum { RECORD_SIZE = 16 << 10 };

static ssize_t tls_write(struct transport *transport, const struct iovec *parts, int count)
{
    struct tls_transport *tls = of(transport);
    char gathered[RECORD_SIZE];
    size_t done = 0, skip = 0; /* bytes of parts[0] that are gone */
    ERR_clear_error();
    while (count > 0) {
        const char *data = (const char *)parts[0].iov_base + skip;
        size_t size = parts[0].iov_len - skip;
        if (size < RECORD_SIZE && count > 1) {
            size_t room = RECORD_SIZE, taken = 0;
            for (int i = 0; i < count && room > 0; i++) {
                size_t from = i == 0 ? skip : 0, left = parts[i].iov_len - from;
                size_t part = left < room ? left : room;
                memcpy(gathered + taken, (const char *)parts[i].iov_base + from, part);
                taken += part;
                room -= part;
            }
            data = gathered;
            size = taken;
        }
        errno = 0;
        int written =
            size == 0 ? 0 : SSL_write(tls->ssl, data, size > INT_MAX ? INT_MAX : (int)size);
        if (size > 0 && written <= 0)
            return done > 0 ? (ssize_t)done : outcome(tls, written, false);
        done += (size_t)written;
        skip += (size_t)written;
        while (count > 0 && skip >= parts[0].iov_len) {
            skip -= parts[0].iov_len;
            parts++;
            count--;
        }
    }
    return (ssize_t)done;
}

static void tls_close(struct transport *transport)
{
    struct tls_transport *tls = of(transport);
    if (SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl); /* says so, if the socket takes it; waits for nothing */
    SSL_free(tls->ssl);
    ERR_clear_error();
    close(transport->fd);
    free(tls);
}

struct transport *transport_tls_new(struct tls *tls, int fd)
{
    static const struct transport_ops ops = {tls_read, tls_write, tls_close};
    struct tls_transport *transport = calloc(1, sizeof *transport);
    SSL *ssl = SSL_new(tls->context);
    BIO *bio = socket_bio(fd);
    if (transport == NULL || ssl == NULL || bio == NULL) {
        free(transport);
        SSL_free(ssl);
        BIO_free(bio);
        close(fd);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    transport->base = (struct transport){.ops = &ops, .fd = fd};
    transport->ssl = ssl;
    return &transport->base;
}
